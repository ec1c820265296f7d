//! What the commands that talk to the service may be told. Part of [`crate::cli`].

use std::time::Duration;

use clap::ArgAction;

use crate::cli::duration;
use crate::platform::args::{ServiceArgs, WayArgs};

/// Times between two reports.
const MIN_EVERY: Duration = Duration::from_millis(100);
const MAX_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Arguments of `get-stats`.
#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// One JSON object, or with --watch one a line
    #[arg(long)]
    pub json: bool,

    /// Again every so many seconds, until Ctrl-C: 0.1 to 1d, as 5, 0.5, 10s, 1m
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2", value_parser = every)]
    pub watch: Option<Duration>,

    /// What honed uses memory for, instead
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub memory: bool,
}

/// Arguments of `send-conns`.
#[derive(Debug, clap::Args)]
pub struct ConnsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Print the connections as a table
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub verbose: bool,

    /// Send nothing; useful with -v
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Whether to read through the service.
    #[command(flatten)]
    pub way: WayArgs,

    /// Time between two pictures: 0.1 to 1d, as 5, 0.5, 10s, 1m
    #[arg(short, long, value_name = "TIME", default_value = "1", value_parser = every)]
    pub interval: Duration,
}

fn every(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| (MIN_EVERY..=MAX_EVERY).contains(time))
        .ok_or_else(|| "must be 0.1 (seconds) to 1d: a number, then ms, s (or nothing), m, h or d".to_owned())
}

/// What `top --help` ends with.
pub(crate) const TOP_NOTES: &str = "\
Keys:
  p, c     processes, connections
  i, o     sort by bytes in, out
  t        sort by bytes both ways
  a        sort by all bytes since the start
  n        sort by name
  q, Esc   quit (and Ctrl-C)

Environment:
  NO_COLOR  no color

Exit status:
  0  it was quit
  1  something failed; standard error says what
  2  the command line is wrong";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told() {
        assert_eq!(every("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "0.05", "2d", "often"] {
            assert!(every(text).unwrap_err().contains("0.1 (seconds) to 1d"), "{text}");
        }
    }
}
