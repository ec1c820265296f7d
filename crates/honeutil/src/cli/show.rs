//! `honeutil show`: shows recordings as text or JSON.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::refusal;
use super::selection::{self, SelectionArgs};
use crate::cut::{Counts, Cut, CutError, CutFile, FileError};
use crate::messages::Messages;
use crate::show::input::Input;
use crate::show::time::{self, Span};
use crate::show::{Show, ShowError};
use crate::text::{counted, thousands};

/// Show recordings as text or JSON, one event a line, or cut packets out of them
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NOTES}{EXAMPLES}", selection::NOTES))]
pub struct ShowArgs {
    /// Recordings to show, also if compressed with zstd or gzip; - or none is standard input
    ///
    /// Captures of other programs are shown, too: PCAP-NG, and .pcap of libpcap. A packet without a time (in a simple packet
    /// block) has - in its place.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// One JSON object a line, with the field names of the Elastic Common Schema
    ///
    /// What is not known is left out: an event without a time has no @timestamp. Characters that do not print, or change
    /// how others print, are escaped as \uXXXX.
    #[arg(long)]
    pub json: bool,

    /// Show events from this time on: 2026-07-30T12:00:00Z, 2026-07-30T14:00:00.5+02:00
    ///
    /// As show prints times, or with fewer digits. An event without a time is not shown then. Events before it still
    /// say whose packets the later ones are.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub from: Option<u64>,

    /// Show events before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub to: Option<u64>,

    /// Show times as the local clock shows them, with their offset from UTC; JSON stays in UTC
    #[arg(long)]
    pub local_time: bool,

    /// Write what is selected as a recording to OUT, compressed if it ends with .zst or .gz; - is standard output
    ///
    /// Nothing is shown. OUT must not exist yet. Its packets are those that would be shown, each after its process, the
    /// ancestors of this, and its connection. Several recordings are joined: each host's packets are ordered by time, and
    /// hosts are kept apart as sections. Standard error says how much was written.
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["json", "local_time"])]
    pub write: Option<PathBuf>,

    /// Write all events of processes and connections, not only those of packets that are written
    #[arg(long, requires = "write", conflicts_with_all = ["json", "local_time"])]
    pub all_events: bool,

    /// What is shown.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

impl ShowArgs {
    /// Refuses options that make no sense together.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => {
                Err(refusal("show", "nothing is between these times: --to must be later than --from"))
            }
            _ => Ok(()),
        }
    }
}

/// Below the help.
const NOTES: &str = "\
Lines:
  TIME KIND PID USER NAME, then what the kind has; - where nothing is known.
  HEAD  a section begins: host, application, operating system
  EXEC  a process runs a program, or was found running
  FORK  a process was forked; it runs its parent's program
  KTHR  a thread of the kernel
  EXIT  a process ended
  SOCK  a connection was opened or closed, or packets of it are corrected
  PAKT  a packet: direction, protocol, source > destination, length
  STAT  what the section received and dropped
  Names that a packet has come behind that: ask, answer (DNS), tls, quic, http;
  and name, by which the other end of its connection is known.
  Bytes that do not print, and blanks, are shown as \\x1b or \\u{202e}.

Corrections:
  A process can take over a socket that still holds packets which were recorded
  as those of another process. A correction (SOCK ... correction) then follows,
  in the same file or in a later one. Files are read twice: packets are shown
  and filtered with their correct process, under the name that it has at the
  correction (JSON: hone.corrected is true). Give the files of a recording in
  their order, in one command. A pipe and standard input are read once: their
  packets are shown as they were recorded, and the corrections after them.

Writing (-w):
  A packet is written after its process, with its ancestors, and its connection,
  so that the file can be used alone. Later events of these are written, too.
  Statistics change to those of the file; everything else stays as it is.
  Several files are joined: sections are ordered by time; those of one host that
  overlap become one, ordered by time, also those of two cuts of one recording;
  hosts stay apart. The same file twice is an error. OUT gets its name when it is
  complete.

Exit status:
  0    everything was shown
  1    something could not be read to its end; standard error says what, where
       and why. Everything before that place was shown. Without a message: the
       reader of the pipe closed it. `honeutil repair` keeps the whole blocks
       of a file with a torn end.
       With -w, also: OUT exists, or cannot be written.
  2    the command line is wrong
  130  a second Ctrl-C; the first one, while a pipe is read, is left to the
       writer, which then ends the stream";

/// Below the notes.
#[cfg(target_os = "linux")]
const EXAMPLES: &str = "

Examples:
  honeutil show web.pcapng
  honeutil show --name curl --port 443 *.pcapng.zst
  honeutil show --filter 'udp port 53' web.pcapng
  honeutil show --json web.pcapng | jq -r .process.executable
  honeutil show --name curl --children -w curl.pcapng.zst web.pcapng
  honeutil read -w - | honeutil show --user alice";

/// Below the notes.
#[cfg(windows)]
const EXAMPLES: &str = "

Examples:
  honeutil show web.pcapng
  honeutil show --name curl.exe --port 443 a.pcapng.zst b.pcapng.zst
  honeutil show --filter \"udp port 53\" web.pcapng
  honeutil show --json web.pcapng > web.json
  honeutil show --name curl.exe --children -w curl.pcapng.zst web.pcapng
  honeutil read -w - | honeutil show --host 192.0.2.0/24
  PowerShell before 7.4 garbles binary data in pipes: use the command prompt.";

pub(super) fn run(args: &ShowArgs) -> ExitCode {
    let mut inputs: Vec<_> = args.files.iter().map(|path| Input::named(path)).collect();
    if inputs.is_empty() {
        inputs.push(Input::Stdin);
    }
    let span = Span { from: args.from, to: args.to };
    if let Some(out) = &args.write {
        return cut(args, &inputs, span, out);
    }
    let mut show = Show::new(&args.selection.for_recordings(), args.json, io::stdout().lock()).within(span);
    if args.local_time {
        show = show.in_local_time();
    }
    show.collect(&inputs);
    let mut status = ExitCode::SUCCESS;
    for input in &inputs {
        if let Err(error) = show.show(input) {
            status = ExitCode::FAILURE;
            if !matches!(error, ShowError::Closed) {
                report(input, &error, "shown");
            }
            if !error.is_of_input() {
                break;
            }
        }
    }
    status
}

/// Writes what is selected as a recording.
fn cut(args: &ShowArgs, inputs: &[Input], span: Span, out: &Path) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    let failed = |input: &Input, error: &ShowError| {
        status = ExitCode::FAILURE;
        report(input, error, "written");
    };
    let counts = CutFile::create(out).map_err(CutError::from).and_then(|file| {
        let name = file.name().to_owned();
        let selection = args.selection.for_recordings();
        let cut = Cut::new(inputs, &selection, span, args.all_events, file);
        cut.run(failed).map(|counts| (counts, name))
    });
    match counts {
        Ok((counts, name)) if counts.sections == 0 => {
            let _ = writeln!(Messages, "honeutil: there is nothing to write: {name} was not made");
            return ExitCode::FAILURE;
        }
        Ok((counts, name)) => {
            let _ = writeln!(Messages, "{}: {name}", summary(&counts));
            if counts.missing > 0 {
                let _ = writeln!(
                    Messages,
                    "honeutil: {} processes or connections of these packets are missing: there was no room to remember \
                     them until then; cut a shorter recording, or use --all-events",
                    thousands(counts.missing)
                );
            }
        }
        Err(CutError::File(FileError::Closed { .. })) => return ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(Messages, "honeutil: {error}");
            return ExitCode::FAILURE;
        }
    }
    status
}

/// How much was written.
fn summary(counts: &Counts) -> String {
    if counts.written == 0 {
        return format!("No packet is selected of {}", thousands(counts.packets));
    }
    format!(
        "{} of {}, {}, {}",
        thousands(counts.written),
        counted(counts.packets, "packet"),
        match counts.processes {
            1 => "1 process".to_owned(),
            several => format!("{} processes", thousands(several)),
        },
        counted(counts.connections, "connection")
    )
}

/// Reports that an input was not `done` to its end.
pub(super) fn report(input: &Input, error: &ShowError, done: &str) {
    let remedy = match input {
        Input::File(_) if error.is_of_torn_file() => {
            format!(". What comes before is {done}; `honeutil repair FILE` writes a file of what is whole")
        }
        _ => String::new(),
    };
    let _ = writeln!(Messages, "honeutil: {error}{remedy}");
}
