//! Hone's service on Linux: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    honed::main()
}
