//! What is drawn of a stream of blocks.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use hone_engine::BYTE_ORDER;
use hone_pcapng::{
    ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, Method, Packet, ProcessEvent,
    ProcessEventKind,
};
use hone_select::{Selection, Word};
use ratatui::buffer::{Buffer, CellWidth as _};
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::columns::Shapes;
use super::keys::{After, press};
use super::model::{Model, Snapshot};
use super::rows::{Choice, Row, Sort, Table, rows};
use super::selected::Selected;
use super::view::View;
use crate::platform::SERVICE;

const SECOND: u64 = 1_000_000_000;
/// When the stream begins.
const BEGIN: u64 = 1_764_267_300 * SECOND;

fn start(out: &mut Vec<u8>, process: u32, path: &'static str) {
    let event = ProcessEvent {
        process,
        kind: ProcessEventKind::Started,
        timestamp: BEGIN,
        path: Some(Cow::Borrowed(path.as_bytes())),
        arguments: Some(Cow::Borrowed(b"it\0--url\0https://example.com/\0")),
        parent: Some(1),
        user_name: Some(Cow::Borrowed(b"alice")),
        ..ProcessEvent::default()
    };
    event.emit(BYTE_ORDER, out).unwrap();
}

/// A UDP packet to 192.0.2.1:53, or from there.
fn packet(out: &mut Vec<u8>, process: Option<u32>, connection: u64, is_outbound: bool, bytes: u32) {
    datagram(out, process, connection, is_outbound, bytes, ([192, 0, 2, 1], 53), &[]);
}

fn datagram(
    out: &mut Vec<u8>,
    process: Option<u32>,
    connection: u64,
    is_outbound: bool,
    bytes: u32,
    (there, port): ([u8; 4], u16),
    payload: &[u8],
) {
    let mut data = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    let length = u16::try_from(8 + payload.len()).unwrap();
    data[2..4].copy_from_slice(&(length + 20).to_be_bytes());
    let (here, own) = ([10, 0, 0, 1], 40_000 + u16::try_from(connection % 1000).unwrap());
    let ends = if is_outbound { (here, there, own, port) } else { (there, here, port, own) };
    data.extend([ends.0, ends.1].concat());
    data.extend([ends.2, ends.3, length, 0].map(u16::to_be_bytes).concat());
    data.extend(payload);
    let packet = Packet {
        timestamp: BEGIN + SECOND,
        original_length: if payload.is_empty() { bytes } else { u32::try_from(data.len()).unwrap() },
        data: Cow::Owned(data),
        flags: Some(if is_outbound { 2 } else { 1 }),
        connection: Some(connection),
        process,
        how: process.map(|_| Ok(Method::CurrentTask)),
        ..Packet::default()
    };
    packet.emit(BYTE_ORDER, out).unwrap();
}

/// A question for example.com, and the answer 198.51.100.7.
fn lookup(out: &mut Vec<u8>, process: u32) {
    let question = b"\x07example\x03com\0\0\x01\0\x01";
    let ask = [&b"\0\x07\x01\0\0\x01\0\0\0\0\0\0"[..], question].concat();
    let answer = [
        &b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0"[..],
        question,
        b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x07",
    ]
    .concat();
    let server = ([192, 0, 2, 1], 53);
    datagram(out, Some(process), 200, true, 0, server, &ask);
    datagram(out, Some(process), 200, false, 0, server, &answer);
}

fn stream() -> Vec<u8> {
    let mut stream = Vec::new();
    start(&mut stream, 7, "/usr/bin/curl");
    start(&mut stream, 8, "/opt/evil\x1b[2Jname");
    packet(&mut stream, Some(7), 100, true, 1000);
    packet(&mut stream, Some(7), 100, false, 6000);
    packet(&mut stream, Some(8), 101, true, 3000);
    packet(&mut stream, None, 102, true, 84);
    stream
}

fn fed(stream: &[u8]) -> (Model, Snapshot) {
    let mut model = Model::new(None);
    model.of_service = true;
    model.add(stream);
    let snapshot = model.tick(Duration::from_secs(2), 5, BEGIN + 3 * SECOND);
    (model, snapshot)
}

fn view() -> View {
    View::new(false, Shapes::Ascii)
}

fn buffer(view: &mut View, (model, snapshot): &(Model, Snapshot), width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    view.draw(snapshot, &model.programs, area, &mut buffer);
    buffer
}

fn drawn(view: &mut View, fed: &(Model, Snapshot), width: u16, height: u16) -> String {
    super::picture::render(super::picture::Format::Text, &buffer(view, fed, width, height))
}

fn keys(view: &mut View, (_, snapshot): &(Model, Snapshot), keys: &[KeyCode]) {
    for key in keys {
        assert_eq!(press(view, snapshot, *key, false), After::Nothing);
    }
}

fn all(snapshot: &Snapshot, table: Table) -> Vec<Row> {
    rows(snapshot, &Choice { table, within: None, find: "", sort: Sort::Both, is_reversed: false })
}

#[test]
fn processes_with_their_rates() {
    let text = drawn(&mut view(), &fed(&stream()), 110, 7);
    assert_eq!(
        text,
        format!(
            "\
honeutil top  2.0 s  in 2.9 KiB/s  out 2.0 KiB/s  3 packets/s  5 dropped  through {SERVICE}
1 Processes 2 Connections 3 Units 4 Containers 5 Users 6 Hosts 7 Names
    PID USER     PROCESS                   IN/s*    OUT/s*     TOTAL RECENT   MOSTLY WITH
      7 alice    curl                    2.9 KiB     500 B   6.8 KiB        @ 192.0.2.1:53 udp
      8 alice    evil\\x1b[2Jname             0 B   1.5 KiB   2.9 KiB        @ 192.0.2.1:53 udp
      -          (no process)                0 B      42 B      84 B        @ 192.0.2.1:53 udp
? help  Enter details  / find  d addresses  Space pause  w picture  q quit
"
        )
    );
}

#[test]
fn connections_in_the_order_asked_for() {
    let (mut view, fed) = (view(), fed(&stream()));
    keys(&mut view, &fed, &[KeyCode::Char('c'), KeyCode::Char('o')]);
    let first = |text: &str| {
        let rows = text.lines().skip(3).filter(|line| line.contains("192.0.2.1"));
        rows.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let text = drawn(&mut view, &fed, 120, 7);
    assert_eq!(first(&text), ["101", "100", "102"]);
    assert!(text.contains("OUT/s*") && !text.contains("IN/s*"), "{text}");
    keys(&mut view, &fed, &[KeyCode::Char('r')]);
    assert_eq!(first(&drawn(&mut view, &fed, 120, 7)), ["102", "100", "101"]);
    // The row that is chosen stays in sight, and stays the chosen one in another order.
    keys(&mut view, &fed, &[KeyCode::End]);
    assert_eq!(first(&drawn(&mut view, &fed, 120, 5)), ["101"]);
    keys(&mut view, &fed, &[KeyCode::Char('r')]);
    assert_eq!(first(&drawn(&mut view, &fed, 120, 5)), ["101"]);
    keys(&mut view, &fed, &[KeyCode::Home]);
    assert_eq!(first(&drawn(&mut view, &fed, 120, 5)), ["101"], "it is the first one now");
}

#[test]
fn a_connection_that_was_handed_on_is_its_readers() {
    let (mut model, _) = fed(&stream());
    let mut stream = Vec::new();
    start(&mut stream, 9, "/opt/worker");
    let event = ConnectionEvent {
        connection: 100,
        process: 9,
        kind: ConnectionEventKind::Correction,
        correction: Some(Correction {
            packets: Corrected::Time(BEGIN + SECOND),
            direction: Direction::Inbound,
            how: Some(Ok(Method::Reader)),
        }),
        ..ConnectionEvent::default()
    };
    event.emit(BYTE_ORDER, &mut stream).unwrap();
    model.add(&stream);
    let snapshot = model.tick(Duration::from_secs(1), 5, BEGIN + 4 * SECOND);
    let fed = (model, snapshot);
    let text = drawn(&mut view(), &fed, 110, 9);
    let worker = text.lines().find(|line| line.contains("worker")).unwrap();
    assert!(worker.contains("5.9 KiB"), "what it read: {text}");
    let curl = text.lines().find(|line| line.contains("curl")).unwrap();
    assert!(curl.contains("1000 B"), "what it sent: {text}");
    let connections = all(&fed.1, Table::Connections);
    let connection = connections.iter().find(|row| row.total.bytes() == 7000).unwrap();
    assert_eq!((connection.pid, &*connection.name), (Some(9), "worker"));
}

#[test]
fn what_is_over_goes_after_a_while_and_its_sums_stay() {
    let (mut model, _) = fed(&stream());
    let mut stream = Vec::new();
    let event = ProcessEvent { process: 8, kind: ProcessEventKind::Ended, ..ProcessEvent::default() };
    event.emit(BYTE_ORDER, &mut stream).unwrap();
    model.add(&stream);
    let mut snapshot = Snapshot::default();
    for _ in 0..40 {
        snapshot = model.tick(Duration::from_secs(1), 5, BEGIN + 5 * SECOND);
    }
    let pids: Vec<_> = all(&snapshot, Table::Processes).iter().map(|row| row.pid).collect();
    assert_eq!(pids, [Some(7), None]);
    assert!(all(&snapshot, Table::Connections).is_empty());
    assert_eq!(snapshot.rate, crate::traffic::Traffic::default());
    for table in [Table::Users, Table::Hosts, Table::Names] {
        let sum: u64 = all(&snapshot, table).iter().map(|row| row.total.bytes()).sum();
        assert_eq!(sum, 10_084, "{table:?}");
    }
}

#[test]
fn names_units_and_containers_are_columns_and_groups() {
    let mut stream = stream();
    for (process, unit, container) in [(7, "web.service", ""), (8, "docker-1.scope", "0123456789ab")] {
        let event = ProcessEvent {
            process,
            kind: ProcessEventKind::Started,
            unit: Some(Cow::Borrowed(unit.as_bytes())),
            container: (!container.is_empty()).then_some(Cow::Borrowed(container.as_bytes())),
            ..ProcessEvent::default()
        };
        event.emit(BYTE_ORDER, &mut stream).unwrap();
    }
    lookup(&mut stream, 7);
    datagram(&mut stream, Some(7), 201, true, 20_000, ([198, 51, 100, 7], 443), &[]);
    let fed = fed(&stream);
    let (mut view, wide) = (view(), 160);
    let text = drawn(&mut view, &fed, wide, 8);
    let curl = text.lines().find(|line| line.contains("curl")).unwrap();
    assert!(curl.contains(" web.service ") && curl.contains(" example.com:443 udp"), "{text}");
    assert!(text.contains(" 0123456789ab "), "{text}");
    keys(&mut view, &fed, &[KeyCode::Char('d')]);
    assert!(drawn(&mut view, &fed, wide, 8).contains("198.51.100.7:443 udp"), "addresses on request");

    let named = |table| {
        let rows = all(&fed.1, table).into_iter();
        rows.map(|row| (row.name.to_string(), row.members, row.total.bytes())).collect::<Vec<_>>()
    };
    let dns = 57 + 73;
    let expected = |list: &[(&str, (u64, u64), u64)]| {
        list.iter().map(|(name, members, bytes)| ((*name).to_owned(), *members, *bytes)).collect::<Vec<_>>()
    };
    assert_eq!(
        named(Table::Units),
        expected(&[
            ("web.service", (1, 3), 27_000 + dns),
            ("docker-1.scope", (1, 1), 3000),
            ("(no unit)", (0, 1), 84),
        ])
    );
    assert_eq!(
        named(Table::Containers),
        expected(&[("(no container)", (1, 4), 27_084 + dns), ("0123456789ab", (1, 1), 3000)])
    );
    assert_eq!(named(Table::Users), expected(&[("alice", (2, 4), 30_000 + dns), ("(no user)", (0, 1), 84)]));
    assert_eq!(
        named(Table::Hosts),
        expected(&[("198.51.100.7", (1, 1), 20_000), ("192.0.2.1", (2, 4), 10_084 + dns)])
    );
    assert_eq!(
        named(Table::Names),
        expected(&[("example.com", (1, 1), 20_000), ("(no name)", (2, 4), 10_084 + dns)])
    );
}

#[test]
fn a_text_finds_rows_by_all_that_is_known_of_them() {
    let mut stream = stream();
    lookup(&mut stream, 7);
    datagram(&mut stream, Some(7), 201, true, 20_000, ([198, 51, 100, 7], 443), &[]);
    let (_, snapshot) = fed(&stream);
    let found = |find| {
        let choice =
            Choice { table: Table::Connections, within: None, find, sort: Sort::Both, is_reversed: false };
        rows(&snapshot, &choice).len()
    };
    for (find, count) in [
        ("EXAMPLE", 1),
        ("198.51", 1),
        ("curl", 3),
        ("alice", 4),
        ("8", 2),
        ("201", 1),
        ("", 5),
        ("nothing", 0),
    ] {
        assert_eq!(found(find), count, "{find}");
    }
}

#[test]
fn a_row_opens_with_what_is_known_and_its_connections() {
    let mut stream = stream();
    lookup(&mut stream, 7);
    let opened = ConnectionEvent {
        connection: 201,
        process: 7,
        timestamp: BEGIN,
        kind: ConnectionEventKind::Opened,
        ..ConnectionEvent::default()
    };
    opened.emit(BYTE_ORDER, &mut stream).unwrap();
    datagram(&mut stream, Some(7), 201, true, 20_000, ([198, 51, 100, 7], 443), &[]);
    let fed = fed(&stream);
    let mut view = view();
    drawn(&mut view, &fed, 100, 30);
    keys(&mut view, &fed, &[KeyCode::Enter]);
    let text = drawn(&mut view, &fed, 100, 30);
    for part in [
        "Processes > curl 7",
        "Parents       ? 1 > curl 7",
        "Command       it --url https://example.com/",
        "Executable    /usr/bin/curl",
        "Since         2025-11-27 18:15:00 UTC, 3.0 s ago",
        "Belongs to    user alice",
        "example.com:443 udp",
        "192.0.2.1:53 udp",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("evil"), "only its own: {text}");
    keys(&mut view, &fed, &[KeyCode::Down, KeyCode::Enter]);
    let text = drawn(&mut view, &fed, 100, 30);
    for part in [
        "Connection    201, open",
        "Local end     10.0.0.1:40201 udp",
        "Other end     example.com (198.51.100.7:443) udp",
        "Name          example.com, from an answer of DNS before it",
        "Process       curl 7",
        "Opened        2025-11-27 18:15:00 UTC, 3.0 s ago",
        "Last packet   2025-11-27 18:15:01 UTC, 2.0 s ago",
        "Sent          19.5 KiB in 1 packet; now 9.8 KiB/s",
        "Attributed    current task (1)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(view.back() && view.back() && !view.back(), "to its process, to all processes");
    assert!(drawn(&mut view, &fed, 100, 30).contains("evil"));
}

#[test]
fn a_domain_selects_what_has_its_names() {
    let mut stream = stream();
    lookup(&mut stream, 8);
    datagram(&mut stream, Some(7), 201, true, 20_000, ([198, 51, 100, 7], 443), &[]);
    let mut selection = Selection::default();
    selection.add(Word::Domain, false, "example.com").unwrap();
    selection.add(Word::Name, false, "curl").unwrap();
    let mut model = Model::new(Some(Selected::new(&Rc::new(selection))));
    model.add(&stream);
    let snapshot = model.tick(Duration::from_secs(1), 0, BEGIN);
    let found: Vec<_> =
        all(&snapshot, Table::Connections).iter().map(|row| (row.pid, row.total.bytes())).collect();
    assert_eq!(found, [(Some(7), 20_000)], "another process has asked for the name");
}

#[test]
fn paused_means_that_the_picture_stays() {
    let (mut view, fed) = (view(), fed(&stream()));
    let before = drawn(&mut view, &fed, 110, 7);
    keys(&mut view, &fed, &[KeyCode::Char(' ')]);
    let paused = drawn(&mut view, &fed, 110, 7);
    assert!(view.is_paused && paused.contains("PAUSED"), "{paused}");
    keys(&mut view, &fed, &[KeyCode::Char(' ')]);
    assert_eq!(drawn(&mut view, &fed, 110, 7), before);
}

#[test]
fn every_size_can_be_drawn_and_hostile_names_stay_in_their_cells() {
    let mut stream = stream();
    start(&mut stream, 9, "/opt/\u{6f22}\u{5b57}\u{202e}<script>\u{301}\u{1f468}\u{200d}\u{1f469}");
    packet(&mut stream, Some(9), 103, true, 5000);
    let fed = fed(&stream);
    for table in ['1', '2', '3', '4', '5', '6', '7'] {
        for then in
            [&[][..], &[KeyCode::Enter], &[KeyCode::Char('?')], &[KeyCode::Char('w')], &[KeyCode::Char('/')]]
        {
            let mut view = view();
            keys(&mut view, &fed, &[KeyCode::Char(table)]);
            drawn(&mut view, &fed, 80, 24);
            keys(&mut view, &fed, then);
            for (width, height) in [(0, 0), (1, 1), (2, 3), (20, 2), (40, 10), (80, 24), (300, 100), (80, 5)]
            {
                let buffer = buffer(&mut view, &fed, width, height);
                for cell in buffer.content() {
                    let is_plain = cell.symbol().chars().all(|char| !char.is_control() && char != '\u{202e}');
                    assert!(is_plain && cell.symbol().cell_width() <= 2, "{:?}", cell.symbol());
                }
            }
        }
    }
    let empty = (Model::new(None), Snapshot::default());
    assert!(drawn(&mut view(), &empty, 80, 24).contains("Nothing yet"));
}

#[test]
fn no_color_means_none() {
    let fed = fed(&stream());
    let is_colored = |plain| {
        let buffer = buffer(&mut View::new(plain, Shapes::Blocks), &fed, 100, 10);
        buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(is_colored(false) && !is_colored(true));
}
