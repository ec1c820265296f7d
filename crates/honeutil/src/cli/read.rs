//! `honeutil read`: records live traffic with its processes.

use std::num::{NonZeroU32, NonZeroU64};
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ArgAction;

pub(super) use self::recording::record;
use super::parse::{count, duration, max_files, rotate_size, rotate_time, snap_length};
#[cfg(target_os = "linux")]
use super::parse::{last_size, save_after};
use super::refusal;
use super::run::CommandArgs;
use super::selection::{self, SelectionArgs};
use super::source::{Format, SourceArgs};
use crate::messages::Messages;
use crate::output::Target;
use crate::output::archive::Keep;
#[cfg(target_os = "linux")]
use crate::output::archive::Newest;
use crate::platform::ready::Ready;
use crate::platform::{self, host};
#[cfg(target_os = "linux")]
use crate::recent::rules::{MAX_RULES, Rule};
use crate::record::control::Control;
use crate::record::rotation::Rotation;
use crate::record::wanted::Wanted;
use hone_engine::SnapLength;

mod recording;

/// Most bytes that `--last` keeps, unless it is said.
#[cfg(target_os = "linux")]
const LAST_SIZE: u64 = 2 << 30;

/// How long it is recorded after what a rule found, unless it is said.
#[cfg(target_os = "linux")]
const SAVE_AFTER: Duration = Duration::from_secs(10);

/// How often a packet is written that is sent and received on a loopback interface.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Loopback {
    /// As it is sent, and as it is received.
    #[default]
    Twice,
    /// As one block of both.
    Once,
}

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

    /// Keep only what was recorded in the last TIME, and save it on the signal USR1 and at the end: 1s to 365d
    ///
    /// What is kept is in FILE.recent, or in hone.recent in DIR, as files that each stand alone; an eighth more than TIME, at
    /// most. A save joins them into FILE, or FILE_1 and so on if that exists; nothing is overwritten. After a kill,
    /// `honeutil save` does that. FILE is compressed if it ends with .zst or .gz.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIME", value_parser = rotate_time, conflicts_with_all = ["rotate_size", "rotate_time", "max_files", "compress"])]
    pub last: Option<Duration>,

    /// Keep at most BYTES, even if that is less than the time: 8M to 16T [default: 2G]
    ///
    /// And at most half of the room that the disk has at the start.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "BYTES", value_parser = last_size, requires = "last")]
    pub last_size: Option<u64>,

    /// Keep the part of --last in DIR, which is made if it is not there [default: FILE.recent, or hone.recent in DIR of -d]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "DIR", requires = "last")]
    pub last_dir: Option<PathBuf>,

    /// With --last: do not save at the end. What is kept stays, for `honeutil save` or the next `read --last`
    #[cfg(target_os = "linux")]
    #[arg(long, requires = "last")]
    pub keep_at_end: bool,

    /// Only check the command line: for honed, whose configuration has these options.
    #[cfg(target_os = "linux")]
    #[arg(long, hide = true)]
    pub check: bool,

    /// Save what --last keeps also when this happens; may be given again
    ///
    /// `listener`, `udp listener`: a socket listens where none has since the recording began. `destination in FILE`: a packet is sent to
    /// an address in FILE. Else words, as below: '--name nc' (such a process starts), '--name nc --direction out' (such a
    /// packet), or an expression: 'tcp port 4444'. See below.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "RULE", requires = "last", allow_hyphen_values = true)]
    pub save_when: Vec<Rule>,

    /// Rules save only while there are fewer than N files with such names: 1 to 4294967295
    ///
    /// And while the disk has room for the file and for all that --last keeps. Each event that is not saved for that is said.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "N", value_parser = max_files, requires = "save_when", default_value = "100")]
    pub save_files: NonZeroU32,

    /// Record this long after what a rule found before it is saved: 0 to 365d, less than --last [default: 10s]
    ///
    /// At most a quarter of --last, unless it is said.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIME", value_parser = save_after, requires = "save_when")]
    pub save_after: Option<Duration>,

    /// Compress each finished file with zstd, into FILE.zst
    ///
    /// This happens during the recording, one file at a time, as FILE.zst.part; the plain file is removed once the
    /// compressed one is whole. `honeutil show` reads both. If a recorder that used the same names was killed while it
    /// compressed, its half file is removed; its plain file stays as it is.
    #[arg(long)]
    pub compress: bool,

    /// Write the recording in this form: hone, or wireshark, which also has the process blocks of Wireshark 5
    ///
    /// As `honeutil convert --to` does it with a recording. The form wireshark adds a block for each process that has packets and 12 bytes
    /// to each packet; a file may exceed --rotate-size by these. Older versions of Wireshark show each block as a row without a time.
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub format: Format,

    /// Write a packet between two processes of this host twice, as it is sent and as it is received; or once, with both
    ///
    /// Once: one block with the time of its receipt, in which options 257 to 259 come twice, the sender's first; a tool that
    /// knows one owner sees the sender's packet. Only where it is surely the same packet: on a loopback interface, within one file, and if both owners'
    /// packets are selected. What comes behind a packet whose other half does not come, or waits for its owner, waits up to 0.75 s.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "TIMES", value_enum, default_value_t)]
    pub loopback: Loopback,

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

    /// The summary as one JSON object, on standard output; with --last, also a line for each save
    ///
    /// On standard error, if the recording goes to standard output, or a command is recorded. Nothing, if nothing could be
    /// recorded. It has at most 100 processes, those with most bytes, and 10
    /// peers of each. A process that runs one program after another is there once for each, with what was sent and received
    /// while it ran. "error" is there only if something failed.
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
    /// which this one writes to through its standard output, a FIFO or a pipe of the shell (`tee >(nc HOST PORT)`), and the
    /// ssh connection through which honeutil was started: else each packet that is sent makes another one. It is not left
    /// out for programs that the reader starts and feeds itself. A message names what is left out; the summary counts the
    /// packets.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub include_own: bool,

    /// A command to be recorded.
    #[command(flatten)]
    pub command: CommandArgs,
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
  USR1                with --last: save what is kept, and go on

Files:
  If a file is deleted or replaced while it is written, a warning within a
  second says so, and how to save its contents. Recording into it goes on, the
  next file begins at its usual time, and the exit status is 1. A file that is
  moved, as logrotate does it, stays whole: the summary has its new name.
  Neither is compressed or removed. Finished files may be taken at any time.

Rules of --save-when:
  'listener'             a TCP socket listens where none has since the recording
                         began. It is looked once a second, in each network
                         namespace that has processes
  'udp listener'         the same of a UDP socket without a peer, at a port that
                         the system does not choose (ip_local_port_range)
  'destination in FILE'  this host sends a packet to an address in FILE, or in
                         a network (ADDRESS/BITS): one a line, # begins a
                         comment; at most 262144. FILE is read at the start
  '--name nc'            only words about processes: such a process starts to
                         run its program
  '--name nc --port 22'  also words about packets: such a packet
  'tcp port 4444'        an expression: such a packet
  Events before the save are one. Saves by rules are a minute apart, or half of
  --last; what happens meanwhile is saved then, and counted. A rule sees only
  what is recorded. With --json, each save is a line on standard output, before
  the summary: its fields are below `honeutil help save`.

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
  sudo honeutil read --last 10m -w incident.pcapng
  sudo honeutil read --last 10m --save-when '--name nc' --save-when listener
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
  under that name. What reads a pipe is recorded, too: if it sends the recording
  on, leave it out by --not-name.

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
    if !args.command.command.is_empty() {
        return super::run::record_command(args);
    }
    #[cfg(target_os = "linux")]
    if args.check {
        return Ok(ExitCode::SUCCESS);
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

impl ReadArgs {
    /// Refuses options that make no sense together.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        super::run::check_output("read", self)?;
        let is_stream = match self.target() {
            Target::Stdout => true,
            Target::File(path) => platform::file::is_pipe_name(&path),
            Target::Directory(_) => false,
        };
        #[cfg(target_os = "linux")]
        if self.loopback == Loopback::Once && self.format != Format::Hone {
            let message = "--loopback once is for the form hone: others have one process a packet";
            return Err(refusal("read", message));
        }
        #[cfg(target_os = "linux")]
        if self.last.is_some() {
            let is_no_file = |path: &Path| path.metadata().is_ok_and(|found| !found.is_file());
            if is_stream || self.write.as_deref().is_some_and(is_no_file) {
                return Err(refusal("read", "--last is for files: use -d or -w FILE, not -w - or a pipe"));
            }
            self.check_rules()?;
        }
        if is_stream && (self.rotation().is_on() || !self.keep().is_everything()) {
            let message = "--rotate-size, --rotate-time, --max-files and --compress are for files: use -d or -w FILE, \
                           not -w - or a pipe";
            return Err(refusal("read", message));
        }
        Ok(())
    }

    /// Refuses rules that cannot be met or watched.
    #[cfg(target_os = "linux")]
    fn check_rules(&self) -> Result<(), clap::Error> {
        if self.save_when.len() > MAX_RULES {
            let found = self.save_when.len();
            return Err(refusal("read", &format!("--save-when: {found} rules; allowed: {MAX_RULES}")));
        }
        if self.save_after.zip(self.last).is_some_and(|(after, last)| after >= last) {
            let message =
                "--save-after must be less than --last, or what has happened is no longer kept then";
            return Err(refusal("read", message));
        }
        let mut selections = self.save_when.iter().filter_map(Rule::selection);
        selections.try_for_each(|selection| SelectionArgs::from(selection).check_on_host("read"))
    }

    /// How long it is recorded after what a rule found.
    #[cfg(target_os = "linux")]
    fn save_after(&self) -> Duration {
        self.save_after.unwrap_or_else(|| SAVE_AFTER.min(self.last.unwrap_or_default() / 4))
    }

    pub(super) fn target(&self) -> Target {
        match (&self.write, &self.directory) {
            (Some(file), _) if file.as_os_str() == "-" => Target::Stdout,
            (Some(file), _) => Target::File(file.clone()),
            (None, directory) => Target::Directory(directory.clone().unwrap_or_default()),
        }
    }

    /// Which part is kept, if not all.
    #[cfg(target_os = "linux")]
    fn newest(&self) -> Option<Newest> {
        self.last.map(|last| Newest { last, bytes: self.last_size.unwrap_or(LAST_SIZE) })
    }

    /// What is said when the recording begins.
    fn begun(&self, name: &str) -> String {
        #[cfg(target_os = "linux")]
        if let Some(last) = self.last {
            let directory = Path::new(name).parent().unwrap_or(Path::new("")).display();
            let last = crate::text::duration(last);
            return format!("Keeping the last {last} in {directory}; the signal USR1 saves it");
        }
        format!("Recording to {name}")
    }

    /// When the next file is begun, unless only a part is kept.
    fn rotation(&self) -> Rotation {
        Rotation { size: self.rotate_size, time: self.rotate_time }
    }

    /// What is done with finished files, unless only a part is kept.
    fn keep(&self) -> Keep {
        Keep { max_files: self.max_files, compress: self.compress, newest: None }
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
