//! What the commands may be told on Linux only. Part of [`crate::cli`].

use std::path::PathBuf;

use hone_client::LogLevels;
use hone_client::api::limits::{HARD_MAX_RING_BYTES, MIN_RING_BYTES};
use hone_linux::Mechanism;

use super::service_feed::Which;

/// Largest kernel ring buffer, MiB.
const MAX_BUFFER_MIB: u32 = 1024;

/// Where `read` has its events from.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// Kernel buffer between sensor and file: a power of two, 1 to 1024 [default: 64]
    ///
    /// A larger one drops fewer packets when traffic comes in bursts or the disk is slow. Through honed, its own holds:
    /// sensor_buffer in /etc/hone/hone.toml.
    #[arg(long, value_name = "MIB", value_parser = buffer_size)]
    pub buffer_size: Option<u32>,

    /// How to learn who uses a socket: trampolines or tracepoints [default: the best that the kernel permits]
    ///
    /// For comparisons; through honed, its own holds: `honed --mechanism`.
    #[arg(long, value_name = "HOW", value_parser = hone_linux::mechanism)]
    pub mechanism: Option<Mechanism>,

    /// Whether to record through the service.
    #[command(flatten)]
    pub way: WayArgs,

    /// Wait for honed, and go on with a new section when it is back after it ended
    #[arg(long, conflicts_with = "local")]
    pub follow: bool,
}

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
pub struct ServiceArgs {
    /// The honed that listens on PATH [default: /run/hone/hone.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// Arguments of `log-level`.
#[derive(Debug, clap::Args)]
pub struct LogLevelArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// A mask from 0 to 0x1f, or names with commas: error, warning, information, verbose, lock-status, all
    #[arg(value_name = "LEVELS", value_parser = log_levels)]
    pub levels: Option<LogLevels>,
}

/// Arguments of `ring-size`.
#[derive(Debug, clap::Args)]
pub struct RingSizeArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Bytes: 1024 to 16777216; one block of the stream takes 8
    #[arg(value_name = "BYTES", value_parser = ring_size)]
    pub bytes: Option<u32>,
}

/// Which service.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceArgs {
    /// The honed that listens on PATH, which systemd knows nothing of [default: as the configuration says]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The honed with this configuration, which systemd knows nothing of [default: /etc/hone/hone.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Where honed's messages go, where there is no systemd with a journal
    #[arg(long, value_name = "FILE", default_value = crate::platform::manage::LOG)]
    pub log: PathBuf,

    /// Become this honed, in a session of its own: what `start` starts.
    #[arg(long, hide = true, value_name = "HONED")]
    pub become_honed: Option<PathBuf>,
}

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Also while readers are attached: their streams end
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Install below DIR, for another system: no group, and nothing is started
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The honed to install [default: beside honeutil, or on the PATH]
    #[arg(long, value_name = "FILE")]
    pub honed: Option<PathBuf>,

    /// Do not start honed, neither now nor when the system starts
    #[arg(long)]
    pub no_start: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Uninstall below DIR
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Leave /etc/hone/hone.toml where it is
    #[arg(long)]
    pub keep_config: bool,

    /// Also while readers are attached: their streams end
    #[arg(short, long)]
    pub force: bool,
}

fn buffer_size(text: &str) -> Result<u32, String> {
    text.parse::<u32>()
        .ok()
        .filter(|mib| mib.is_power_of_two() && *mib <= MAX_BUFFER_MIB)
        .ok_or_else(|| format!("must be a power of two from 1 to {MAX_BUFFER_MIB} MiB"))
}

fn log_levels(text: &str) -> Result<LogLevels, String> {
    text.parse().map_err(|error: hone_client::UnknownLevel| error.to_string())
}

fn ring_size(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|bytes| (MIN_RING_BYTES..=HARD_MAX_RING_BYTES).contains(bytes))
        .ok_or_else(|| format!("must be {MIN_RING_BYTES} to {HARD_MAX_RING_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told() {
        assert_eq!(buffer_size("1024"), Ok(1024));
        for text in ["0", "3", "2048", "-64", "64M", ""] {
            assert!(buffer_size(text).unwrap_err().contains("1 to 1024 MiB"), "{text:?}");
        }
        assert_eq!(ring_size("1024"), Ok(1024));
        for text in ["1023", "16777217", "4K", ""] {
            assert!(ring_size(text).unwrap_err().contains("1024 to 16777216"), "{text}");
        }
        assert!(log_levels("0x20").unwrap_err().contains("0x1f"));
    }
}
