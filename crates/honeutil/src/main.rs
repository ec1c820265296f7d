//! Hone's command line.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use honeutil::args::Cli;
use honeutil::progress::Messages;
use rustix::event::{PollFd, PollFlags, poll};

fn main() -> ExitCode {
    let Cli { command, pause } = Cli::checked();
    let status = honeutil::command::run(command).unwrap_or_else(|error| {
        let _ = writeln!(Messages, "honeutil: {error}");
        ExitCode::FAILURE
    });
    if pause {
        wait_for_enter();
    }
    status
}

/// Any signal will do as well.
fn wait_for_enter() {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let _ = write!(Messages, "\nPress Enter to exit ... ");
        if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None).is_ok() {
            let _ = stdin.read_line(&mut String::new());
        }
    }
}
