//! Hone's command line.

use std::io::Write as _;
use std::process::ExitCode;

use honeutil::args::Cli;
use honeutil::progress::Messages;

fn main() -> ExitCode {
    honeutil::command::run(Cli::checked().command).unwrap_or_else(|error| {
        let _ = writeln!(Messages, "honeutil: {error}");
        ExitCode::FAILURE
    })
}
