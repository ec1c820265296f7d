//! What each of several readers gets.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hone_client::api::{List, Request, SnapLength};
use hone_client::{Options, Read};
use hone_testing::{Guarded, Service, ready, wait_for};
use rustix::process::Signal;

use crate::raw::Raw;
use crate::stream::{SETTLE, finish_section, read_rest, read_section};
use crate::traffic::{new_tag, send};

#[test]
fn readers_have_their_own_snap_lengths_and_filters() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let tag = new_tag();
    let mut whole = service.reader(&Options::default());
    let mut cut = service.reader(&Options { snap_length: SnapLength::lenient(64), ..Options::default() });
    let mut without = service.connect();
    let mut with = service.connect();
    let mut other = service.connect();
    let mut buffer = [0; 8];
    // The traffic is this process's. Filters that are set before attaching hold from the first packet on.
    let us = List::write([std::process::id()], &mut buffer).expect("there is room");
    without.control(&Request::FilterProcesses(us)).expect("filters may be set before");
    with.control(&Request::IncludeProcesses(us)).expect("filters may be set before");
    let mut buffer = [0; 8];
    let nobody = List::write([1_u64 << 60], &mut buffer).expect("there is room");
    other.control(&Request::IncludeConnections(nobody)).expect("filters may be set before");
    for connection in [&mut without, &mut with, &mut other] {
        connection.attach(&Options::default()).expect("honed takes readers");
    }
    assert_eq!(whole.snap_length().expect("it is attached"), SnapLength::ALL);
    assert_eq!(cut.snap_length().expect("it is attached").number(), 64);

    send(tag, 1000, 1000);
    let [whole_got, cut_got, without_got, with_got, other_got] =
        [&mut whole, &mut cut, &mut without, &mut with, &mut other].map(finish_section);
    assert_eq!((whole_got.count(tag), whole_got.longest(tag)), (2000, 1000));
    assert_eq!((cut_got.count(tag), cut_got.longest(tag)), (2000, 64));
    assert_eq!((cut_got.snap_length, whole_got.snap_length), (64, 0));
    assert_eq!(without_got.count(tag), 0);
    assert_eq!(with_got.count(tag), 2000);
    assert_eq!(other_got.all_packets, 0);
    for section in [&whole_got, &cut_got, &without_got, &with_got, &other_got] {
        let [received, _, dropped, delivered] = section.statistics.expect("a whole section has statistics");
        assert_eq!((delivered, dropped), (section.all_packets, 0));
        assert!(received >= 2000);
        assert!(section.processes > 1, "the section begins with the running processes");
    }
    let statistics = without.statistics().expect("honed answers");
    assert!(statistics.reader.filtered.packets >= 2000);
    assert_eq!(statistics.readers, 5);

    // A filter that is turned off, and a snap length that is raised while reading.
    let tag = new_tag();
    without.control(&Request::FilterProcesses(List::EMPTY)).expect("honed answers");
    cut.set_snap_length(SnapLength::lenient(200)).expect("honed answers");
    send(tag, 100, 1000);
    assert_eq!(finish_section(&mut without).count(tag), 200);
    let section = finish_section(&mut cut);
    assert_eq!((section.count(tag), section.longest(tag)), (200, 200));

    // What nobody wants whole is not captured whole.
    drop((whole, without, with, other));
    wait_for("the others are detached", || (cut.statistics().ok()?.readers == 1).then_some(()));
    assert_eq!(cut.statistics().expect("honed answers").max_snap_length.number(), 200);
    drop(cut);
    service.stop();
}

#[test]
fn a_restart_mark_loses_and_repeats_nothing() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut reader = service.reader(&Options::default());
    let tag = new_tag();
    let mut counted = 0;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(tag, 20_000, 100));
        while !sender.is_finished() {
            reader.mark_restart().expect("the last mark has been read up to");
            counted += read_section(&mut reader).count(tag);
        }
    });
    counted += finish_section(&mut reader).count(tag);
    assert_eq!(counted, 40_000);

    // A second mark has to wait for the first to be read up to, by a reader that does not read.
    let mut slow = Raw::open(&service.socket());
    slow.attach();
    Raw::stall();
    let mut refused = 0;
    for _ in 0..2 {
        slow.request(0x800, &[]);
        let (kind, code, _) = slow.answer_kind();
        refused += usize::from((kind, code) == (3, 8));
    }
    assert!(refused <= 1, "one mark at least is taken");
    drop((reader, slow));
    service.stop();
}

#[test]
fn a_reader_that_does_not_read_costs_the_others_nothing() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("sensor_buffer = 256\nblock_memory = 2048");
    // A hundred readers with this one.
    let stuck = service.reader(&Options { ring_bytes: 1024, ..Options::default() });
    let mut readers: Vec<_> = (0..99).map(|_| service.reader(&Options::default())).collect();
    let (tag, datagrams) = (new_tag(), 5000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = readers
            .iter_mut()
            .map(|reader| {
                scope.spawn(|| {
                    let mut bytes = Vec::new();
                    let mut buffer = vec![0; 1 << 16];
                    // Reads while the traffic goes on, then to the end of the section.
                    while !done.load(Ordering::Relaxed) {
                        let wait = Duration::from_millis(50);
                        if let Read::Bytes(count) =
                            reader.read(&mut buffer, wait).expect("the stream goes on")
                        {
                            bytes.extend_from_slice(&buffer[..count]);
                        }
                    }
                    reader.mark_restart().expect("no other mark is set");
                    read_rest(reader, bytes)
                })
            })
            .collect();
        send(tag, datagrams, 300);
        // So many readers on a busy machine slow the service's own thread down; the sensor's buffer is the cushion.
        std::thread::sleep(SETTLE * 8);
        done.store(true, Ordering::Relaxed);
        for thread in threads {
            let section = thread.join().expect("the reader does not panic");
            let [_, by_sensor, dropped, delivered] =
                section.statistics.expect("a whole section has statistics");
            assert_eq!(
                by_sensor, 0,
                "the sensor's own buffer overflowed: the machine is too slow for this test"
            );
            assert_eq!(section.count(tag), 2 * datagrams);
            assert_eq!((delivered, dropped), (section.all_packets, 0));
        }
    });
    let mut stuck = stuck;
    let reader = stuck.statistics().expect("honed answers one that does not read").reader;
    assert!(reader.dropped.packets > 0, "what a full ring loses is counted: {reader:?}");
    let sum =
        reader.delivered.packets + reader.dropped.packets + reader.filtered.packets + reader.queued.packets;
    assert_eq!(reader.received.packets, sum);
    drop((stuck, readers));
    service.stop();
}

/// What a reader's statistics say is what the section's say that it reads, and what it has read, dropped packets included.
#[test]
fn statistics_agree_with_the_files() {
    if !ready(&["unshare", "python3"]) {
        return;
    }
    const DATAGRAMS: u64 = 300;
    let service = Service::start("");
    let program = format!(
        "import socket, sys\n\
         sys.stdin.read()\n\
         one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))\n\
         two.bind(('127.0.0.1', 0))\n\
         for _ in range({DATAGRAMS}): one.sendto(b'hone', two.getsockname()), two.recv(9)\n"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec python3 -c \"$1\"", "sh", &program]);
    command.stdin(Stdio::piped());
    let mut sender = Guarded::spawn(&mut command);
    let mut buffer = [0; 8];
    // Nobody else's: other tests' packets come and go.
    let only = List::write([sender.pid()], &mut buffer).expect("there is room");
    let mut reader = service.connect();
    reader.control(&Request::IncludeProcesses(only)).expect("filters may be set before");
    reader.attach(&Options { ring_bytes: 1024, ..Options::default() }).expect("honed takes readers");
    drop(sender.child().stdin.take());
    assert!(sender.wait("all is sent").success());
    let section = finish_section(&mut reader);
    let [_, by_sensor, by_ring, delivered] = section.statistics.expect("a whole section has statistics");
    let counted = reader.statistics().expect("honed answers");
    assert_eq!((delivered, by_ring), (counted.reader.delivered.packets, counted.reader.dropped.packets));
    assert_eq!((delivered, by_sensor), (section.all_packets, counted.dropped_by_source.packets));
    assert_eq!(delivered + by_ring, 2 * DATAGRAMS, "out and in");
    assert!(by_ring > 0 && delivered > 0, "{by_ring} dropped, {delivered} delivered");
    drop(reader);
    service.stop();
}

#[test]
fn a_reader_killed_while_it_reads_is_noticed() {
    if !ready(&["python3"]) {
        return;
    }
    let service = Service::start("");
    let mut watcher = service.reader(&Options::default());
    let mut child = crate::client::python(&service, &["stall"]);
    wait_for("the reader is attached", || (watcher.statistics().ok()?.readers == 2).then_some(()));
    let tag = new_tag();
    // More than fits into a socket, and less than into the sensor's buffer (16 MiB here): a fast machine fills it sooner than a debug
    // build empties it.
    send(tag, 1000, 1400);
    child.signal(Signal::KILL);
    child.wait("it is killed");
    send(tag, 1000, 1400);
    wait_for("the reader is detached", || (watcher.statistics().ok()?.readers == 1).then_some(()));
    let section = finish_section(&mut watcher);
    assert_eq!(
        section.count(tag),
        4000,
        "counted, dropped by sensor and ring, delivered: {:?}",
        section.statistics
    );
    drop(watcher);
    service.stop();
}

#[test]
fn more_readers_than_allowed_are_refused() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("max_readers = 2");
    let readers = [(); 2].map(|()| service.reader(&Options::default()));
    let mut third = service.connect();
    let error = third.attach(&Options::default()).expect_err("there are two already");
    assert_eq!(error.refusal(), Some(hone_client::Refusal::TooMany));
    assert!(error.to_string().contains("max_readers"), "{error}");
    assert_eq!(third.statistics().expect("honed answers").readers, 2);
    drop(readers);
    wait_for("a place is free", || third.attach(&Options::default()).ok());
    // Connections are bounded, too: by the readers and 32 more.
    let mut others = Vec::new();
    let refused = loop {
        match hone_client::Connection::open(service.socket()) {
            Ok(connection) => others.push(connection),
            Err(error) => break error,
        }
        assert!(others.len() < 40, "connections have no bound");
    };
    assert_eq!(refused.refusal(), Some(hone_client::Refusal::TooMany));
    drop((third, others));
    service.stop();
}
