//! Judgements of recordings that are made here.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use hone_packet::protocol::{ICMP, TCP, UDP};
use hone_packet::{Addresses, IpHeader, transport_checksum};
use serde_json::json;

use super::{Answers, Event, Flow, ICMP_HEADER, QUESTIONS, Recording, Verdict, judge, judge_echo};

const OWN: u32 = 4242;
const AT: u64 = 1_790_000_000_000_000_000;
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn verdicts(answers: &mut Answers) -> impl Fn(&str) -> Verdict + use<> {
    answers.fill("not asked");
    let file = answers.json(&serde_json::Value::Null);
    move |id| {
        let place = QUESTIONS.iter().position(|(known, _)| *known == id).expect("it is a question");
        match file["checks"][place]["verdict"].as_str() {
            Some("as expected") => Verdict::Expected,
            Some("other") => Verdict::Other,
            _ => Verdict::Unknown,
        }
    }
}

/// An IPv4 packet with right checksums and this identification.
fn packet(protocol: u8, mut segment: Vec<u8>, identification: u16) -> Vec<u8> {
    let addresses = Addresses::V4 { source: HOST, destination: HOST };
    if let Ok(Some(checksum)) = transport_checksum(&addresses, protocol, [segment.as_slice()]) {
        checksum.write([segment.as_mut_slice()]);
    }
    let header = IpHeader { hop_limit: 128, identification, ..IpHeader::new(addresses, protocol) };
    [&header.emit(segment.len()).expect("it is short")[..], &segment].concat()
}

fn tcp(from: u16, to: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&from.to_be_bytes());
    segment[2..4].copy_from_slice(&to.to_be_bytes());
    (segment[12], segment[13]) = (5 << 4, flags);
    segment.extend_from_slice(payload);
    packet(TCP, segment, 7)
}

fn recorded(is_outbound: bool, connection: u64, data: &[u8]) -> Event {
    Event::Packet {
        is_outbound,
        connection: Some(connection),
        process: Some(OWN),
        at: AT,
        data: data.to_vec(),
    }
}

/// The events of a recording that is read in parts of this length.
fn events_of(recording: &[u8], part: usize) -> Vec<Event> {
    let mut read = Recording::new(OWN);
    recording.chunks(part).for_each(|part| read.add(part));
    read.into_events()
}

/// A packet on its way over the loopback: sent at one end, received at the other.
fn both(from: u64, to: u64, data: &[u8]) -> [Event; 2] {
    [recorded(true, from, data), recorded(false, to, data)]
}

fn flow() -> Flow {
    Flow {
        protocol: TCP,
        ends: [SocketAddr::new(HOST.into(), 1000), SocketAddr::new(HOST.into(), 80)],
        payloads: [b"a question".to_vec(), b"an answer".to_vec()],
        handles: [Some(11), Some(12)],
        listener: Some(9),
    }
}

/// What the code expects Windows to do.
fn good() -> Vec<Event> {
    let mut events = vec![Event::Opened(11, OWN)];
    events.extend(both(11, 12, &tcp(1000, 80, 2, b"")));
    events.insert(2, Event::Opened(12, OWN));
    events.extend(both(12, 11, &tcp(80, 1000, 0x12, b"")));
    events.extend(both(11, 12, &tcp(1000, 80, 0x18, b"a question")));
    events.extend(both(12, 11, &tcp(80, 1000, 0x18, b"an answer")));
    events.extend(both(11, 12, &tcp(1000, 80, 0x11, b"")));
    events.extend([Event::Closed(11), Event::Closed(12)]);
    events
}

#[test]
fn what_the_code_expects_is_as_expected() {
    let mut answers = Answers::default();
    judge(&[flow()], &good(), OWN, &mut answers);
    let verdict = verdicts(&mut answers);
    for id in [
        "sent",
        "received",
        "header",
        "checksums",
        "owner",
        "opened",
        "handle",
        "zero",
        "syn",
        "closure",
        "reuse",
    ] {
        assert_eq!(verdict(id), Verdict::Expected, "{id}: {}", answers.text());
    }
}

/// Each difference changes the answer to its question.
#[test]
fn each_difference_is_seen() {
    let is_data = |event: &Event, outbound: bool, bytes: &[u8]| matches!(event, Event::Packet { is_outbound, data, .. } if *is_outbound == outbound && data.ends_with(bytes));
    let place = |events: &[Event], outbound: bool, bytes: &[u8]| {
        events.iter().position(|event| is_data(event, outbound, bytes)).expect("it is there")
    };
    type Change = (&'static str, fn(&mut Vec<Event>, usize, usize));
    let changes: [Change; 9] = [
        ("sent", |events, sent, _| drop(events.remove(sent))),
        ("received", |events, _, received| {
            let twice = events[received].clone();
            events.insert(received, twice);
        }),
        ("header", |events, _, received| {
            if let Event::Packet { data, .. } = &mut events[received] {
                *data = packet(TCP, data[20..].to_vec(), 0);
            }
        }),
        ("checksums", |events, _, received| {
            if let Event::Packet { data, .. } = &mut events[received] {
                data[36] ^= 1;
            }
        }),
        ("owner", |events, sent, _| {
            if let Event::Packet { process, .. } = &mut events[sent] {
                *process = Some(4);
            }
        }),
        ("opened", |events, _, _| drop(events.remove(0))),
        ("handle", |events, sent, _| {
            if let Event::Packet { connection, .. } = &mut events[sent] {
                *connection = Some(5);
            }
        }),
        ("syn", |events, _, _| {
            if let Event::Packet { connection, .. } = &mut events[3] {
                *connection = Some(9);
            }
        }),
        ("closure", |events, _, _| {
            let closed = events.pop().expect("it is the last one");
            events.insert(5, closed);
        }),
    ];
    for (id, change) in changes {
        let mut events = good();
        let (sent, received) = (place(&events, true, b"a question"), place(&events, false, b"a question"));
        change(&mut events, sent, received);
        let mut answers = Answers::default();
        judge(&[flow()], &events, OWN, &mut answers);
        assert_eq!(verdicts(&mut answers)(id), Verdict::Other, "{id}: {}", answers.text());
    }
}

#[test]
fn handles_that_are_0_or_come_again_are_seen_and_missing_ones_unknown() {
    let mut answers = Answers::default();
    let second = Flow { handles: [Some(0), Some(12)], ..flow() };
    judge(&[flow(), second], &[], OWN, &mut answers);
    let verdict = verdicts(&mut answers);
    assert_eq!(["zero", "reuse", "sent"].map(&verdict), [Verdict::Other, Verdict::Other, Verdict::Unknown]);
    let mut answers = Answers::default();
    judge(&[Flow { handles: [None; 2], ..flow() }], &good(), OWN, &mut answers);
    let verdict = verdicts(&mut answers);
    assert_eq!(["zero", "reuse", "handle"].map(verdict), [Verdict::Unknown; 3]);
}

#[test]
fn a_large_datagram_is_a_question_of_its_own() {
    let payload = vec![0xA5; 60_000];
    let mut segment =
        [1000_u16.to_be_bytes(), 80_u16.to_be_bytes(), 60_008_u16.to_be_bytes(), [0; 2]].concat();
    segment.extend_from_slice(&payload);
    let flow = Flow { protocol: UDP, payloads: [payload, Vec::new()], ..flow() };
    let events = both(11, 12, &packet(UDP, segment, 7));
    for (count, expected) in [(2, Verdict::Expected), (1, Verdict::Other)] {
        let mut answers = Answers::default();
        judge(std::slice::from_ref(&flow), &events[..count], OWN, &mut answers);
        let verdict = verdicts(&mut answers);
        assert_eq!(
            (verdict("large"), verdict("sent"), verdict("received")),
            (expected, Verdict::Expected, Verdict::Expected)
        );
    }
}

#[test]
fn an_echo_has_four_packets_with_one_header_each() {
    let message = |kind: u8, extra: usize| {
        let mut message = vec![0; ICMP_HEADER];
        message[0] = kind;
        message.extend(vec![0x45; extra]);
        message.extend_from_slice(b"ping of a test");
        packet(ICMP, message, 7)
    };
    let verdict = |events: &[Event]| {
        let mut answers = Answers::default();
        judge_echo("ping4", events, b"ping of a test", &mut answers);
        verdicts(&mut answers)("ping4")
    };
    let mut events = [both(1, 1, &message(8, 0)), both(1, 1, &message(0, 0))].concat();
    assert_eq!(verdict(&events), Verdict::Expected);
    // The inbound request was taken from too far in front.
    events[1] = recorded(false, 1, &message(8, 8));
    assert_eq!(verdict(&events), Verdict::Other);
    events.remove(1);
    assert_eq!(verdict(&events), Verdict::Other);
    assert_eq!(verdict(&[]), Verdict::Unknown);
}

#[test]
fn the_file_has_every_question_in_order_whatever_was_answered() {
    let mut answers = Answers::default();
    let mut step = Answers::default();
    step.note("name", Verdict::Other, "error 5");
    answers.extend(step);
    answers.fill("the driver does not run");
    let file = answers.json(&json!({ "windows": "10.0.19045" }));
    let checks = file["checks"].as_array().expect("it is a list");
    let ids: Vec<_> = checks.iter().map(|check| check["id"].as_str().expect("it is a text")).collect();
    assert_eq!(ids, QUESTIONS.map(|(id, _)| id));
    assert_eq!(checks[4]["verdict"], "other");
    assert_eq!(
        (&checks[5]["verdict"], &checks[5]["observed"]),
        (&json!("unknown"), &json!("the driver does not run"))
    );
    assert!(!answers.are_expected());
    assert_eq!(answers.text().lines().nth(4), Some("name          other        error 5"));
}

#[test]
fn each_question_has_its_row_in_the_checklist_and_each_row_its_question() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/windows-checklist.md");
    let checklist = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return eprintln!("skipped: {path}: {error}"),
    };
    let (_, part) = checklist.split_once("`honeutil selftest`").expect("it has a part about it");
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: BTreeSet<_> = rows.map(|(id, _)| id).filter(|id| !id.contains(' ')).collect();
    assert_eq!(rows, QUESTIONS.iter().map(|(id, _)| *id).collect());
}

#[test]
fn a_recording_is_read_up_to_its_end() {
    use hone_engine::{
        Config, Engine, Event as Happening, ProcessKey, ProcessStart, Read, ReaderOptions, StartKind,
    };
    let mut engine = Engine::new(Config::default()).expect("there is memory");
    let reader = engine.attach(&ReaderOptions::default(), AT).expect("there is memory");
    let process = ProcessKey { pid: OWN, start: AT };
    let mut start = ProcessStart::new(process, AT, StartKind::Started);
    start.path = Some(b"C:\\x.exe");
    start.command_line = Some(b"x -v");
    let opened = Happening::ConnectionOpened { connection: 7, owner: Some(process), at: AT };
    let closed = Happening::ConnectionClosed { connection: 7, process: None, at: AT };
    for event in
        [Happening::ProcessStarted(start), opened, closed, Happening::ProcessEnded { process, at: AT }]
    {
        engine.handle(&event).expect("there is room");
    }
    let mut recording = vec![0; 1 << 16];
    let Ok(Read::Bytes(length)) = engine.read(reader, &mut recording, AT) else { panic!("something waits") };
    let expected = [
        Event::Started(OWN, "C:\\x.exe".to_owned(), "x -v".to_owned()),
        Event::Opened(7, OWN),
        Event::Closed(7),
        Event::Ended(OWN),
    ];
    assert_eq!(events_of(&recording[..length], length), expected);
    assert_eq!(events_of(&recording[..length - 1], length), expected[..3], "a part that is cut off ends it");
}

#[test]
fn of_the_packets_only_those_that_questions_are_about_are_kept() {
    use hone_engine::{
        Config, Direction, Engine, Event as Happening, Method, Owner, Packet, ProcessKey, Read, ReaderOptions,
    };
    let mut engine = Engine::new(Config::default()).expect("there is memory");
    let reader = engine.attach(&ReaderOptions::default(), AT).expect("there is memory");
    let other = Ipv4Addr::new(192, 0, 2, 1);
    let between = |source, destination| {
        let header = IpHeader::new(Addresses::V4 { source, destination }, ICMP);
        [&header.emit(1000).expect("it is short")[..], &[0; 1000]].concat()
    };
    let download = between(other, Ipv4Addr::new(192, 0, 2, 2));
    let loopback = between(HOST, HOST);
    let no_packet = vec![0; 40];
    let sent: [(u32, &[u8]); 4] = [(OWN, &download), (7, &download), (7, &loopback), (7, &no_packet)];
    for (pid, data) in sent {
        let packet = Packet {
            at: AT,
            connection: None,
            owner: Owner::Process(ProcessKey { pid, start: AT }, Method::Connection),
            direction: Direction::Inbound,
            flags: 0,
            original_length: 0,
            packet_id: None,
            data,
        };
        engine.handle(&Happening::Packet(packet)).expect("there is room");
    }
    let mut recording = vec![0; 1 << 16];
    let Ok(Read::Bytes(length)) = engine.read(reader, &mut recording, AT) else { panic!("something waits") };
    let kept: Vec<_> = events_of(&recording[..length], 100)
        .into_iter()
        .filter_map(|event| match event {
            Event::Packet { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(kept, [download, loopback, no_packet]);
}
