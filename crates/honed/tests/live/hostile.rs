//! Members of the group that take all they can get: others, and root above all, lose nothing by it.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hone_client::{Component, Connection, Options, Read, ReaderError, Refusal};
use hone_testing::{Service, ready, wait_for};

use crate::access::{GROUP, connected_as, member};
use crate::raw::Raw;
use crate::stream::{SETTLE, read_rest};
use crate::traffic::{new_tag, send};

const MIB: u64 = 1 << 20;
/// Two members of the group.
const ONE: u32 = 65_534;
const OTHER: u32 = 65_533;

fn service(config: &str) -> Service {
    Service::start(&format!("socket_group = '{}'\n{config}", GROUP.0))
}

fn bytes_of(watcher: &mut Connection, component: Component) -> u64 {
    let rows = watcher.memory().expect("honed answers");
    rows.iter().find(|row| row.component == component.number()).expect("the report has it").bytes
}

/// What is allocated besides blocks, of which other tests' traffic makes as many as it likes.
fn besides_blocks(watcher: &mut Connection) -> u64 {
    bytes_of(watcher, Component::All).saturating_sub(bytes_of(watcher, Component::Blocks))
}

fn big(ring_bytes: u32) -> Options {
    Options { ring_bytes, ..Options::default() }
}

#[test]
fn a_member_cannot_have_a_ring_buffer_larger_than_the_default() {
    if !ready(&[]) {
        return;
    }
    let service = service("ring_buffer_size = 65536");
    let attach = |ring_bytes| {
        connected_as(&service.socket(), ONE, GROUP.1, &[], |mut connection| {
            connection.attach(&big(ring_bytes)).map_err(|error| (error.refusal(), error.to_string()))
        })
    };
    attach(65_536).expect("a member may have the default");
    attach(1024).expect("and less");
    let (refusal, text) = attach(65_537).expect_err("no more");
    assert_eq!(refusal, Some(Refusal::Permission));
    assert!(text.contains("65536") && text.contains("ring_buffer_size"), "{text}");
    service.reader(&big(1 << 20));
    service.stop();
}

#[test]
fn ring_buffers_of_all_readers_together_are_bounded_also_roots() {
    if !ready(&[]) {
        return;
    }
    let service = service("");
    let mut watcher = service.connect();
    let before = besides_blocks(&mut watcher);
    let mut readers = Vec::new();
    let refused = loop {
        let mut connection = service.connect();
        match connection.attach(&big(16 << 20)) {
            Ok(_) => readers.push(connection),
            Err(error) => break error,
        }
        assert!(readers.len() <= 8, "128 MiB are for all: 128 readers with the default of 1 MiB");
    };
    assert_eq!(refused.refusal(), Some(Refusal::NoMemory));
    assert!(refused.to_string().contains("ask for a smaller one"), "{refused}");
    assert_eq!((readers.len(), bytes_of(&mut watcher, Component::Rings)), (8, 128 * MIB));
    let grown = besides_blocks(&mut watcher).saturating_sub(before);
    assert!(grown < 160 * MIB, "{grown} bytes");
    drop(readers);
    wait_for("it is freed", || (besides_blocks(&mut watcher) < before + 8 * MIB).then_some(()));
    wait_for("its places are free", || service.connect().attach(&big(16 << 20)).ok());
    service.stop();
}

/// All but the last byte of the longest request there is, which only root may make.
fn half_sent(socket: &Path) -> Raw {
    const LENGTH: u32 = 4 + 65_536 * 72;
    let mut raw = Raw::open(socket);
    raw.send(LENGTH, 16, 0x905, &[]);
    raw.0.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    raw.0.write_all(&vec![0; LENGTH as usize - 1]).expect("honed takes it, or throws it away");
    raw
}

#[test]
fn half_sent_requests_pin_no_memory() {
    if !ready(&[]) {
        return;
    }
    let service = service("");
    let mut watcher = service.connect();
    let before = besides_blocks(&mut watcher);
    // A member is refused by the header of what only root may ask for.
    let mut members: Vec<_> =
        member(ONE, GROUP.1, &[], || (0..30).map(|_| half_sent(&service.socket())).collect());
    for raw in &mut members {
        let (kind, code, text) = raw.frame().expect("honed answers before the last byte");
        assert_eq!((kind, code), (3, Refusal::Permission.number()), "{}", String::from_utf8_lossy(&text));
    }
    assert_eq!(bytes_of(&mut watcher, Component::Requests), 0);
    let grown = besides_blocks(&mut watcher).saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    // When the rest has come, the connection goes on.
    for raw in &mut members {
        raw.0.write_all(&[0]).expect("honed throws it away");
        raw.request(0x900, &[]);
        assert_eq!(raw.frame().map(|frame| (frame.0, frame.1)), Some((2, 0x900)));
    }
    // And those that root may make are bounded together.
    let roots: Vec<_> = (0..20).map(|_| half_sent(&service.socket())).collect();
    let rows = watcher.memory().expect("honed answers");
    let requests =
        rows.iter().find(|row| row.component == Component::Requests.number()).expect("there is a row");
    // With the one that asks for the report.
    assert!(requests.count == 4 && requests.bytes <= 16 * MIB, "{requests:?}");
    let grown = besides_blocks(&mut watcher).saturating_sub(before);
    assert!(grown < 40 * MIB, "{grown} bytes");
    drop((members, roots));
    wait_for("it is freed", || (bytes_of(&mut watcher, Component::Requests) == 0).then_some(()));
    service.stop();
}

#[test]
fn a_request_that_does_not_come_whole_ends_its_connection() {
    if !ready(&[]) {
        return;
    }
    let service = service("");
    let mut reader = Raw::open(&service.socket());
    reader.attach();
    let mut cut = [Raw::open(&service.socket()), Raw::open(&service.socket()), reader];
    // A part of a header, a part of an input, and of one that is thrown away.
    for (raw, bytes) in cut.iter_mut().zip([
        &[4, 0][..],
        &[4, 0, 0, 0, 16, 0, 3, 8, 9, 0, 0, 0, 1],
        &[4, 0, 0, 0, 16, 0, 0x77, 0x77, 9, 0, 0, 0],
    ]) {
        raw.0.write_all(bytes).expect("honed takes it");
    }
    for raw in &mut cut {
        raw.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        let last = loop {
            let (kind, code, text) = raw.answer_kind();
            if (kind, code) != (3, Refusal::UnknownOperation.number()) {
                break (kind, code, String::from_utf8_lossy(&text).into_owned());
            }
        };
        assert_eq!((last.0, last.1), (3, Refusal::Timeout.number()), "{}", last.2);
        while raw.frame().is_some() {}
    }
    service.stop();
}

/// As many connections as the user gets, and why no more.
fn all_connections(service: &Service, user: u32) -> (Vec<Connection>, ReaderError) {
    member(user, GROUP.1, &[], || {
        let mut connections = Vec::new();
        loop {
            match Connection::open(service.socket()) {
                Ok(connection) => connections.push(connection),
                Err(error) => return (connections, error),
            }
        }
    })
}

#[test]
fn idle_connections_of_members_leave_room_for_others_and_for_root() {
    if !ready(&[]) {
        return;
    }
    let service = service("max_readers = 16");
    // 48 connections, of which 16 are root's alone, and one user may have half of the rest.
    let (mut one, why) = all_connections(&service, ONE);
    assert_eq!((one.len(), why.refusal()), (16, Some(Refusal::TooMany)), "{why}");
    assert!(why.to_string().contains("one user"), "{why}");
    let (other, _) = all_connections(&service, OTHER);
    assert_eq!(other.len(), 16);
    let (none, why) = all_connections(&service, OTHER - 1);
    assert_eq!(none.len(), 0, "{why}");
    assert!(why.to_string().contains("other than root"), "{why}");
    // Of 16 readers one is root's alone, and one user may have 8.
    let attached =
        one.iter_mut().filter_map(|connection| connection.attach(&Options::default()).ok()).count();
    assert_eq!(attached, 8);
    let mut root = service.connect();
    assert_eq!(root.statistics().expect("root is served").readers, 8);
    root.attach(&Options::default()).expect("root may read");
    root.stop_service(true).expect("and stop it");
    drop((one, other, root));
    let (status, log, _directory) = service.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_member_who_attaches_and_detaches_without_end_costs_a_recorder_nothing() {
    if !ready(&[]) {
        return;
    }
    let service = service("sensor_buffer = 256");
    let mut recorder = service.reader(&Options::default());
    let (tag, datagrams) = (new_tag(), 40_000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = |user: u32| {
            let (service, done) = (&service, &done);
            move || {
                connected_as(&service.socket(), user, GROUP.1, &[], |mut connection| {
                    let mut attaches = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        connection.attach(&Options::default()).expect("there is a place");
                        connection.detach().expect("it is attached");
                        attaches += 1;
                    }
                    attaches
                })
            }
        };
        let members = [ONE, OTHER].map(|user| scope.spawn(busy(user)));
        let reader = scope.spawn(|| {
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
            while !done.load(Ordering::Relaxed) {
                if let Read::Bytes(count) =
                    recorder.read(&mut buffer, Duration::from_millis(50)).expect("the stream goes on")
                {
                    bytes.extend_from_slice(&buffer[..count]);
                }
            }
            recorder.mark_restart().expect("no other mark is set");
            read_rest(&mut recorder, bytes)
        });
        send(tag, datagrams, 200);
        std::thread::sleep(SETTLE * 4);
        done.store(true, Ordering::Relaxed);
        let section = reader.join().expect("the recorder does not panic");
        let attaches: u64 = members.into_iter().map(|member| member.join().expect("it does not panic")).sum();
        let [_, by_sensor, by_ring, _] = section.statistics.expect("a whole section has statistics");
        assert_eq!(
            (by_sensor, by_ring, section.count(tag)),
            (0, 0, 2 * datagrams),
            "beside {attaches} attaches"
        );
        assert!(attaches > 100, "{attaches}");
    });
    // Nor does the log fill up: it says how many lines it lacks.
    let lines = service.log().lines().filter(|line| line.contains("attached")).count();
    assert!(lines < 200, "{lines} lines");
    drop(recorder);
    let (_, log, _directory) = {
        service.signal(rustix::process::Signal::TERM);
        service.wait()
    };
    assert!(log.contains("messages like this one were left out: reader"), "{log}");
}

/// Anonymous memory of honed's that is resident, bytes.
fn resident(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn memory_goes_back_to_the_system_after_a_storm() {
    if !ready(&[]) {
        return;
    }
    let service = service("");
    drop(service.reader(&Options::default()));
    std::thread::sleep(SETTLE);
    let before = resident(&service);
    // Connections that come and go while the stuck ones hold what was there when they came.
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.extend((0..5).map(|_| service.reader(&Options::default())));
        send(new_tag(), 3000, 1400);
    }
    std::thread::sleep(SETTLE);
    let peak = resident(&service);
    assert!(peak > before + 100 * MIB, "the storm takes memory: {peak} after {before}");
    // One stays, and is in the middle of what was allocated.
    let mut left = stuck.swap_remove(50);
    drop(stuck);
    let mut buffer = vec![0; 1 << 18];
    wait_for("what waited is read", || {
        matches!(left.read(&mut buffer, Duration::from_millis(200)), Ok(Read::Empty)).then_some(())
    });
    // What is kept for the next blocks, and pages that are used in part.
    let allowed = before + before / 5 + 12 * MIB;
    wait_for("memory goes back", || (resident(&service) <= allowed).then_some(()));
    drop(left);
    service.stop();
}
