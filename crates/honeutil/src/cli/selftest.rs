//! `honeutil selftest`: asks the questions about the driver that only a real Windows can answer.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::messages::{print, say};
use crate::platform::selftest;

/// Ask what only this Windows can answer about the driver, and write a file to send back
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct SelftestArgs {
    /// Write the answers to FILE
    #[arg(short, long, value_name = "FILE", default_value = "hone-selftest.json")]
    pub output: PathBuf,
}

/// Below the help.
const NOTES: &str = "\
Makes some traffic of this program with itself over the loopback, and compares it
with what the driver records of it. It needs no network, changes no setting, and
takes less than two minutes. Like `honeutil send-conns`, it replaces the driver's
list of open connections by the present one. The file has the version of Windows,
how it checks drivers, and the answers. It has no names and no traffic of others.
What an answer that is not as expected means is in docs/windows-checklist.md, by
its first word.

Exit status:
  0  every answer is as expected
  1  some answer is not, or the driver cannot be asked; the file is written
  2  the command line is wrong

Examples:
  honeutil selftest
  honeutil selftest -o answers.json";

pub(super) fn run(args: &SelftestArgs) -> anyhow::Result<ExitCode> {
    let found = selftest::run();
    let text = format!("{:#}\n", found.answers.json(&found.system));
    std::fs::write(&args.output, text).with_context(|| format!("cannot write {}", args.output.display()))?;
    let printed = print(&found.answers.text())?;
    say(format!("the answers are in {}: send this file back", args.output.display()));
    match found.error {
        Some(error) => Err(error.into()),
        None if printed != ExitCode::SUCCESS => Ok(printed),
        None if found.answers.are_expected() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}
