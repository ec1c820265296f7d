//! Waits for a honed that does not answer: each is reported, has an end, and ends at Ctrl-C. honed is one of the test's own
//! that accepts, or does not even do that; so this needs no root.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use hone_client::api::ApiVersion;
use hone_client::protocol::{Header, Kind};
use hone_testing::{Guarded, wait_for};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;
use tempfile::TempDir;

/// A service that says this much to each client, and nothing more.
struct Mute {
    directory: TempDir,
    _end: UnixStream,
}

fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&Header::new(kind, 0, 0, payload.len()).encode()[..], payload].concat()
}

fn hello() -> Vec<u8> {
    frame(Kind::Hello, &ApiVersion::of_service([0; 4]).encode())
}

impl Mute {
    fn new(says: Vec<u8>) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let listener = UnixListener::bind(socket(&directory)).expect("the directory is ours");
        let (ours, end) = UnixStream::pair().expect("a pair can be made");
        std::thread::spawn(move || {
            let mut clients = Vec::new();
            loop {
                let mut fds = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&end, PollFlags::IN)];
                poll(&mut fds, None::<&Timespec>).expect("it can wait");
                if !fds[1].revents().is_empty() {
                    return;
                }
                let (mut client, _) = listener.accept().expect("one comes");
                client.write_all(&says).expect("it is there");
                clients.push(client);
            }
        });
        Self { directory, _end: ours }
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("hone.sock")
}

/// A honeutil that runs, with its output in files.
struct Running {
    honeutil: Guarded,
    said: TempDir,
}

impl Running {
    fn start(socket: &Path, arguments: &[&str]) -> Self {
        let said = tempfile::tempdir().expect("a directory can be made");
        let file = |name: &str| File::create(said.path().join(name)).expect("the directory is ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_honeutil"));
        command.arg(arguments[0]).arg("--socket").arg(socket).args(&arguments[1..]);
        command.current_dir(said.path()).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { honeutil: Guarded::spawn(&mut command), said }
    }

    fn said(&self) -> String {
        ["out", "err"]
            .map(|name| std::fs::read_to_string(self.said.path().join(name)).unwrap_or_default())
            .concat()
    }

    fn await_text(&mut self, text: &str) {
        wait_for(text, || {
            let ended = self.honeutil.ended();
            let said = self.said();
            assert!(ended.is_none() || said.contains(text), "it has ended: {said}");
            said.contains(text).then_some(())
        });
    }

    fn end(mut self) -> (ExitStatus, String) {
        let status = self.honeutil.wait("honeutil ends");
        (status, self.said())
    }
}

#[test]
fn every_command_says_what_it_waits_for_and_gives_up() {
    let mute = [Mute::new(Vec::new()), Mute::new(hello()[..14].to_vec()), Mute::new(hello())];
    let commands: [(&[&str], i32, &str); 8] = [
        (&["status"], 4, "to answer"),
        (&["get-stats"], 1, "to answer"),
        (&["get-stats", "--memory"], 1, "to answer"),
        (&["log-level"], 1, "to answer"),
        (&["ring-size", "4096"], 1, "to answer"),
        (&["stop", "--force"], 1, "to answer"),
        (&["send-conns"], 1, "to answer"),
        (&["read", "-w", "file.pcapng"], 1, "to attach this reader"),
    ];
    // All at once: each waits its ten seconds.
    let mut running = Vec::new();
    for (service, greets) in mute.iter().zip([false, false, true]) {
        for (arguments, status, what) in commands {
            let what = if greets { what } else { "to greet" };
            running.push((Running::start(&socket(&service.directory), arguments), arguments, status, what));
        }
    }
    for (command, arguments, expected, what) in running {
        let (status, said) = command.end();
        assert_eq!(status.code(), Some(expected), "{arguments:?}: {said}");
        let waiting = format!("waiting for honed {what}, for at most 10 s; Ctrl-C gives up");
        assert!(said.contains(&waiting), "{arguments:?}: {said}");
        assert!(said.contains(&format!("honed took longer than 10 s {what}")), "{arguments:?}: {said}");
    }
}

#[test]
fn ctrl_c_ends_a_wait_at_once() {
    let services = [("to greet", Mute::new(Vec::new())), ("to attach this reader", Mute::new(hello()))];
    for (what, service) in services {
        let mut read = Running::start(&socket(&service.directory), &["read", "-w", "file.pcapng"]);
        let mut watch = Running::start(&socket(&service.directory), &["get-stats", "--watch", "1"]);
        let mut status = Running::start(&socket(&service.directory), &["status"]);
        for command in [&mut read, &mut watch, &mut status] {
            command.await_text("waiting for honed");
            command.honeutil.signal(Signal::INT);
        }
        let (ended, said) = read.end();
        assert_eq!(ended.code(), Some(1), "{said}");
        assert!(said.contains(&format!("stopped while waiting for honed {what}")), "{said}");
        let (ended, said) = status.end();
        assert_eq!(ended.signal(), Some(Signal::INT.as_raw()), "{said}");
        // The signal is how a watch ends.
        let (ended, said) = watch.end();
        assert!(!said.contains("took longer"), "{ended}: {said}");
    }
}

/// The kernel keeps a queue of those that connect; a service that hangs lets it run full.
#[test]
fn a_full_queue_of_clients_is_waited_for_and_said() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let address = SocketAddrUnix::new(socket(&directory)).expect("the path is short");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let new =
        || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket");
    let listener = new();
    rustix::net::bind(&listener, &address).expect("the directory is ours");
    rustix::net::listen(&listener, 0).expect("it can listen");
    let mut queued = Vec::new();
    let full = loop {
        let client = new();
        match rustix::net::connect(&client, &address) {
            Ok(()) => queued.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full, Errno::AGAIN);
    let mut read = Running::start(&socket(&directory), &["read", "-w", "file.pcapng"]);
    read.await_text("waiting for honed to take one more client");
    read.honeutil.signal(Signal::INT);
    let (ended, said) = read.end();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("stopped while waiting for honed to take one more client"), "{said}");
}

#[test]
fn what_honed_says_and_where_it_is_cannot_steer_a_terminal() {
    let hostile = "\x1b[2J\u{202e}\nhoneutil: all is well";
    let service = Mute::new(frame(Kind::Refusal, hostile.as_bytes()));
    let nowhere = service.directory.path().join(hostile);
    for arguments in [&["status"][..], &["get-stats"], &["stop"], &["read", "-w", "file.pcapng"]] {
        for (socket, shown) in
            [(&socket(&service.directory), "\\u{1b}[2J\\u{202e}\\nhoneutil"), (&nowhere, "\\u{1b}[2J")]
        {
            let (status, said) = Running::start(socket, arguments).end();
            assert!(!said.contains(['\x1b', '\u{202e}']), "{arguments:?}: {said:?}");
            // `stop` has nothing to do where nobody listens.
            let is_shown = said.contains(shown) || (arguments == ["stop"] && status.success());
            assert!(is_shown, "{arguments:?}: {said:?}");
        }
    }
}
