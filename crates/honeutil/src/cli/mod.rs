//! The command line: what may be said, and in which ranges. Nothing here touches the system; [`crate::cli::command`] acts.

pub mod command;
pub(crate) mod generate;
mod notes;
pub mod service_args;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::notes::{NOTES, SHOW_NOTES};
use crate::cli::service_args::{ConnsArgs, StatsArgs, TOP_NOTES, TopArgs};
use crate::output::archive::Keep;
use crate::platform;
use crate::platform::args::{InstallArgs, SourceArgs, StartArgs, StatusArgs, StopArgs, UninstallArgs};
#[cfg(target_os = "linux")]
use crate::platform::args::{LogLevelArgs, RingSizeArgs};
use crate::platform::notes::{
    COMPLETIONS_NOTES, CONNS_NOTES, INSTALL_NOTES, READ_NOTES, SHOW_EXAMPLES, START_NOTES, STATS_NOTES,
    STATUS_NOTES, STOP_NOTES, UNINSTALL_NOTES,
};
#[cfg(target_os = "linux")]
use crate::platform::notes::{LOG_NOTES, RING_NOTES};
use crate::record::rotation::Rotation;
use crate::repair::{self, RepairArgs};
use crate::show::expression::Expression;
use crate::show::select::{Network, Selection};

/// Largest snap length, bytes: what common readers accept as a packet at all.
const MAX_SNAP_LENGTH: u32 = hone_engine::MAX_PACKET_BYTES;
/// Longest recording that can be asked for.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Sizes between which files are rotated.
const MIN_FILE_BYTES: u64 = 1 << 20;
const MAX_FILE_BYTES: u64 = 16 << 40;
/// Shortest time between files.
const MIN_FILE_TIME: Duration = Duration::from_secs(1);

/// Records which process sent or received every packet, as augmented PCAP-NG.
#[derive(Debug, Parser)]
#[command(name = "honeutil", version, arg_required_else_help = true, after_long_help = NOTES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Pause before exiting: wait for Enter, if standard input is a terminal
    ///
    /// So that the last messages can be read in a window that closes with the program.
    #[arg(short, long, global = true)]
    pub pause: bool,
}

impl Cli {
    /// What the command line says; ends the program if it is wrong.
    #[must_use]
    pub fn checked() -> Self {
        let cli = Self::parse_from(platform::arguments());
        if let Err(error) = cli.check() {
            error.exit();
        }
        cli
    }

    /// What no single option shows.
    fn check(&self) -> Result<(), clap::Error> {
        let Command::Read(args) = &self.command else { return Ok(()) };
        let to_stream = args
            .write
            .as_ref()
            .is_some_and(|file| file.as_os_str() == "-" || platform::file::is_pipe_name(file));
        if to_stream && (args.rotation().is_on() || !args.keep().is_everything()) {
            let message = "--rotate-size, --rotate-time, --max-files and --compress are for files: use -d or -w FILE, \
                           not -w - or a pipe";
            let mut command = Self::command();
            command.build();
            let mut read = command.find_subcommand("read").cloned().unwrap_or(command);
            return Err(read.error(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record live traffic with its processes
    #[command(after_long_help = READ_NOTES)]
    Read(ReadArgs),
    /// Show recordings as text or JSON, one event a line
    #[command(after_long_help = format!("{SHOW_NOTES}{SHOW_EXAMPLES}"))]
    Show(ShowArgs),
    /// Keep the whole blocks of a recording whose end is torn
    #[command(after_long_help = repair::NOTES)]
    Repair(RepairArgs),
    /// Show live who sends and receives how much
    #[command(after_long_help = TOP_NOTES)]
    Top(TopArgs),
    #[cfg_attr(not(windows), doc = "Show the statistics of honed")]
    #[cfg_attr(windows, doc = "Show the statistics of the driver")]
    #[command(after_long_help = STATS_NOTES)]
    GetStats(StatsArgs),
    #[cfg_attr(not(windows), doc = "Send the list of open connections to honed")]
    #[cfg_attr(windows, doc = "Send the list of open connections to the driver")]
    #[command(after_long_help = CONNS_NOTES)]
    SendConns(ConnsArgs),
    /// Show or set which messages honed logs
    #[cfg(target_os = "linux")]
    #[command(after_long_help = LOG_NOTES)]
    LogLevel(LogLevelArgs),
    /// Show or set the ring buffer of honed's new readers
    #[cfg(target_os = "linux")]
    #[command(after_long_help = RING_NOTES)]
    RingSize(RingSizeArgs),
    #[cfg_attr(not(windows), doc = "Start honed")]
    #[cfg_attr(windows, doc = "Start the driver")]
    #[command(after_long_help = START_NOTES)]
    Start(StartArgs),
    #[cfg_attr(not(windows), doc = "Stop honed")]
    #[cfg_attr(windows, doc = "Stop the driver")]
    #[command(after_long_help = STOP_NOTES)]
    Stop(StopArgs),
    #[cfg_attr(not(windows), doc = "Show whether honed runs")]
    #[cfg_attr(windows, doc = "Show whether the driver is installed and runs")]
    #[command(after_long_help = STATUS_NOTES)]
    Status(StatusArgs),
    #[cfg_attr(not(windows), doc = "Install honed, its configuration and its group")]
    #[cfg_attr(windows, doc = "Install the driver and the network filters that call it")]
    #[command(after_long_help = INSTALL_NOTES)]
    Install(InstallArgs),
    /// Remove what install has made
    #[command(after_long_help = UNINSTALL_NOTES)]
    Uninstall(UninstallArgs),
    /// Print a shell's completions of honeutil's command line
    #[command(after_long_help = COMPLETIONS_NOTES)]
    Completions {
        /// Whose
        shell: Shell,
    },
    /// Write the man pages, made of this help, into a directory
    #[command(hide = true)]
    Man {
        /// An existing directory
        directory: PathBuf,
    },
}

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Recordings to show, also if compressed with zstd or gzip; - or none is standard input
    ///
    /// Captures of other programs are shown too, PCAP-NG and libpcap's .pcap. A packet without a time (in a simple packet
    /// block) has - for it.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// One JSON object a line, with the field names of the Elastic Common Schema
    ///
    /// What is not known is left out: an event without a time has no @timestamp. Characters that do not print, or change
    /// how others print, are escaped as \uXXXX.
    #[arg(long)]
    pub json: bool,

    /// Events of this process
    #[arg(long, value_name = "PID", value_parser = process_id)]
    pub pid: Vec<u32>,

    /// Events of processes whose executable has this file name, or this path
    ///
    /// As it is, or as show prints it: evil\x1b.sh, caf\xe9. So have --user and --container.
    #[arg(long, value_name = "NAME", value_parser = nonempty)]
    pub name: Vec<String>,

    /// Events of processes of this user, by name, number or security identifier
    #[arg(long, value_name = "USER", value_parser = nonempty)]
    pub user: Vec<String>,

    /// Events of processes in the container whose id or name begins so
    #[arg(long, value_name = "ID", value_parser = nonempty)]
    pub container: Vec<String>,

    /// Events and packets of this connection
    #[arg(long, value_name = "ID", value_parser = connection_id)]
    pub conn: Vec<u64>,

    /// Packets from or to this port
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub port: Vec<u16>,

    /// Packets from or to this address or network (ADDRESS/BITS)
    #[arg(long, value_name = "HOST")]
    pub host: Vec<Network>,

    /// Packets that meet a pcap-filter expression, as tcpdump has them
    ///
    /// Such as 'tcp port 443 and not net 10.0.0.0/8' or 'tcp[tcpflags] & tcp-syn != 0'. Hosts and ports are numbers;
    /// what looks at the link layer (ether, vlan) is refused.
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<Expression>,
}

impl ShowArgs {
    /// What the filters say together.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection {
            pids: self.pid.clone(),
            names: self.name.clone(),
            users: self.user.clone(),
            containers: self.container.clone(),
            connections: self.conn.clone(),
            ports: self.port.clone(),
            hosts: self.host.clone(),
            expression: self.filter.clone(),
        }
    }
}

/// Arguments of `read`.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// Write into DIR, as HOST_YYYYMMDD_HHMMSS.pcapng (UTC) [default: the current directory]
    ///
    /// If the name is taken, _1, _2 and so on is appended; no file is ever overwritten. Recordings hold
    #[cfg_attr(not(windows), doc = "everyone's traffic: new files are readable by their owner only.")]
    #[cfg_attr(windows, doc = "everyone's traffic: new files are for their owner and administrators only.")]
    #[arg(short, long, value_name = "DIR", conflicts_with = "write")]
    pub directory: Option<PathBuf>,

    /// Write to FILE instead; - is standard output
    ///
    /// An existing file is overwritten once recording starts, and keeps its permissions; a new one is
    #[cfg_attr(not(windows), doc = "readable by its owner only. FILE may be a named pipe.")]
    #[cfg_attr(
        windows,
        doc = r"for its owner and administrators only. FILE may be a named pipe, \\.\pipe\NAME, see below."
    )]
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// Keep at most BYTES of each packet; 0: all of it
    #[arg(short, long, value_name = "BYTES", default_value = "0", value_parser = snap_length)]
    pub snap_length: u32,

    /// Stop after this time: 10, 0.5, 10s, 2m, 1h, 1d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Stop after N packets
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<NonZeroU64>,

    /// Begin the next file before one grows beyond BYTES: 1M to 16T, with K, M, G or T
    ///
    /// A file is at least twice as large as the state of the host that it begins with.
    #[arg(long, value_name = "BYTES", value_parser = rotate_size)]
    pub rotate_size: Option<u64>,

    /// Begin the next file after this time: 1s to 365d, as --duration
    #[arg(long, value_name = "TIME", value_parser = rotate_time)]
    pub rotate_time: Option<Duration>,

    /// Keep at most N files of this recording: remove its oldest when a new one begins
    ///
    /// A file that was there before, and that -w overwrote, is not counted and never removed. Nor is one that somebody
    /// has moved. While one is compressed, there is one more, FILE.zst.part.
    #[arg(long, value_name = "N", value_parser = max_files)]
    pub max_files: Option<NonZeroU32>,

    /// Compress each finished file with zstd, into FILE.zst
    ///
    /// This happens beside the recording, one file at a time, as FILE.zst.part; the plain file is removed once the
    /// compressed one is whole. `honeutil show` reads both. What a recorder of the same names has left half compressed
    /// when it was killed is removed; its plain file stays as it is.
    #[arg(long)]
    pub compress: bool,

    /// Where events come from.
    #[command(flatten)]
    pub source: SourceArgs,

    /// Say more on standard error; twice or three times for even more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// No progress line and no summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl ReadArgs {
    /// When to begin the next file.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        Rotation { size: self.rotate_size, time: self.rotate_time }
    }

    /// What becomes of finished files.
    #[must_use]
    pub fn keep(&self) -> Keep {
        Keep { max_files: self.max_files, compress: self.compress }
    }
}

fn snap_length(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|bytes| *bytes <= MAX_SNAP_LENGTH)
        .ok_or_else(|| format!("must be 0 (all of each packet) or 1 to {MAX_SNAP_LENGTH} bytes"))
}

fn count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| format!("must be 1 to {} packets", u64::MAX))
}

fn rotate_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    // Only digits: a number's own parser would also take a sign.
    shift
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
        .zip(digits.parse::<u64>().ok())
        .and_then(|(shift, number)| number.checked_mul(1 << shift))
        .filter(|bytes| (MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(bytes))
        .ok_or_else(|| "must be 1M to 16T: a whole number of bytes, or one with K, M, G or T".to_owned())
}

fn rotate_time(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| *time >= MIN_FILE_TIME)
        .ok_or_else(|| "must be 1s to 365d: a number, then s (or nothing), m, h or d".to_owned())
}

fn max_files(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("must be 1 to {} files", u32::MAX))
}

fn process_id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a process id, 0 to {}", u32::MAX))
}

fn connection_id(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("must be a connection id, 0 to {}", u64::MAX))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("must be a port, 0 to {}", u16::MAX))
}

fn nonempty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    // Only digits and a point: f64 would also take "inf" and signs.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    unit.filter(|_| plain)
        .zip(number.parse::<f64>().ok())
        .and_then(|(unit, number)| Duration::try_from_secs_f64(number * unit).ok())
        .filter(|duration| (Duration::from_millis(1)..=MAX_DURATION).contains(duration))
        .ok_or_else(|| "must be 1ms to 365d: a number, then ms, s (or nothing), m, h or d".to_owned())
}

/// What options take as their values, for the fuzz targets (`hone-fuzz`): which of them take this text.
#[doc(hidden)]
#[must_use]
pub fn values(text: &str) -> [bool; 10] {
    if let Ok(time) = duration(text) {
        assert!(time <= MAX_DURATION);
    }
    if let Ok(bytes) = rotate_size(text) {
        assert!((MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(&bytes));
    }
    [
        snap_length(text).is_ok(),
        count(text).is_ok(),
        rotate_size(text).is_ok(),
        rotate_time(text).is_ok(),
        max_files(text).is_ok(),
        process_id(text).is_ok(),
        connection_id(text).is_ok(),
        port(text).is_ok(),
        duration(text).is_ok(),
        text.parse::<Network>().is_ok(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations() {
        let seconds = |text| duration(text).map(|d| d.as_secs_f64());
        for (text, expected) in [
            ("10", 10.0),
            ("10s", 10.0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("2m", 120.0),
            ("1.5h", 5400.0),
            ("1d", 86_400.0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert!(duration("365d").is_ok());
        let refused =
            ["", "0", "0s", "-1", "+1", "1e3", "inf", "nan", ".", "1.2.3", "s", "10 s", "10x", "366d", "1µs"];
        for text in refused {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn snap_lengths() {
        for text in ["0", "1", "96", "262144"] {
            assert_eq!(snap_length(text).map(|n| n.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "-1", "262145", "4294967296", "96k", "0x10"] {
            assert!(snap_length(text).unwrap_err().contains("1 to 262144"), "{text:?}");
        }
    }

    #[test]
    fn rotation() {
        for (text, bytes) in
            [("1M", 1 << 20), ("1048576", 1 << 20), ("1024k", 1 << 20), ("3g", 3 << 30), ("16T", 16 << 40)]
        {
            assert_eq!(rotate_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1023K", "17T", "1.5M", "-1M", "+2M", "M", "1MB", "1 M", "99999999999999999999"]
        {
            assert!(rotate_size(text).unwrap_err().contains("1M to 16T"), "{text:?}");
        }
        assert_eq!(rotate_time("90m"), Ok(Duration::from_secs(5400)));
        for text in ["0", "999ms", "366d", ""] {
            assert!(rotate_time(text).unwrap_err().contains("1s to 365d"), "{text:?}");
        }
        assert!(max_files("0").is_err() && max_files("1").is_ok());
    }

    #[test]
    fn counts() {
        assert_eq!(count("1").map(NonZeroU64::get), Ok(1));
        for text in ["0", "-1", "", "1.5", "18446744073709551616"] {
            assert!(count(text).is_err(), "{text:?}");
        }
    }
}
