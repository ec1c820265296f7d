//! `hone-ship`: see the library beside it.

#![cfg_attr(not(target_os = "linux"), allow(unused, reason = "it reads from honed, which runs on Linux"))]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    hone_ship::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("hone-ship reads from honed, which runs on Linux");
    ExitCode::FAILURE
}
