//! `honeutil report`: recordings as one page to look at.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::refusal;
use super::selection::{self, SelectionArgs};
use crate::cut::{CutFile, FileError};
use crate::messages::Messages;
use crate::report::{Report, make};
use crate::show::ShowError;
use crate::show::input::Input;
use crate::show::time::{self, Span};
use crate::text::counted;

/// Write recordings as one page to look at: who talked to whom, when, and how much
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NOTES}", selection::NOTES))]
pub struct ReportArgs {
    /// Recordings, of one host or of several, also if compressed with zstd or gzip; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The page to write; - is standard output
    ///
    /// It must not exist yet, and gets its name when it is complete.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,

    /// Take packets from this time on: 2026-07-30T12:00:00Z, 2026-07-30T14:00:00.5+02:00
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub from: Option<u64>,

    /// Take packets before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub to: Option<u64>,

    /// What is taken.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

impl ReportArgs {
    /// Refuses options that make no sense together.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => {
                Err(refusal("report", "nothing is between these times: --to must be later than --from"))
            }
            _ => Ok(()),
        }
    }
}

/// Below the help.
const NOTES: &str = "\
The page:
  One file for a browser. It loads nothing from a network and sends nothing.
  It has no content of packets, only who sent how much to whom: addresses,
  names, processes with their arguments. Treat it like the recording.
  The key ? shows the keys.

Exit status:
  0  the report has everything
  1  an input could not be read to its end (the report has what comes before,
     and says so), or OUT could not be written; standard error says what
  2  the command line is wrong

Examples:
  honeutil report web.pcapng -o web.html
  honeutil report --name curl --children *.pcapng.zst -o curl.html";

pub(super) fn run(args: &ReportArgs) -> ExitCode {
    let inputs: Vec<_> = args.files.iter().map(|path| Input::named(path)).collect();
    let span = Span { from: args.from, to: args.to };
    let mut status = ExitCode::SUCCESS;
    let made = CutFile::create(&args.output).and_then(|file| {
        let name = file.name().to_owned();
        let failed = |input: &Input, error: &ShowError| {
            status = ExitCode::FAILURE;
            super::show::report(input, error, "in the report");
        };
        make(&inputs, &args.selection.for_recordings(), span, file, failed).map(|report| (report, name))
    });
    match made {
        Ok((report, name)) => {
            say(&report, &name);
            status
        }
        Err(FileError::Closed { .. }) => ExitCode::FAILURE,
        Err(FileError::Terminal { name }) => {
            let _ = writeln!(
                Messages,
                "honeutil: {name} is a terminal: write to a file (-o report.html) or a pipe"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(Messages, "honeutil: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what was written.
fn say(report: &Report, name: &str) {
    let count = |number: usize, what: &str| counted(number as u64, what);
    let processes = match report.processes {
        1 => "1 process".to_owned(),
        several => format!("{} processes", crate::text::thousands(several as u64)),
    };
    let _ = writeln!(
        Messages,
        "{}, {}, {}, {}: {name}",
        count(report.hosts, "host"),
        counted(report.packets, "packet"),
        count(report.connections, "connection"),
        processes
    );
    for note in &report.notes {
        let _ = writeln!(Messages, "honeutil: {note}");
    }
}
