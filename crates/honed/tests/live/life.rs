//! Starting, stopping, and what is left behind.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use hone_client::{Connection, LogLevels, Options, Read, ReaderError, Refusal};
use hone_testing::{Guarded, Service, command, ready, wait_for};
use rustix::process::Signal;

use crate::stream::{SETTLE, finish_section, parse};
use crate::traffic::{new_tag, send};

/// Reads until the stream ends; the bytes, whether a section's end came last, and how it ended.
fn read_to_end(connection: &mut Connection) -> (Vec<u8>, bool, ReaderError) {
    let (mut bytes, mut buffer, mut whole) = (Vec::new(), vec![0; 1 << 16], false);
    loop {
        match connection.read(&mut buffer, Duration::from_secs(10)) {
            Ok(Read::Bytes(count)) => {
                bytes.extend_from_slice(&buffer[..count]);
                whole = false;
            }
            Ok(Read::SectionEnd) => whole = true,
            Ok(Read::Empty) => panic!("the stream does not end"),
            Err(error) => return (bytes, whole, error),
        }
    }
}

#[test]
fn a_stop_ends_every_stream_with_its_section() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut readers = [(); 3].map(|()| service.reader(&Options::default()));
    let mut idle = service.connect();
    let tag = new_tag();
    send(tag, 1000, 200);
    service.signal(Signal::TERM);
    for reader in &mut readers {
        let (bytes, whole, error) = read_to_end(reader);
        assert!(whole, "the section has an end");
        let ReaderError::Ended { reason } = error else { panic!("{error}") };
        assert!(reason.contains("signal"), "{reason}");
        let section = parse(&bytes);
        assert_eq!(section.count(tag), 2000, "what happened before the stop is there");
        let [_, _, dropped, delivered] = section.statistics.expect("a whole section has statistics");
        assert_eq!((delivered, dropped), (section.all_packets, 0));
    }
    let error = idle.statistics().expect_err("honed has stopped");
    assert!(matches!(error, ReaderError::Ended { .. } | ReaderError::Lost), "{error}");
    let (status, log, directory) = service.wait();
    assert!(status.success(), "{log}");
    let error = Connection::open(hone_testing::socket(directory.path())).expect_err("honed has stopped");
    assert!(matches!(error, ReaderError::NoService { .. }), "{error}");
    assert!(error.to_string().contains("honeutil start"), "{error}");
}

#[test]
fn a_reader_that_does_not_take_its_end_does_not_hold_up_the_stop() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let _stuck = service.reader(&Options::default());
    send(new_tag(), 2000, 1400);
    std::thread::sleep(SETTLE);
    service.signal(Signal::TERM);
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("1 connections did not take their end"), "{log}");
}

#[test]
fn a_service_that_was_killed_leaves_nothing_in_the_way() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut reader = service.reader(&Options::default());
    service.signal(Signal::KILL);
    let (_, _, error) = read_to_end(&mut reader);
    assert!(matches!(error, ReaderError::Lost), "{error}");
    let (_, _, directory) = service.wait();
    let socket = hone_testing::socket(directory.path());
    assert!(socket.exists(), "the killed service leaves its socket");
    let error = Connection::open(&socket).expect_err("nobody listens");
    assert!(matches!(error, ReaderError::NoService { .. }), "{error}");

    let service = Service::start_in(directory, "");
    let mut reader = service.reader(&Options::default());
    let tag = new_tag();
    send(tag, 100, 100);
    assert_eq!(finish_section(&mut reader).count(tag), 200);
    drop(reader);
    service.stop();
}

#[test]
fn one_service_at_a_time() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let second = hone_testing::directory();
    let config = service.directory().join("hone.toml");
    std::fs::copy(&config, second.path().join("hone.toml")).expect("both are ours");
    let mut honed = Guarded::spawn(&mut command(second.path()));
    assert_eq!(honed.wait("the second ends").code(), Some(1));
    let log = std::fs::read_to_string(second.path().join("log")).expect("it has a log");
    assert!(log.contains(&format!("another honed, process {}", service.pid())), "{log}");
    service.reader(&Options::default());
    service.stop();

    // What is no service's is not removed.
    let directory = hone_testing::directory();
    let socket = hone_testing::socket(directory.path());
    let text = format!("socket = '{}'", socket.display());
    std::fs::write(directory.path().join("hone.toml"), text).expect("the directory is ours");
    std::fs::write(&socket, "mine").expect("the directory is ours");
    let mut honed = Guarded::spawn(&mut command(directory.path()));
    assert_eq!(honed.wait("it refuses").code(), Some(1));
    assert_eq!(std::fs::read_to_string(&socket).expect("it is still there"), "mine");
    std::fs::remove_file(&socket).expect("the directory is ours");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("the place is free");
    let mut honed = Guarded::spawn(&mut command(directory.path()));
    assert_eq!(honed.wait("it refuses").code(), Some(1));
    let log = std::fs::read_to_string(directory.path().join("log")).expect("it has a log");
    assert!(log.contains("another program already listens"), "{log}");
}

/// A user who may write in the directory must not be able to make root write into another file.
#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    if !ready(&[]) {
        return;
    }
    let directory = hone_testing::directory();
    let socket = hone_testing::socket(directory.path());
    let text = format!("socket = '{}'", socket.display());
    std::fs::write(directory.path().join("hone.toml"), text).expect("the directory is ours");
    let (precious, lock) = (directory.path().join("precious"), directory.path().join("hone.sock.lock"));
    std::fs::write(&precious, "precious").expect("the directory is ours");
    for (link, word) in [(true, "a symbolic link"), (false, "a hard link")] {
        if link {
            std::os::unix::fs::symlink(&precious, &lock).expect("the directory is ours");
        } else {
            std::fs::hard_link(&precious, &lock).expect("the directory is ours");
        }
        let mut honed = Guarded::spawn(&mut command(directory.path()));
        assert_eq!(honed.wait("it refuses").code(), Some(1));
        let log = std::fs::read_to_string(directory.path().join("log")).expect("it has a log");
        assert!(log.contains(&lock.display().to_string()) && log.contains(word), "{log}");
        assert!(log.contains("remove it"), "what to do: {log}");
        assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
        std::fs::remove_file(&lock).expect("the directory is ours");
    }
}

#[test]
fn a_stop_request_is_refused_while_readers_are_attached() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut reader = service.reader(&Options::default());
    let mut other = service.connect();
    let error = other.stop_service(false).expect_err("a reader is attached");
    assert_eq!(error.refusal(), Some(Refusal::Busy));
    assert!(error.to_string().contains("1 readers are attached"), "{error}");
    reader.detach().expect("it is attached");
    other.stop_service(false).expect("nobody is attached");
    let (status, log, directory) = service.wait();
    assert!(status.success() && log.contains("on request"), "{log}");

    let service = Service::start_in(directory, "");
    let mut reader = service.reader(&Options::default());
    service.connect().stop_service(true).expect("it is forced");
    let (_, whole, error) = read_to_end(&mut reader);
    assert!(whole && matches!(error, ReaderError::Ended { .. }), "{error}");
    assert!(service.wait().0.success());
}

#[test]
fn the_configuration_is_read_again() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("ring_buffer_size = 4096\nlog_level = ['information']");
    let mut old = service.reader(&Options::default());
    let reader = old.statistics().expect("honed answers").reader;
    assert_eq!((reader.ring_bytes, reader.ring_slots), (4096, 512));
    service.configure("ring_buffer_size = 65536\nlog_level = 'verbose'");
    service.signal(Signal::HUP);
    wait_for("the new size holds", || (old.statistics().ok()?.ring_bytes == 65_536).then_some(()));
    let mut new = service.reader(&Options::default());
    assert_eq!(new.statistics().expect("honed answers").reader.ring_bytes, 65_536);
    assert_eq!(old.statistics().expect("honed answers").reader.ring_bytes, 4096);
    let mut levels = new.log_levels().expect("honed answers");
    assert_eq!(levels, "verbose".parse().expect("it is a level"));

    // One that is wrong changes nothing; the log says where.
    service.configure("ring_buffer_size = 5");
    service.signal(Signal::HUP);
    wait_for("the fault is told", || {
        service.log().contains("ring_buffer_size = 5; allowed: 1024 to").then_some(())
    });
    assert_eq!(old.statistics().expect("honed answers").ring_bytes, 65_536);

    // Through the protocol.
    new.set_ring_bytes(2000).expect("it is in range");
    assert_eq!(new.statistics().expect("honed answers").ring_bytes, 2048);
    new.set_log_levels(LogLevels::from_mask(LogLevels::ALL).expect("they are levels"))
        .expect("honed answers");
    levels = new.log_levels().expect("honed answers");
    assert_eq!(levels.mask(), 0x1F);
    old.detach().expect("it is attached");
    drop(old);
    wait_for("lock status is told", || service.log().contains("lock: a request waited").then_some(()));
    drop(new);
    service.signal(Signal::TERM);
    assert!(service.wait().0.success());
}

#[test]
fn a_configuration_can_be_checked() {
    let directory = hone_testing::directory();
    let check = |text: &str| {
        std::fs::write(directory.path().join("hone.toml"), text).expect("the directory is ours");
        let status = command(directory.path()).arg("--check-config").status().expect("honed can be started");
        (status.code(), std::fs::read_to_string(directory.path().join("log")).expect("it has a log"))
    };
    assert_eq!(check(include_str!("../../../../packaging/hone.toml")), (Some(0), String::new()));
    let (code, log) = check("max_readers = 5000");
    assert_eq!(code, Some(1));
    assert!(log.contains("hone.toml: max_readers = 5000; allowed: 1 to 1024"), "{log}");

    let missing = directory.path().join("missing.toml");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_honed"))
        .args(["--check-config", "--config"])
        .arg(&missing)
        .output()
        .expect("honed can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(missing.to_str().expect("it is text")), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

/// The journal has times of its own, and takes priorities; a stream that only inherits its name does not.
#[test]
fn log_lines_have_times_but_in_the_journal() {
    let directory = hone_testing::directory();
    std::fs::write(directory.path().join("hone.toml"), "max_readers = 0").expect("the directory is ours");
    let logged = |journal: fn(&Metadata) -> String| {
        let mut command = command(directory.path());
        let log = directory.path().join("log");
        command.env("JOURNAL_STREAM", journal(&log.metadata().expect("it is there")));
        assert_eq!(command.status().expect("honed can be started").code(), Some(1));
        std::fs::read_to_string(log).expect("it is there")
    };
    let line = logged(|log| format!("{}:{}", log.dev(), log.ino()));
    assert!(line.starts_with("<3>") && line.contains("max_readers"), "{line}");
    let line = logged(|log| format!("{}:{}", log.dev(), log.ino() + 1));
    let (time, rest) = line.split_once("Z honed: error: ").unwrap_or_else(|| panic!("{line}"));
    assert!(time.len() == "2026-07-30T12:00:00.000000".len() && time.starts_with("20"), "{line}");
    assert!(rest.contains("max_readers = 0; allowed"), "{line}");
}
