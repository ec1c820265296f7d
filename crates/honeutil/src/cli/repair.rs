//! `honeutil repair`: keeps the whole blocks of a recording with a torn end.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::messages::print;
use crate::repair::repair;

/// Keep the whole blocks of a recording whose end is torn
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct RepairArgs {
    /// The recording, also if compressed with zstd or gzip
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Write to OUT, which must not exist yet [default: FILE with .repaired before its extension]
    ///
    /// OUT is never compressed, and has the same permissions as FILE.
    #[arg(short, long, value_name = "OUT", conflicts_with = "in_place")]
    pub output: Option<PathBuf>,

    /// Cut the torn end off FILE itself
    ///
    /// What is cut off is lost. Not for compressed files.
    #[arg(long, conflicts_with = "skip_damage")]
    pub in_place: bool,

    /// Also leave out damaged bytes in the middle, and what cannot be decompressed
    ///
    /// Sound blocks behind them are kept. Without this, a file that is damaged other than at its end is not repaired.
    #[arg(long)]
    pub skip_damage: bool,
}

/// Below the help.
const NOTES: &str = "\
A recorder that is killed leaves whole blocks. But when the power fails, a file
system may lose the end of a file, or leave zeros there; and a copy may break
off. This keeps the whole blocks, and prints what it has cut off: how many
bytes, from which offset. FILE stays as it is, unless --in-place is given. If
the file is whole, nothing is written.

Offsets are bytes from the beginning of the file; of a compressed file, from the
beginning of its decompressed contents.

Exit status:
  0  the file is whole, or was repaired; standard output says which
  1  it was not repaired; standard error says why, and what to do
  2  the command line is wrong

Examples:
  honeutil repair web.pcapng
  honeutil repair web.pcapng.zst -o whole.pcapng
  honeutil repair --in-place web.pcapng";

pub(super) fn run(args: &RepairArgs) -> anyhow::Result<ExitCode> {
    // The file is repaired, even if nobody reads the report.
    print(&repair(args)?)?;
    Ok(ExitCode::SUCCESS)
}
