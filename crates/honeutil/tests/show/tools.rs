//! Running the built binary.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) fn honeutil<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Shows what is given on standard input.
pub(crate) fn show_stdin(arguments: &[&str], input: &[u8]) -> Output {
    with_input(&mut honeutil(["show"].iter().chain(arguments)), input)
}

/// What a command makes of this on standard input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may end before it has read all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The lines shown; it must succeed, without a message.
#[track_caller]
pub(crate) fn shown(arguments: &[&str], input: &[u8]) -> Vec<String> {
    let output = show_stdin(arguments, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A file of these bytes.
pub(crate) fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
