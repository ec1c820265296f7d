//! Hone's command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use honeutil::args::Cli;
use honeutil::progress::Messages;

fn main() -> ExitCode {
    honeutil::command::run(Cli::parse().command).unwrap_or_else(|error| {
        let _ = writeln!(Messages, "honeutil: {error}");
        ExitCode::FAILURE
    })
}
