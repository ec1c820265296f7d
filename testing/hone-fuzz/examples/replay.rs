//! Runs a target on one input from a file. Use it for an input that a fuzzer has found, with the stable compiler or in
//! a debugger.

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(name), Some(path)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: replay TARGET FILE");
        return ExitCode::from(2);
    };
    let Some((_, run, _)) = hone_fuzz::TARGETS.into_iter().find(|(target, ..)| *target == name) else {
        eprintln!(
            "no target {name}; there are: {}",
            hone_fuzz::TARGETS.map(|(target, ..)| target).join(", ")
        );
        return ExitCode::from(2);
    };
    match fs::read(&path) {
        Ok(input) => run(&input),
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
