//! Faults on purpose: of each kind of call that honed makes, one fails, and what comes of it is looked at.
//!
//! honed may not hang, panic or be killed by a signal, but for the abort of Rust's standard library where it has no
//! memory. A start that fails says why, and leaves nothing behind. A call that fails while it serves may end the
//! connection that it was for, and nothing else: not honed, not another reader. How many calls fail is bounded, so that
//! this takes seconds: `HONE_FAULT_POINTS=all` has each fail, in each way (docs/testing.md).

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use hone_client::api::SnapLength;
use hone_client::{Connection, Options, Read, ReaderError};
use hone_testing::{Class, Failed, Fault, Faults, Guarded, Service, command, points, ready, wait_for};
use rustix::process::Signal;

use crate::stream::{SETTLE, finish_section, read_rest, read_section};
use crate::traffic::{new_tag, send};

/// SIGABRT.
const ABORT: i32 = 6;

/// Whether Rust's standard library, or the C library, has aborted for lack of memory: then nothing more is asked of this honed. Any other end
/// must be an exit, without a panic.
fn has_aborted(class: Option<Class>, status: ExitStatus, log: &str, fault: &str) -> bool {
    if status.signal() == Some(ABORT) {
        let said = class.map_or(&[][..], Class::last_words);
        assert!(said.iter().any(|words| log.contains(words)), "{fault}: {status}: {log}");
        return true;
    }
    assert!(status.code().is_some_and(|code| code <= 1), "{fault}: {status}: {log}");
    assert!(!log.contains("panicked"), "{fault}: {status}: {log}");
    false
}

/// Starts honed with a fault, asks it for its statistics if it serves, and stops it.
fn start(faults: &Faults, fault: Option<(Class, u64, Fault)>) {
    let name = format!("{fault:?}");
    let directory = hone_testing::directory();
    let socket = hone_testing::socket(directory.path());
    let config = format!("socket = '{}'\nsocket_group = ''\nsensor_buffer = 16\n", socket.display());
    std::fs::write(directory.path().join("hone.toml"), config).expect("the directory is ours");
    let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
    let mut command = command(directory.path());
    faults.load(&mut command);
    match fault {
        Some((class, nth, fault)) => faults.arm(class, nth, 1, fault),
        None => faults.disarm(),
    }
    let mut honed = Guarded::spawn(&mut command);
    let ended = wait_for(&name, || {
        let ended = honed.ended();
        // Not the log: that may be what fails.
        (ended.is_some() || serves(&socket)).then_some(ended)
    });
    let failed = faults.failed();
    let status = ended.unwrap_or_else(|| {
        honed.signal(Signal::TERM);
        honed.wait(&name)
    });
    let log = log();
    if has_aborted(fault.map(|(class, ..)| class), status, &log, &name) {
        return;
    }
    if ended.is_some() {
        assert_eq!(status.code(), Some(1), "{name} {failed:?}: {log}");
        let unsaid = failed.is_some_and(|failed| failed.argument == 2);
        assert!(unsaid || log.contains("honed: error: "), "{name} {failed:?}: {log}");
    } else {
        assert_eq!(status.code(), Some(0), "{name} {failed:?}: {log}");
    }
    let unlink = failed.is_some_and(|failed| REMOVE.contains(&failed.call));
    assert!(unlink || !socket.exists(), "{name} {failed:?}: the socket is left behind: {log}");
    said(&format!("start: {name} {failed:?}: {status}: {}", log.lines().next_back().unwrap_or_default()));
}

/// Whether it answers. It listens before its sensor runs, and answers after.
fn serves(socket: &Path) -> bool {
    socket.exists() && Connection::open(socket).is_ok_and(|mut connection| connection.statistics().is_ok())
}

/// unlink(2), unlinkat(2) of x86_64 and aarch64.
const REMOVE: [u64; 3] = [87, 263, 35];

/// For developers who run it with more fault points than usual.
fn said(text: &str) {
    if std::env::var_os("HONE_FAULT_POINTS").is_some() {
        eprintln!("{text}");
    }
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing_behind() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    start(&faults, None);
    let calls = Class::ALL.map(|class| (class, faults.calls(class)));
    for (class, calls) in calls {
        let most = if matches!(class, Class::Descriptor | Class::Name | Class::Bpf) { 2 } else { 1 };
        for (nth, fault) in points(class, calls, most) {
            start(&faults, Some((class, nth, fault)));
        }
    }
}

/// What a reader does in its time: attaches, reads, asks, detaches.
fn visit(service: &Service) -> Result<usize, ReaderError> {
    let mut connection = Connection::open(service.socket())?;
    connection.attach(&Options { snap_length: SnapLength::lenient(96), ring_bytes: 0 })?;
    let mut buffer = vec![0; 100_000];
    let mut bytes = 0;
    // At least the beginning of a section comes.
    while let Read::Bytes(count) = connection.read(&mut buffer, Duration::from_millis(100))? {
        bytes += count;
        if count < buffer.len() {
            break;
        }
    }
    connection.statistics()?;
    connection.detach()?;
    Ok(bytes)
}

/// A reader that stays, and what it has got.
struct Steady {
    connection: Connection,
    tag: u64,
    sent: usize,
    bytes: Vec<u8>,
}

impl Steady {
    fn attach(service: &Service) -> Self {
        let connection = service.reader(&Options { snap_length: SnapLength::lenient(96), ring_bytes: 0 });
        Self { connection, tag: new_tag(), sent: 0, bytes: Vec::new() }
    }

    /// Reads what there is; false: its connection is gone.
    fn read(&mut self) -> bool {
        let mut buffer = vec![0; 100_000];
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            match self.connection.read(&mut buffer, Duration::from_millis(1)) {
                Ok(Read::Bytes(count)) => self.bytes.extend_from_slice(&buffer[..count]),
                Ok(Read::Empty) => return true,
                Ok(Read::SectionEnd) => panic!("no mark was set"),
                Err(_) => return false,
            }
        }
        true
    }

    /// All its packets are there, and are what the statistics say.
    fn finish(mut self) {
        std::thread::sleep(SETTLE);
        assert!(self.read(), "its connection is there");
        self.connection.mark_restart().expect("no other mark is set");
        let section = read_rest(&mut self.connection, self.bytes);
        assert_eq!(section.count(self.tag), self.sent);
        let [_, by_source, by_ring, delivered] = section.statistics.expect("a whole section has statistics");
        assert_eq!((by_source, by_ring, delivered), (0, 0, section.all_packets));
    }
}

#[test]
fn a_call_that_fails_while_honed_serves_ends_one_connection_at_most() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let start = || Service::start_with(&faults, "log_level = ['error', 'warning', 'information']");
    let mut service = start();
    let mut steady = Steady::attach(&service);
    faults.disarm();
    visit(&service).expect("nothing fails");
    let calls = Class::ALL.map(|class| (class, faults.calls(class)));
    for (class, calls) in calls {
        for (nth, fault) in points(class, calls, if class == Class::Memory { 4 } else { 8 }) {
            let name = format!("{class:?} {nth} {fault:?}");
            faults.arm(class, nth, 1, fault);
            let visited = visit(&service);
            send(steady.tag, 10, 100);
            steady.sent += 20;
            let kept = steady.read();
            let failed: Option<Failed> = faults.failed();
            faults.disarm();
            said(&format!("serving: {name} {failed:?}: {visited:?}, the other {kept}"));
            let log = service.log();
            // An abort of the service ends both connections before its status can be seen.
            if (visited.is_err() && !kept)
                || service.has_ended().is_some()
                || log.contains("panicked")
                || log.contains("memory allocation of")
            {
                let status = wait_for(&name, || service.has_ended());
                assert!(
                    has_aborted(Some(class), status, &service.log(), &name),
                    "{name} {failed:?}: {}",
                    service.log()
                );
                service = start();
                steady = Steady::attach(&service);
                continue;
            }
            let again = visit(&service);
            assert!(again.is_ok(), "{name} {failed:?}: {again:?} {}", service.log());
            if !kept {
                steady = Steady::attach(&service);
            }
        }
    }
    steady.finish();
    let mut last = service.reader(&Options::default());
    last.mark_restart().expect("no other mark is set");
    read_section(&mut last);
    drop(last);
    service.signal(Signal::TERM);
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{status}: {log}");
}

#[test]
fn a_reader_gets_its_packets_though_the_sensor_could_not_be_told_at_once() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let service = Service::start_with(&faults, "");
    // No BPF call works while the first reader comes: neither asking for packets nor reading what was lost.
    faults.arm(Class::Bpf, 1, u64::MAX, Fault::Error(rustix::io::Errno::NOMEM));
    let mut reader = service.reader(&Options::default());
    std::thread::sleep(SETTLE);
    faults.disarm();
    std::thread::sleep(SETTLE);
    let tag = new_tag();
    send(tag, 100, 100);
    assert_eq!(finish_section(&mut reader).count(tag), 200, "{}", service.log());
    assert!(service.log().contains("trying again"), "{}", service.log());
    drop(reader);
    service.signal(Signal::TERM);
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{status}: {log}");
}

#[test]
fn a_client_for_whom_there_is_no_thread_is_told() {
    if !ready(&[]) {
        return;
    }
    let Some(faults) = Faults::build() else { return };
    let service = Service::start_with(&faults, "");
    faults.arm(Class::Thread, 1, 1, Fault::Error(rustix::io::Errno::AGAIN));
    let refused = hone_client::Connection::open(service.socket()).err().and_then(|error| error.refusal());
    assert_eq!(refused, Some(hone_client::Refusal::NoMemory), "{}", service.log());
    faults.disarm();
    drop(service.connect());
    service.signal(Signal::TERM);
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{status}: {log}");
}

/// Clients take all descriptors: honed goes on for those that it has, and serves others when these are gone.
#[test]
fn clients_that_take_all_descriptors_end_nobody_else() {
    if !ready(&["sh"]) {
        return;
    }
    let mut service = Service::start_limited("ulimit -n 140", "");
    let mut reader = service.reader(&Options::default());
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.extend(std::os::unix::net::UnixStream::connect(service.socket()));
    }
    wait_for("honed has no more descriptors", || service.log().contains("Too many open files").then_some(()));
    let tag = new_tag();
    send(tag, 100, 100);
    assert_eq!(finish_section(&mut reader).count(tag), 200, "{}", service.log());
    drop(idle);
    wait_for("others are served", || visit(&service).ok());
    assert_eq!(service.has_ended(), None);
    drop(reader);
    service.signal(Signal::TERM);
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{status}: {log}");
}
