//! Hone's command line.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use honeutil::cli::Cli;
use honeutil::messages::Messages;
use honeutil::platform;

fn main() -> ExitCode {
    let Cli { command, pause } = Cli::checked();
    let status = honeutil::cli::run(&command).unwrap_or_else(|error| {
        let _ = writeln!(Messages, "honeutil: {error}");
        ExitCode::FAILURE
    });
    if pause {
        wait_for_enter();
    }
    status
}

fn wait_for_enter() {
    if std::io::stdin().is_terminal() {
        let _ = write!(Messages, "\nPress Enter to exit ... ");
        platform::terminal::wait_for_enter();
    }
}
