//! `honeutil completions`: prints a shell's completions of the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::platform;

/// Print a shell's completions of honeutil's command line
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Examples:
  honeutil completions bash > /etc/bash_completion.d/honeutil
  honeutil completions fish > ~/.config/fish/completions/honeutil.fish";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Examples:
  honeutil completions powershell >> $PROFILE";

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(&script(args.shell)) {
        Err(error) if platform::file::is_pipe_closed(&error) => Ok(ExitCode::FAILURE),
        written => written
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| anyhow::anyhow!("cannot write standard output: {error}")),
    }
}

/// A shell's completions.
#[must_use]
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "honeutil", &mut text);
    text
}
