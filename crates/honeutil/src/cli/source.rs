//! Where a command that records takes its events from, and the form that it gives them.

#[cfg(target_os = "linux")]
use hone_linux::Mechanism;

#[cfg(target_os = "linux")]
use super::parse::buffer_size;
use super::service_choice::ServiceChoice;
use crate::convert::Form;

/// Where events come from: on Windows, always the driver.
#[derive(Debug, Default, clap::Args)]
pub struct SourceArgs {
    /// Kernel buffer between sensor and file: a power of two, 1 to 1024 [default: 64]
    ///
    /// A larger buffer drops fewer packets when traffic comes in bursts or the disk is slow. Has no effect through honed:
    /// there, sensor_buffer in /etc/hone/hone.toml counts.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "MIB", value_parser = buffer_size)]
    pub buffer_size: Option<u32>,

    /// How to learn who uses a socket: trampolines or tracepoints [default: the best that the kernel permits]
    ///
    /// For comparisons. Has no effect through honed: there, `honed --mechanism` counts.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "HOW", value_parser = hone_linux::mechanism)]
    pub mechanism: Option<Mechanism>,

    /// Record the SHA-256 of the executable of each process
    ///
    /// A file that was not hashed before is read by a thread of its own, at most 64 MiB in a second: the hash comes a moment after
    /// the process's start, as an event HASH. Files above 512 MiB have none. If there is none, the recording says why. Of a
    /// script, it is the interpreter's. Has no effect through honed: there, hash_executables in /etc/hone/hone.toml counts.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub hash: bool,

    /// Whether to record through the service.
    #[command(flatten)]
    pub service: ServiceChoice,

    /// Wait for honed, and when it was restarted go on with a new section
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with = "local")]
    pub follow: bool,
}

/// The forms that a recording can be made in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Hone's own
    #[default]
    Hone,
    /// With Wireshark's process blocks, too
    Wireshark,
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Hone => Self::Hone,
            Format::Wireshark => Self::Wireshark,
        }
    }
}
