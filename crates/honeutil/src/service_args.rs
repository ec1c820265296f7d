//! What the commands that talk to the service may be told. Part of [`crate::args`].

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use hone_reader::LogLevels;
use hone_reader::api::limits::{HARD_MAX_RING_BYTES, MIN_RING_BYTES};

use crate::args::duration;
use crate::remote::Which;

/// Times between two reports.
const MIN_EVERY: Duration = Duration::from_millis(100);
const MAX_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether to record through the service.
#[derive(Debug, clap::Args)]
pub struct WayArgs {
    /// Record through the honed that listens on PATH [default: /run/hone/hone.sock, if honed runs]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Record in this process, also if honed runs
    #[arg(long, conflicts_with = "socket")]
    pub local: bool,
}

impl WayArgs {
    /// Which service.
    #[must_use]
    pub fn which(&self, follow: bool) -> Which {
        Which { socket: self.socket.clone(), local: self.local, follow }
    }
}

/// Which service to ask.
#[derive(Debug, clap::Args)]
pub struct SocketArgs {
    /// The honed that listens on PATH [default: /run/hone/hone.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// Arguments of `get-stats`.
#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: SocketArgs,

    /// One JSON object, or with --watch one a line
    #[arg(long)]
    pub json: bool,

    /// Again every so many seconds, until Ctrl-C: 0.1 to 1d, as 5, 0.5, 10s, 1m
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2", value_parser = every)]
    pub watch: Option<Duration>,

    /// What honed uses memory for, instead
    #[arg(long)]
    pub memory: bool,
}

/// Arguments of `send-conns`.
#[derive(Debug, clap::Args)]
pub struct ConnsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: SocketArgs,

    /// Print the connections as a table
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub verbose: bool,

    /// Send nothing; useful with -v
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `log-level`.
#[derive(Debug, clap::Args)]
pub struct LogLevelArgs {
    /// Which service.
    #[command(flatten)]
    pub service: SocketArgs,

    /// A mask from 0 to 0x1f, or names with commas: error, warning, information, verbose, lock-status, all
    #[arg(value_name = "LEVELS", value_parser = log_levels)]
    pub levels: Option<LogLevels>,
}

/// Arguments of `ring-size`.
#[derive(Debug, clap::Args)]
pub struct RingSizeArgs {
    /// Which service.
    #[command(flatten)]
    pub service: SocketArgs,

    /// Bytes: 1024 to 16777216; one block of the stream takes 8
    #[arg(value_name = "BYTES", value_parser = ring_size)]
    pub bytes: Option<u32>,
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

fn log_levels(text: &str) -> Result<LogLevels, String> {
    text.parse().map_err(|error: hone_reader::UnknownLevel| error.to_string())
}

fn ring_size(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|bytes| (MIN_RING_BYTES..=HARD_MAX_RING_BYTES).contains(bytes))
        .ok_or_else(|| format!("must be {MIN_RING_BYTES} to {HARD_MAX_RING_BYTES} bytes"))
}

/// What `get-stats --help` ends with.
pub(crate) const STATS_NOTES: &str = "\
Numbers:
  A snap length of 0 is unlimited. Connection close events may exceed open
  events: connections that were open before honed started close, too.
  Drops are counted where they happen: in the sensor (between kernel and
  honed), in the queue manager (no memory), in a reader's ring buffer (the
  reader is too slow; other readers lose nothing).

Exit status:
  0  done
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil get-stats
  honeutil get-stats --watch 5
  honeutil get-stats --json | jq .dropped.sensor.packets";

/// What `send-conns --help` ends with.
pub(crate) const CONNS_NOTES: &str = "\
Reads the sockets of all network namespaces that a process is in, and who
holds them, from /proc, and sends the list to honed, which names with it the
process of packets that it cannot explain by itself. You do not need this in
normal operation: honed reads the open sockets when it starts.

Exit status:
  0  sent
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  sudo honeutil send-conns -v
  sudo honeutil send-conns --dry-run -v";

/// What `log-level --help` ends with.
pub(crate) const LOG_NOTES: &str = "\
Levels:
  error        0x01  something failed; always logged
  warning      0x02  something is weaker than it should be
  information  0x04  starts, stops, readers that come and go
  verbose      0x08  each request
  lock-status  0x10  who waited for the lock, and for how long
  They hold until honed ends or reads its configuration again (log_level in
  /etc/hone/hone.toml).

Examples:
  honeutil log-level
  honeutil log-level warning,verbose
  honeutil log-level 0x1f";

/// What `ring-size --help` ends with.
pub(crate) const RING_NOTES: &str = "\
Readers that are attached keep their ring buffers. The size holds until honed
ends; ring_buffer_size in /etc/hone/hone.toml is for good.

Examples:
  honeutil ring-size
  honeutil ring-size 4194304";

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
        assert_eq!(ring_size("1024"), Ok(1024));
        for text in ["1023", "16777217", "4K", ""] {
            assert!(ring_size(text).unwrap_err().contains("1024 to 16777216"), "{text}");
        }
        assert!(log_levels("0x20").unwrap_err().contains("0x1f"));
    }
}
