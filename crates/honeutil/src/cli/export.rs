//! `honeutil export`: writes recordings as tables.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use hone_tables::Table;
use hone_tables::write::Format;

use super::selection::{self, SelectionArgs};
use crate::export::{ExportError, Options, Written, export};
use crate::messages::Messages;
use crate::show::input::Input;
use crate::text::{counted, shown_path, thousands};

/// Write recordings as tables of processes, connections, names and packets, for databases
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\n{NOTES}", selection::NOTES))]
pub struct ExportArgs {
    /// Recordings, also if compressed with zstd or gzip; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The format of the files
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub to: To,

    /// The folder for the tables; it is made if it is missing, and must be empty
    #[arg(short, long, value_name = "DIR")]
    pub directory: PathBuf,

    /// Add to the tables in DIR
    ///
    /// A recording that was exported before is not there twice: its files are replaced.
    #[arg(long)]
    pub append: bool,

    /// Which tables to write, separated by commas
    #[arg(
        long,
        value_name = "TABLES",
        value_enum,
        value_delimiter = ',',
        default_value = "processes,connections,names,sections"
    )]
    pub tables: Vec<TableName>,

    /// What is exported.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// Apache Parquet, compressed with zstd
    Parquet,
    /// Comma-separated values, with a line of names first
    Csv,
    /// JSON, one object a line
    Jsonl,
}

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableName {
    /// Programs that processes ran
    Processes,
    /// What each process exchanged with each remote end
    Connections,
    /// One row a packet: as many rows as packets
    Packets,
    /// Names that processes asked for or connected to
    Names,
    /// What each part of a recording contains, and what was lost
    Sections,
}

/// Below the help.
const NOTES: &str = "\
Tables:
  docs/analysis.md has each column, and queries. A file has the rows of one
  recording, one host and one day (UTC):
    DIR/connections/host=ID/date=YYYY-MM-DD/RECORDING-HASH.parquet
  It gets its name when it is complete. The day is that on which a connection
  or a process was last seen.
  In CSV, a text that begins with = + - or @ gets a ' before it, so that a
  spreadsheet does not take it for a formula. Parquet and JSON are exact.

Corrections:
  Files are read twice: packets have their correct process. Give the files of
  a recording in their order, in one command. Standard input is read once.

Exit status:
  0  done
  1  a recording could not be read to its end, or a table could not be written;
     standard error says what, where and why. What comes before a damaged place
     is in the tables.
  2  the command line is wrong

Examples:
  honeutil export --to parquet -d tables *.pcapng.zst
  honeutil export --to csv -d curl --name curl --tables connections web.pcapng
  duckdb -c \"SELECT process_name, sum(bytes_out) AS bytes
             FROM 'tables/connections/*/*/*.parquet' GROUP BY 1 ORDER BY 2 DESC\"";

pub(super) fn run(args: &ExportArgs) -> ExitCode {
    let inputs: Vec<_> = args.files.iter().map(|path| Input::named(path)).collect();
    let options = Options {
        directory: args.directory.clone(),
        format: match args.to {
            To::Parquet => Format::Parquet,
            To::Csv => Format::Csv,
            To::Jsonl => Format::JsonLines,
        },
        tables: args.tables.iter().map(|table| table.table()).collect(),
        is_append: args.append,
    };
    let mut status = ExitCode::SUCCESS;
    let exported = export(&inputs, &args.selection.for_recordings(), options, |input, error| {
        status = ExitCode::FAILURE;
        super::show::report(input, error, "exported");
    });
    match exported {
        Ok(written) => report(&written, args),
        Err(error) => {
            status = ExitCode::FAILURE;
            complain(&error);
        }
    }
    status
}

fn report(written: &Written, args: &ExportArgs) {
    let rows = Table::ALL.into_iter().zip(written.rows).filter(|(_, rows)| *rows > 0);
    let rows: Vec<_> = rows.map(|(table, rows)| format!("{} {}", table.name(), thousands(rows))).collect();
    let rows = if rows.is_empty() { "nothing".to_owned() } else { rows.join(", ") };
    let _ =
        writeln!(Messages, "{rows}: {} in {}", counted(written.files, "file"), shown_path(&args.directory));
}

fn complain(error: &ExportError) {
    let _ = writeln!(Messages, "honeutil: {error}");
}

impl TableName {
    const fn table(self) -> Table {
        match self {
            Self::Processes => Table::Processes,
            Self::Connections => Table::Connections,
            Self::Packets => Table::Packets,
            Self::Names => Table::Names,
            Self::Sections => Table::Sections,
        }
    }
}
