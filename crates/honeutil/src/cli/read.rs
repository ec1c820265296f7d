//! `honeutil read`: records live traffic with its processes.

use std::io::Write as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ArgAction;
#[cfg(target_os = "linux")]
use hone_linux::Mechanism;

use hone_engine::SnapLength;
#[cfg(target_os = "linux")]
use hone_select::Selection;

#[cfg(target_os = "linux")]
use super::parse::buffer_size;
use super::parse::{count, duration, max_files, rotate_size, rotate_time, snap_length};
use super::refusal;
#[cfg(target_os = "linux")]
use super::run::CommandArgs;
use super::selection::{self, SelectionArgs};
use super::service_choice::ServiceChoice;
use crate::messages::{Messages, Progress, print};
use crate::output::archive::Keep;
use crate::output::{Output, OutputError, Target};
use crate::platform::ready::Ready;
use crate::platform::{self, host, open_source};
use crate::record::companion::Companion;
use crate::record::control::Control;
use crate::record::error::RecordError;
use crate::record::recorder::{Options, Recorder};
use crate::record::rotation::Rotation;
use crate::record::wanted::Wanted;
use crate::record::{summary, summary_json};

/// Record live traffic with its processes
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NOTES}", selection::NOTES))]
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

    /// Keep at most BYTES of each packet; 0: the whole packet
    #[arg(short, long, value_name = "BYTES", default_value = "0", value_parser = snap_length)]
    pub snap_length: SnapLength,

    /// Stop after this time: 10, 0.5, 10s, 2m, 1h, 1d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Stop after N packets
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<NonZeroU64>,

    /// Begin the next file before one grows beyond BYTES: 1M to 16T, with K, M, G or T
    ///
    /// Each file begins with the state of the host, and may become at least twice as large as that.
    #[arg(long, value_name = "BYTES", value_parser = rotate_size)]
    pub rotate_size: Option<u64>,

    /// Begin the next file after this time: 1s to 365d, as --duration
    #[arg(long, value_name = "TIME", value_parser = rotate_time)]
    pub rotate_time: Option<Duration>,

    /// Keep at most N files of this recording: remove its oldest when a new one begins, or when the disk is full
    ///
    /// A file that was there before, and that -w overwrote, is not counted and never removed, and neither is a file that
    /// somebody has moved. While a file is compressed, there is one more, FILE.zst.part.
    #[arg(long, value_name = "N", value_parser = max_files)]
    pub max_files: Option<NonZeroU32>,

    /// Compress each finished file with zstd, into FILE.zst
    ///
    /// This happens during the recording, one file at a time, as FILE.zst.part; the plain file is removed once the
    /// compressed one is whole. `honeutil show` reads both. If a recorder that used the same names was killed while it
    /// compressed, its half file is removed; its plain file stays as it is.
    #[arg(long)]
    pub compress: bool,

    /// Where events come from.
    #[command(flatten)]
    pub source: SourceArgs,

    /// Which packets.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// More messages on standard error; -vv and -vvv for even more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// No progress line and no summary
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// The summary as one JSON object, on standard output
    ///
    /// On standard error, if the recording goes to standard output, or a command is recorded. Nothing, if nothing could be
    /// recorded. It has at most 100 processes, those with most bytes, and 10
    /// peers of each. "error" is there only if something failed.
    #[arg(long)]
    pub json: bool,

    /// Write a line `ready` to this file descriptor once everything that happens is recorded
    ///
    /// A pipe or a file that the parent process has opened, with a number from 3 on. It is closed then. If NOTIFY_SOCKET is set, READY=1 and STOPPING=1 are also sent
    /// there, so that a systemd unit can be of Type=notify.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FD")]
    pub ready_fd: Option<i32>,

    /// Record all events of processes and connections, not only those of the packets that are selected
    ///
    /// Else a recording of a selection has, of the host's processes, those of its packets with their ancestors, and of the
    /// connections, those of its packets.
    #[arg(long)]
    pub all_events: bool,

    /// Record also the traffic of what reads this output, and of the ssh connection
    ///
    /// If the recording goes to a pipe, the traffic of the program that reads the pipe is left out, also that of programs
    /// which this one writes to, and the ssh connection through which honeutil was started: else each packet that is sent
    /// makes another one. A message names them; the summary counts the packets.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub include_own: bool,

    /// A command to be recorded.
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub command: CommandArgs,
}

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

    /// Whether to record through the service.
    #[command(flatten)]
    pub service: ServiceChoice,

    /// Wait for honed, and when it was restarted go on with a new section
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with = "local")]
    pub follow: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Signals:
  INT (Ctrl-C), TERM  end the file at a block boundary, print the summary
  HUP                 end the file and begin the next, which stands alone:
                      in DIR it is named by the time; FILE.pcapng is
                      followed by FILE_1.pcapng, FILE_2.pcapng and so on;
                      a pipe gets a new section. When the terminal itself
                      hangs up, the recording ends.

Files:
  If a file is deleted or replaced while it is written, a warning within a
  second says so, and how to save its contents. Recording into it goes on, the
  next file begins at its usual time, and the exit status is 1. A file that is
  moved, as logrotate does it, stays whole: the summary has its new name.
  Neither is compressed or removed. Finished files may be taken at any time.

honed:
  If honed runs, its stream is recorded; if not, honeutil loads the sensor
  itself, which needs root. -v says which. If honed runs and refuses, nothing
  is recorded. Through honed, a file may exceed --rotate-size by what waited
  in honed when the size was reached.

Exit status:
  0    the recording ended as asked
  1    something failed, or a file was deleted or replaced meanwhile; standard
       error says what, and files end at their last whole block. Without a
       message: the reader of the pipe closed it.
  2    the command line is wrong; nothing was started
  130  a second Ctrl-C ended it while its output was stuck, or honed hung

Examples:
  sudo honeutil read --duration 10
  sudo honeutil read -w web.pcapng --count 1000 -s 96
  sudo honeutil read -d /var/tmp --rotate-size 1G --max-files 24 --compress
  sudo honeutil read -w - | tshark -l -r -";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Keys:
  Ctrl-C      end the file at a block boundary, print the summary
  Ctrl-Break  end the file and begin the next, which stands alone:
              in DIR it is named by the time; FILE.pcapng is followed by
              FILE_1.pcapng, FILE_2.pcapng and so on; a pipe gets a new
              section
  When the window is closed, the user logs off or the computer shuts down, the
  recording ends as with Ctrl-C.

Files:
  If a file is deleted or replaced while it is written, a warning within a
  second says so. Recording into it goes on, the next file begins at its usual
  time, and the exit status is 1. A file that is moved stays whole: the summary
  has its new name. Neither is compressed or removed. Finished files may be
  taken at any time.

Pipes:
  -w \\\\.\\pipe\\NAME makes the pipe unless it exists, waits until a program opens
  it, and records until that program closes it. One program of this computer
  can open it, as an administrator. If another program has made the pipe,
  honeutil writes to it; that program learns who writes, and can do nothing
  under that name.

It reads the driver's stream, which only administrators may. Any number of
programs can read at the same time; each gets everything. The driver can't be
stopped meanwhile. A file may exceed --rotate-size by what waited in the driver
when the size was reached.

Exit status:
  0    the recording ended as asked
  1    something failed, or a file was deleted or replaced meanwhile; standard
       error says what, and files end at their last whole block. Without a
       message: the reader of the pipe closed it; that is noticed when the next
       block is written.
  2    the command line is wrong; nothing was started
  130  a second Ctrl-C ended it while its output was stuck

Examples:
  honeutil read --duration 10
  honeutil read -w web.pcapng --count 1000 -s 96
  honeutil read -d D:\\traffic --rotate-size 1G --max-files 24 --compress
  honeutil read -w - | tshark -l -r -
  start honeutil read -q -w \\\\.\\pipe\\hone
  start \"\" \"C:\\Program Files\\Wireshark\\Wireshark.exe\" -k -i \\\\.\\pipe\\hone
  PowerShell before 7.4 garbles binary data in pipes: use the command prompt.";

pub(super) fn run(args: &ReadArgs) -> anyhow::Result<ExitCode> {
    #[cfg(target_os = "linux")]
    if !args.command.command.is_empty() {
        return super::run::record_command(args);
    }
    log(args.verbose);
    #[cfg(target_os = "linux")]
    let ready = Ready::open(args.ready_fd)?;
    #[cfg(windows)]
    let ready = Ready;
    let wanted = Wanted::new(args.snap_length, &args.selection.selection);
    let mut control = Control::with_signals().context("cannot handle signals")?;
    record(args, &wanted, &host::name(), &mut control, ready, |_| {}, None)
}

/// Records. `prefix`: what the names of files in a directory begin with; `opened` is called with the output before anything is
/// recorded.
pub(super) fn record(
    args: &ReadArgs,
    wanted: &Wanted,
    prefix: &str,
    control: &mut Control,
    mut ready: Ready,
    opened: impl FnOnce(&mut Output),
    companion: Option<&mut dyn Companion>,
) -> anyhow::Result<ExitCode> {
    // Before the sensor, which takes a while to load: a bad path is reported at once.
    let mut output = Output::open(args.target(), prefix, host::now(), control)?;
    opened(&mut output);
    let rotation = args.rotation();
    if rotation.is_on() {
        output.require_files()?;
    }
    if !args.keep().is_everything() {
        output.keep(args.keep())?;
    }
    #[cfg(target_os = "linux")]
    let wanted = &without_own(args, wanted, &output)?;
    host::raise_priority();
    let feed = open_source(&args.source, wanted, control)?;
    let options =
        Options { snap_length: args.snap_length, duration: args.duration, count: args.count, rotation };
    // A command has the terminal and standard output for itself.
    let is_command = companion.is_some();
    let mut progress = Progress::new(!args.quiet && !is_command);
    let begun = |name: &str| {
        if !args.quiet {
            let _ = writeln!(Messages, "Recording to {name}");
        }
        ready.tell();
    };
    let mut recorder = Recorder::new(feed, options, &mut output, control, &mut progress).on_begin(begun);
    if !args.all_events && (is_command || !args.selection.selection.is_everything()) {
        recorder = recorder.reduced();
    }
    if let Some(companion) = companion {
        recorder = recorder.with(companion);
    }
    let (outcome, tally, result) = recorder.run();
    ready.tell_end();
    if args.json {
        let error = result.as_ref().err().map(ToString::to_string);
        let summary = summary_json::render(&outcome, &tally, error.as_deref());
        if is_command || args.target() == Target::Stdout {
            let _ = Messages.write_all(summary.as_bytes());
        } else {
            print(&summary)?;
        }
    }
    if matches!(result, Err(RecordError::Output(OutputError::Closed { .. }))) {
        return Ok(ExitCode::FAILURE);
    }
    if !args.quiet && !args.json {
        let _ = Messages.write_all(summary::render(&outcome, &tally).as_bytes());
    }
    result?;
    // A warning has named each file that could not be compressed or removed.
    Ok(if output.report().is_some_and(|report| report.failures > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is wanted, but for the stream's own traffic.
#[cfg(target_os = "linux")]
fn without_own(args: &ReadArgs, wanted: &Wanted, output: &Output) -> anyhow::Result<Wanted> {
    use crate::platform::own_traffic::OwnTraffic;
    use std::os::unix::fs::FileTypeExt as _;
    let can_send_on = |data: &std::fs::Metadata| data.file_type().is_fifo() || data.file_type().is_socket();
    let stream = output.stream().filter(|data| can_send_on(data) && !args.include_own);
    let Some(stream) = stream else { return Ok(wanted.clone()) };
    let own = OwnTraffic::of(&stream);
    if own.consumers.is_empty() {
        tracing::warn!(
            "it cannot be found out which program reads {}: if that sends on what it reads, the recording records itself",
            output.name()
        );
    }
    if own == OwnTraffic::default() {
        return Ok(wanted.clone());
    }
    // Not only with -v: a program that opens the pipe would be left out, too, and is seen here.
    if !args.quiet {
        let _ = writeln!(Messages, "Left out: the traffic of {own}; --include-own records it");
    }
    let mut selection = Selection::parse(&wanted.selection)?;
    own.exclude(&mut selection)
        .context("the stream's own traffic cannot be left out, too; --include-own records it")?;
    Ok(Wanted::new(wanted.snap_length, &selection))
}

impl ReadArgs {
    /// Refuses options that make no sense together.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        #[cfg(target_os = "linux")]
        super::run::check_output("read", self)?;
        let is_stream = match self.target() {
            Target::Stdout => true,
            Target::File(path) => platform::file::is_pipe_name(&path),
            Target::Directory(_) => false,
        };
        if is_stream && (self.rotation().is_on() || !self.keep().is_everything()) {
            let message = "--rotate-size, --rotate-time, --max-files and --compress are for files: use -d or -w FILE, \
                           not -w - or a pipe";
            return Err(refusal("read", message));
        }
        Ok(())
    }

    pub(super) fn target(&self) -> Target {
        match (&self.write, &self.directory) {
            (Some(file), _) if file.as_os_str() == "-" => Target::Stdout,
            (Some(file), _) => Target::File(file.clone()),
            (None, directory) => Target::Directory(directory.clone().unwrap_or_default()),
        }
    }

    fn rotation(&self) -> Rotation {
        Rotation { size: self.rotate_size, time: self.rotate_time }
    }

    /// What is done with finished files.
    fn keep(&self) -> Keep {
        Keep { max_files: self.max_files, compress: self.compress }
    }
}

/// Sends messages up to a level of detail to standard error.
pub(super) fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Messages)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
