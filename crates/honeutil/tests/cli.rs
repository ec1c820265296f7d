//! The command as a person meets it: what it refuses, with which words and which exit status. Needs no root: nothing
//! here gets as far as the sensor, or it is refused there.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

fn honeutil(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    honeutil(arguments).output().unwrap()
}

/// Runs it, expects this exit status and nothing on standard output, returns standard error.
#[track_caller]
fn refused(arguments: &[&str], status: i32) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    stderr
}

/// Both ends of a terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let terminal = ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    (controller, terminal)
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.pcapng");
    for (option, values, range) in [
        ("--snap-length", &["-1", "262145", "all"][..], "1 to 262144 bytes"),
        ("-s", &["1k"], "1 to 262144 bytes"),
        ("--duration", &["0", "-1", "366d", "soon", "inf"], "1ms to 365d"),
        ("--count", &["0", "-3", "many"], "1 to 18446744073709551615 packets"),
        ("--buffer-size", &["0", "3", "2048"], "a power of two from 1 to 1024 MiB"),
        ("--rotate-size", &["0", "1000", "1023K", "17T", "1.5G", "big"], "1M to 16T"),
        ("--rotate-time", &["0", "500ms", "366d"], "1s to 365d"),
        ("--max-files", &["0", "-1", "4294967296"], "1 to 4294967295 files"),
    ] {
        for value in values {
            let joined = if option.starts_with("--") {
                format!("{option}={value}")
            } else {
                format!("{option}{value}")
            };
            let message = refused(&["read", &joined, "-w", file.to_str().unwrap()], 2);
            assert!(message.contains(range) && message.contains(value), "{option} {value}: {message}");
        }
    }
    assert!(!file.exists(), "nothing is started");
}

#[test]
fn combinations_that_make_no_sense_are_refused() {
    for arguments in [
        &["read", "-d", ".", "-w", "x"][..],
        &["read", "-q", "-v"],
        &["read", "-w", ""],
        &["read", "extra"],
        &["read", "--local", "--socket", "x"],
        &["read", "--local", "--follow"],
        &["get-stats", "extra"],
        &["get-stats", "--watch", "0"],
        &["get-stats", "--watch=2d"],
        &["log-level", "loud"],
        &["log-level", "0x20"],
        &["ring-size", "1000"],
        &["ring-size", "16777217"],
        &["top", "--interval", "0.01"],
        &["read", "-w", "-", "--rotate-size", "1G"],
        &["read", "-w", "-", "--rotate-time", "1h"],
        &["read", "-w", "-", "--max-files", "3"],
        &["read", "-w", "-", "--compress"],
        &["completions", "tcl"],
        &["completions"],
        &["show", "--no-such-option"],
        &["read", "--no-such-option"],
        &["capture"],
        &[],
    ] {
        let message = refused(arguments, 2);
        assert!(message.contains("--help"), "{arguments:?}: {message}");
    }
}

#[test]
fn what_records_does_not_select_by_names() {
    for arguments in [
        &["read", "-w", "x", "--domain", "a.example"][..],
        &["run", "--not-domain", "a.example", "--", "true"],
        &["read", "-w", "x", "--not-filter", "domain a.example or port 53"],
        &["read", "-w", "x", "--last", "1m", "--save-when", "--domain a.example"],
    ] {
        let message = refused(arguments, 2);
        assert!(message.contains("honeutil show --domain NAME -w OUT FILE"), "{arguments:?}: {message}");
    }
    // It is only the terminal that is missing.
    assert!(refused(&["top", "--domain", "a.example"], 1).contains("draws on a terminal"));
    for (value, message) in [
        ("*.a.example", "names below it match, too"),
        ("https://a.example/", "without a scheme, port or path"),
        ("b\u{fc}cher.example", "xn--"),
    ] {
        assert!(refused(&["show", "--domain", value, "x"], 2).contains(message), "{value}");
    }
}

#[test]
fn help_and_version_are_for_standard_output() {
    for (arguments, expected) in [
        (&["--help"][..], "read"),
        (&["read", "-h"], "--snap-length"),
        (&["read", "--help"], "Exit status:"),
        (&["show", "--help"], "Exit status:"),
        (&["repair", "--help"], "Exit status:"),
        (&["--help"], "NO_COLOR"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected), "{arguments:?}");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn completions_know_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        let text = String::from_utf8(output.stdout).unwrap();
        for word in ["show", "repair", "in-place", "completions", "rotate-size", "snap-length", "filter"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    // They are what bash takes for a script.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("honeutil");
    fs::write(&path, run(&["completions", "bash"]).stdout).unwrap();
    assert!(Command::new("bash").arg("-n").arg(&path).status().unwrap().success());
}

#[test]
fn man_pages_are_made_of_the_help() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["man", directory.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for (page, words) in [
        ("honeutil.1", &["honeutil\\-read(1)", "Exit status"][..]),
        ("honeutil-read.1", &["rotate\\-size", "Signals", "Exit status", "Examples"]),
        ("honeutil-show.1", &["community", "Exit status"][1..]),
        ("honeutil-repair.1", &["in\\-place", "skip\\-damage", "Exit status", "Examples"]),
    ] {
        let text = fs::read_to_string(directory.path().join(page)).unwrap();
        for word in words {
            assert!(text.contains(word), "{page}: {word}\n{text}");
        }
    }
    let missing = directory.path().join("missing");
    let message = refused(&["man", missing.to_str().unwrap()], 1);
    assert!(message.contains("missing/honeutil.1: No such file"), "{message}");
}

#[test]
fn no_color_is_respected() {
    let (controller, terminal) = terminal();
    let mut command = honeutil(&["--help"]);
    command.env("NO_COLOR", "1").env("TERM", "xterm-256color").stdout(terminal);
    assert!(command.status().unwrap().success());
    drop(command);
    let mut shown = vec![0; 64 << 10];
    let length = rustix::io::read(&controller, &mut shown).unwrap();
    assert!(length > 0 && !shown[..length].contains(&0x1b), "no escape codes");
}

/// The original's -p, before and behind the command; without a terminal there is nobody to wait for.
#[test]
fn it_pauses_before_exiting_if_asked() {
    for arguments in [["-p", "status", "--socket=/nowhere"], ["status", "--socket=/nowhere", "--pause"]] {
        let (controller, terminal) = terminal();
        let mut command = honeutil(&arguments);
        let mut child = command.stdin(terminal).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = Vec::new();
        let mut stderr = child.stderr.take().unwrap();
        while !said.ends_with(b"Press Enter to exit ... ") {
            let mut byte = [0];
            stderr.read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        assert!(child.try_wait().unwrap().is_none(), "it waits");
        rustix::io::write(&controller, b"\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3), "the command's own status");
    }
    assert_eq!(refused(&["-p", "read", "-d", "/nowhere"], 1).lines().count(), 1);
}

#[test]
fn places_that_cannot_be_written_are_told_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).into_os_string().into_string().unwrap();
    fs::write(path("file"), "").unwrap();
    for (arguments, words) in [
        (["read", "-d", &path("missing")], ["missing", "mkdir"]),
        (["read", "-d", &path("file")], ["Not a directory", "name a directory"]),
        (["read", "-w", &path("missing/a")], ["missing/a", "mkdir"]),
        (["read", "-w", &path("")], ["Is a directory", "use -d"]),
    ] {
        let message = refused(&arguments, 1);
        assert!(message.starts_with("honeutil: cannot open "), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn recordings_do_not_go_to_a_terminal() {
    let (_controller, terminal) = terminal();
    let output = honeutil(&["read", "-w", "-"]).stdout(terminal).stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("standard output is a terminal") && message.contains("-w FILE"), "{message}");
}

#[test]
fn without_the_right_to_record_it_says_what_is_missing_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = honeutil(&["read", "--duration", "1"]);
    if rustix::process::geteuid().is_root() {
        let nobody = 65_534;
        std::os::unix::fs::chown(directory.path(), Some(nobody), Some(nobody)).unwrap();
        // The build directory may not be open to others: a copy is. Made by a process of its own: a child that another
        // test starts meanwhile would hold the file open for writing, and nobody could run it.
        let copy = directory.path().join("honeutil");
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_honeutil")).arg(&copy).status().unwrap();
        assert!(copied.success());
        command = Command::new(copy);
        command.args(["read", "--duration", "1"]).uid(nobody).gid(nobody);
    }
    let work = directory.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let output = command.current_dir(&work).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        eprintln!("skipped: an unprivileged run: this user may record");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("honeutil: ") && message.contains("CAP_"), "{message}");
    assert_eq!(entries(&work), 0, "no empty file is left");
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn users_and_groups_are_compared_with_those_of_the_host_where_it_is_recorded() {
    for command in ["read", "top"] {
        for (option, what) in [("--user", "user"), ("--not-user", "user"), ("--group", "group")] {
            let message = refused(&[command, option, "no-such-account"], 2);
            let words = format!("{option}: this host has no {what} \"no-such-account\"");
            assert!(
                message.contains(&words) && message.contains(&format!("honeutil {command}")),
                "{message}"
            );
        }
    }
    for command in ["read", "top"] {
        let message = refused(&[command, "--user", "root", "--user", "1", "--not-user", "0"], 2);
        let words = "--user \"root\" can match nothing, because --not-user \"0\" leaves it out";
        assert!(message.contains(words) && !message.contains("Usage:"), "{message}");
        let message = refused(&[command, "--group", "0", "--not-group", "root"], 2);
        assert!(message.contains("both are the group with number 0"), "{message}");
    }
    let message = refused(&["read", "--user", "4294967296"], 2);
    assert!(message.contains("as a number, it is too large: 4294967295 is the largest"), "{message}");
    // A recording may be from elsewhere; and a process of a program that nobody has may yet start.
    let output = run(&["show", "--user", "root", "--not-user", "0"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(&["show", "--user", "no-such-account", "--name", "no-such-program"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let message =
        refused(&["top", "--user", "root", "--group", "4294967295", "--name", "no-such-program"], 1);
    assert!(message.contains("terminal"), "{message}");
}
