//! What is not as the protocol has it: never a crash, and always a word before the end.

use std::io::Write as _;
use std::net::Shutdown;

use hone_client::api::{Family, List, OpenConnection, OpenConnections, Request};
use hone_testing::{Service, ready, wait_for};

use crate::raw::Raw;

#[test]
fn wrong_frames_end_the_connection_with_a_reason() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let socket = service.socket();
    let expect_closed = |what: &str, length: u32, kind: u16, code: u16, payload: &[u8]| {
        for attached in [false, true] {
            let mut raw = Raw::open(&socket);
            if attached {
                raw.attach();
            }
            raw.send(length, kind, code, payload);
            let (kind, code, text) = raw.answer_kind();
            let text = String::from_utf8(text).expect("a refusal is text");
            assert_eq!((kind, code), (3, 1), "{what}: {text}");
            assert!(text.contains("allowed") || text.contains("client sends"), "{what}: {text}");
            while let Some(frame) = raw.frame() {
                assert!(matches!(frame.0, 4 | 5), "{what}: {frame:?} after the last word");
            }
        }
    };
    expect_closed("a frame of honed's", 0, 4, 0, &[]);
    expect_closed("an unknown kind", 0, 999, 0x906, &[]);
    expect_closed("the longest length there is", u32::MAX, 16, 0x806, &[]);
    expect_closed("more than any list", 4 + 65_536 * 72 + 1, 16, 0x905, &[0; 100]);
    expect_closed("a long input of an operation with a short one", 32_769, 16, 0x906, &[]);
    expect_closed("a long attach", 17, 16, 0xB00, &[0; 17]);
    expect_closed("an unknown operation with a long input", 65_537, 16, 0x7777, &[]);
    expect_closed("text", 0x2054_4547, 0x202F, 0x5448, b"TP/1.1\r\n\r\n");
    service.stop();
}

#[test]
fn wrong_requests_are_refused_and_the_connection_goes_on() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut raw = Raw::open(&service.socket());
    // Operation, input, refusal.
    let wrong: &[(u16, &[u8], u16)] = &[
        (0x7777, b"", 2),
        (0xFFFF, &[0; 65_536], 2),
        (0xB07, b"", 2),
        (0xB06, b"", 10),
        (0xB06, b"x", 3),
        (0x906, b"x", 3),
        (0x801, b"abc", 3),
        (0x901, &[0; 12], 3),
        (0x802, &[0; 4 * 4097], 3),
        (0x803, b"", 3),
        (0x904, &1023_u32.to_le_bytes(), 3),
        (0x904, &u32::MAX.to_le_bytes(), 3),
        (0x905, &[1, 0, 0, 0, 9], 3),
        (0x905, &u32::MAX.to_le_bytes(), 3),
        (0x800, b"", 4),
        (0x803, &[0; 4], 4),
        (0x804, b"", 4),
        (0x805, &[0; 4], 10),
        (0xC05, &[0; 8], 10),
        (0xB00, &[0; 15], 3),
        (0xB00, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 3),
        (0xB00, &[0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 3),
        (0xB01, b"", 4),
        (0xB02, &0x20_u32.to_le_bytes(), 3),
        (0xB03, b"x", 3),
        (0xB05, &2_u32.to_le_bytes(), 3),
    ];
    for (operation, input, refusal) in wrong {
        raw.request(*operation, input);
        let (kind, code, text) = raw.frame().expect("the connection goes on");
        let text = String::from_utf8(text).expect("a refusal is text");
        assert_eq!((kind, code), (3, *refusal), "{operation:#x}: {text}");
        assert!(!text.is_empty());
    }
    raw.attach();
    raw.request(0xB00, &[0; 16]);
    let (kind, code, _) = raw.answer_kind();
    assert_eq!((kind, code), (3, 5), "attached twice");
    raw.request(0x900, &[]);
    let (kind, _, version) = raw.answer_kind();
    assert_eq!((kind, version.len()), (2, 12));
    service.stop();
}

#[test]
fn open_connections_are_listed() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut connection = service.connect();
    let record = |process| OpenConnection {
        family: Family::V4,
        protocol: 17,
        local_port: 53,
        local: None,
        remote: None,
        connection: None,
        process,
        process_start: None,
        opened: 0,
    };
    // One of a process that runs, one of none.
    let records = [record(std::process::id()).record(), record(u32::MAX).record()];
    let mut buffer = [0; 144];
    let list = List::write(records, &mut buffer).expect("there is room");
    connection.control(&Request::SetOpenConnections(OpenConnections::Full(list))).expect("honed takes lists");
    assert!(service.log().contains("lists 2 open connections, 1 of running processes"), "{}", service.log());
    connection.control(&Request::SetOpenConnections(OpenConnections::Full(List::EMPTY))).expect("also none");
    let statistics = connection.statistics().expect("honed answers");
    assert!(statistics.process_starts >= statistics.processes && statistics.processes > 1);
    drop(connection);
    service.stop();
}

#[test]
fn requests_cut_short_and_in_pieces() {
    if !ready(&[]) {
        return;
    }
    let service = Service::start("");
    let mut watcher = service.connect();
    let open = |watcher: &mut hone_client::Connection| {
        let rows = watcher.memory().expect("honed answers");
        rows.iter().find(|row| row.component == 7).map(|row| row.count)
    };
    // Byte by byte.
    let mut raw = Raw::open(&service.socket());
    for byte in [4, 0, 0, 0, 16, 0, 0x02, 0xB, 1, 0, 0, 0, 7, 0, 0, 0] {
        raw.0.write_all(&[byte]).expect("honed takes it");
    }
    assert_eq!(raw.frame().map(|frame| (frame.0, frame.1)), Some((2, 0xB02)));
    // Ended in the middle of the head, and of the payload, by a client that goes, and one that only says no more.
    for (bytes, shut) in [(5, false), (14, false), (5, true), (14, true)] {
        let mut raw = Raw::open(&service.socket());
        raw.attach();
        let frame = [200, 0, 0, 0, 16, 0, 2, 8, 1, 0, 0, 0, 9, 9, 9, 9];
        raw.0.write_all(&frame[..bytes]).expect("honed takes it");
        if shut {
            raw.0.shutdown(Shutdown::Write).expect("the socket is open");
            while raw.frame().is_some() {}
        }
    }
    drop(raw);
    wait_for("all are gone", || (open(&mut watcher) == Some(1)).then_some(()));
    assert_eq!(watcher.statistics().expect("honed answers").readers, 0);
    // One that claims much and sends little takes little memory.
    let before = allocated(&mut watcher);
    let mut raws: Vec<_> = (0..20).map(|_| Raw::open(&service.socket())).collect();
    for raw in &mut raws {
        raw.send(4 + 65_536 * 72, 16, 0x905, &[0; 1000]);
    }
    assert!(allocated(&mut watcher) < before + 20 * (256 << 10), "lengths that are only claimed take memory");
    // One that asks and never reads is left to itself.
    let mut greedy = Raw::open(&service.socket());
    greedy.0.set_nonblocking(true).expect("it is a socket");
    for _ in 0..100_000 {
        greedy.request(0x906, &[]);
    }
    assert!(allocated(&mut watcher) < before + (4 << 20), "answers pile up");
    drop((greedy, raws));
    service.stop();
}

fn allocated(watcher: &mut hone_client::Connection) -> u64 {
    let rows = watcher.memory().expect("honed answers");
    rows.iter().find(|row| row.component == 0).map_or(0, |row| row.bytes)
}
