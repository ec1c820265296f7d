//! Tests that the scorer finds every kind of failure. The packets are made by hand.

use std::net::SocketAddr;

use super::{ConnectionScore, Facts, Score, Seen, connections};
use crate::packet::{ACK, Direction, FIN, Protocol, RST, SYN};
use crate::recording::{Owned, Record, Recording};
use crate::tag::Tag;
use crate::told::{Fact, Flow, Line, Reason, parse};

const CLIENT: u32 = 100;
const SERVER: u32 = 200;
const OTHER: u32 = 300;
/// A time in the middle of the recording, in nanoseconds.
const NOON: u64 = 1_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn a() -> SocketAddr {
    "10.0.0.1:1000".parse().unwrap()
}

fn b() -> SocketAddr {
    "10.0.0.2:2000".parse().unwrap()
}

fn tag(number: u64) -> Tag {
    Tag { process: CLIENT, number }
}

fn ip(protocol: u8, from: SocketAddr, to: SocketAddr, transport: &[u8]) -> Vec<u8> {
    let octets = |end: SocketAddr| match end.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => unreachable!("the tests' addresses are IPv4"),
    };
    let length = u16::try_from(20 + transport.len()).unwrap().to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    [&head[..], &octets(from), &octets(to), transport].concat()
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    ip(17, from, to, &[&ports[..], &[0; 4], payload].concat())
}

fn tcp(from: SocketAddr, to: SocketAddr, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let head = [&ports[..], &sequence.to_be_bytes(), &[0; 4], &[0x50, flags], &[0; 6], payload].concat();
    ip(6, from, to, &head)
}

/// A record with this process, or without one if it is 0.
fn record(direction: Direction, process: u32, data: Vec<u8>) -> Record {
    let process = Some(process).filter(|process| *process != 0);
    Record { nanos: NOON, direction: Some(direction), process, data, ..Record::default() }
}

fn out(process: u32, data: Vec<u8>) -> Record {
    record(Direction::Out, process, data)
}

fn inward(process: u32, data: Vec<u8>) -> Record {
    record(Direction::In, process, data)
}

fn facts(more: &[Fact]) -> Facts {
    let basis = [
        Fact::Address(a().ip()),
        Fact::Address(b().ip()),
        Fact::Holds(Flow::at(Protocol::Udp, a()), CLIENT, 0),
        Fact::Holds(Flow::at(Protocol::Udp, b()), SERVER, 0),
    ];
    let all = basis.iter().chain(more);
    // Writes and parses the facts, so that they are as they would be after a file.
    Facts::new(all.map(|fact| parse(Line("test", fact).to_string().trim_end()).unwrap()))
}

fn score_with(facts: &Facts, records: Vec<Record>, seen: Option<&[Seen]>) -> Score {
    let arguments = vec!["program first ".into(), "program second ".into()];
    let mut recording = Recording::default();
    (recording.records, recording.arguments) = (records, arguments);
    facts.score(&recording, seen).remove(0)
}

fn score(more: &[Fact], records: Vec<Record>) -> Score {
    score_with(&facts(more), records, None)
}

/// packets, right, wrong, unattributed, missing, duplicated
fn counts(score: &Score) -> [usize; 6] {
    let Score { packets, right, wrong, unattributed, missing, duplicated, early, closes, .. } = *score;
    assert_eq!(packets, right + wrong + unattributed + duplicated, "each packet counts once: {score:?}");
    assert_eq!(
        score.good(),
        wrong + unattributed + missing + duplicated + early + closes == 0 && packets > 0
    );
    assert_eq!(score.good(), score.explanations().next().is_none() && packets > 0, "{score:?}");
    [packets, right, wrong, unattributed, missing, duplicated]
}

/// One datagram from the client, which the server read.
fn datagram() -> (Vec<Fact>, Vec<u8>) {
    (vec![Fact::Sent(tag(1), CLIENT), Fact::Read(tag(1), SERVER)], udp(a(), b(), &tag(1).message(50)))
}

#[test]
fn what_is_right_is_right() {
    let (told, packet) = datagram();
    let score = score(&told, vec![out(CLIENT, packet.clone()), inward(SERVER, packet)]);
    assert_eq!(counts(&score), [2, 2, 0, 0, 0, 0]);
}

#[test]
fn a_wrong_owner_is_wrong() {
    let (told, packet) = datagram();
    for (sender, reader) in [(OTHER, SERVER), (CLIENT, OTHER), (CLIENT, CLIENT)] {
        let records = vec![out(sender, packet.clone()), inward(reader, packet.clone())];
        assert_eq!(counts(&score(&told, records)), [2, 1, 1, 0, 0, 0], "{sender} to {reader}");
    }
}

#[test]
fn the_wrong_reader_of_a_shared_socket_is_wrong_though_it_holds_it() {
    let (mut told, packet) = datagram();
    told.push(Fact::Holds(Flow::at(Protocol::Udp, b()), OTHER, 0));
    let records = |reader| vec![out(CLIENT, packet.clone()), inward(reader, packet.clone())];
    assert_eq!(counts(&score(&told, records(SERVER))), [2, 2, 0, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(OTHER))), [2, 1, 1, 0, 0, 0]);
}

#[test]
fn no_owner_is_unattributed() {
    let (told, packet) = datagram();
    let score = score(&told, vec![out(CLIENT, packet.clone()), inward(0, packet)]);
    assert_eq!(counts(&score), [2, 1, 0, 1, 0, 0]);
}

#[test]
fn what_nobody_read_may_be_shared_by_all() {
    let told = [Fact::Sent(tag(1), CLIENT), Fact::Holds(Flow::at(Protocol::Udp, b()), OTHER, 0)];
    let packet = udp(a(), b(), &tag(1).message(50));
    let with = |process, how| {
        let arrived = Record { how: Some(how), ..inward(process, packet.clone()) };
        counts(&score(&told, vec![out(CLIENT, packet.clone()), arrived]))
    };
    assert_eq!(with(0, Reason::SHARED), [2, 2, 0, 0, 0, 0]);
    assert_eq!(with(0, Reason(133)), [2, 1, 0, 1, 0, 0]);
    assert_eq!(with(CLIENT, Reason(9)), [2, 1, 1, 0, 0, 0]);
}

#[test]
fn what_was_not_recorded_is_missing() {
    let (told, packet) = datagram();
    assert_eq!(counts(&score(&told, vec![out(CLIENT, packet.clone())])), [1, 1, 0, 0, 1, 0]);
    assert_eq!(counts(&score(&told, vec![inward(SERVER, packet)])), [1, 1, 0, 0, 1, 0]);
    let nothing = score(&told, vec![]);
    assert_eq!((counts(&nothing)[4], nothing.good()), (2, false));
    // No process was reported as its reader, but a message that was sent must arrive.
    let packet = udp(a(), b(), b"no message");
    assert_eq!(counts(&score(&[], vec![out(CLIENT, packet)])), [1, 1, 0, 0, 1, 0]);
}

#[test]
fn what_was_recorded_twice_is_a_duplicate() {
    let (told, packet) = datagram();
    let twice = |more| vec![out(CLIENT, packet.clone()), inward(SERVER, packet.clone()), more];
    assert_eq!(counts(&score(&told, twice(out(CLIENT, packet.clone())))), [3, 2, 0, 0, 0, 1]);
    assert_eq!(counts(&score(&told, twice(inward(SERVER, packet.clone())))), [3, 2, 0, 0, 0, 1]);
    assert_eq!(counts(&score(&told, twice(inward(OTHER, packet.clone())))), [3, 2, 0, 0, 0, 1]);
}

#[test]
fn a_message_that_sctp_sends_again_is_no_duplicate_and_one_recorded_twice_is() {
    let told = [
        Fact::Holds(Flow::at(Protocol::Sctp, a()), CLIENT, 0),
        Fact::Holds(Flow::at(Protocol::Sctp, b()), SERVER, 0),
        Fact::Sent(tag(1), CLIENT),
        Fact::Read(tag(1), SERVER),
    ];
    let ports = [a().port().to_be_bytes(), b().port().to_be_bytes()].concat();
    let packet = ip(132, a(), b(), &[&ports[..], &[0; 24], &tag(1).message(50)].concat());
    let with = |later, owner| {
        let records = [(NOON, CLIENT), (NOON + later, owner)].into_iter().flat_map(|(nanos, sender)| {
            let sent = Record { nanos, ..out(sender, packet.clone()) };
            [sent, Record { nanos, ..inward(SERVER, packet.clone()) }]
        });
        counts(&score(&told, records.collect()))
    };
    assert_eq!(with(SECOND, CLIENT), [4, 4, 0, 0, 0, 0]);
    assert_eq!(with(SECOND, OTHER), [4, 3, 1, 0, 0, 0]);
    assert_eq!(with(1_000, CLIENT), [4, 2, 0, 0, 0, 2]);
}

#[test]
fn each_receiver_of_one_datagram_has_a_record_of_its_own() {
    let (mut told, packet) = datagram();
    told.push(Fact::Read(tag(1), OTHER));
    let records = |readers: &[u32]| {
        let arrived = readers.iter().map(|reader| inward(*reader, packet.clone()));
        arrived.chain([out(CLIENT, packet.clone())]).collect::<Vec<_>>()
    };
    assert_eq!(counts(&score(&told, records(&[SERVER, OTHER]))), [3, 3, 0, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(&[OTHER, OTHER]))), [3, 2, 1, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(&[SERVER]))), [2, 2, 0, 0, 1, 0]);
    assert_eq!(counts(&score(&told, records(&[SERVER, OTHER, OTHER]))), [4, 3, 0, 0, 0, 1]);
}

#[test]
fn one_buffer_holds_several_messages() {
    let told = [1, 2].map(|number| Fact::Sent(tag(number), CLIENT));
    let read = [1, 2].map(|number| Fact::Read(tag(number), SERVER));
    let told = [told, read].concat();
    let both = udp(a(), b(), &[tag(1).message(50), tag(2).message(50)].concat());
    let arrived = [1, 2].map(|number| inward(SERVER, udp(a(), b(), &tag(number).message(50))));
    let records = |sent| [&arrived[..], &[out(CLIENT, sent)]].concat();
    assert_eq!(counts(&score(&told, records(both))), [3, 3, 0, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(udp(a(), b(), &tag(1).message(50))))), [3, 3, 0, 0, 1, 0]);
}

#[test]
fn nobody_must_have_no_process_and_the_right_reason() {
    let closed = Fact::Nobody(Direction::In, Flow::at(Protocol::Udp, b()), 0, vec![Reason::CLOSED]);
    let told = [Fact::Sent(tag(1), CLIENT), closed];
    let packet = udp(a(), b(), &tag(1).message(50));
    let with = |process, how| {
        counts(&score(
            &told,
            vec![out(CLIENT, packet.clone()), Record { how, ..inward(process, packet.clone()) }],
        ))
    };
    assert_eq!(with(0, Some(Reason::CLOSED)), [2, 2, 0, 0, 0, 0]);
    assert_eq!(with(0, None), [2, 2, 0, 0, 0, 0], "an older recorder gives no reason");
    assert_eq!(with(0, Some(Reason::KERNEL)), [2, 1, 1, 0, 0, 0]);
    assert_eq!(with(SERVER, Some(Reason(1))), [2, 1, 1, 0, 0, 0]);
    assert_eq!(counts(&score(&told, vec![out(CLIENT, packet.clone())])), [1, 1, 0, 0, 1, 0]);
}

/// A connection with two writers at the client, read by the server.
fn connection() -> (Vec<Fact>, Vec<Record>) {
    let told = vec![
        Fact::Holds(Flow::between(Protocol::Tcp, a(), b()), CLIENT, 0),
        Fact::Holds(Flow::between(Protocol::Tcp, a(), b()), OTHER, 0),
        Fact::Holds(Flow::at(Protocol::Tcp, b()), 1, 0),
        Fact::Holds(Flow::between(Protocol::Tcp, b(), a()), SERVER, NOON - SECOND),
        Fact::Sent(tag(1), CLIENT),
        Fact::Sent(tag(2), OTHER),
        Fact::Read(tag(1), SERVER),
        Fact::Read(tag(2), SERVER),
    ];
    let stream = [tag(1).message(100), tag(2).message(100)].concat();
    let handshake = [(tcp(a(), b(), 9, SYN, b""), a()), (tcp(b(), a(), 4, SYN | ACK, b""), b())];
    // Cut into segments at places where no message begins.
    let data = [(0, 70), (70, 130), (130, 200)]
        .map(|(from, to)| (tcp(a(), b(), 10 + u32::try_from(from).unwrap(), ACK, &stream[from..to]), a()));
    let end = [(tcp(a(), b(), 210, FIN | ACK, b""), a()), (tcp(b(), a(), 5, FIN | ACK, b""), b())];
    let packets = handshake.into_iter().chain(data).chain(end);
    let records = packets.enumerate().flat_map(|(at, (packet, from))| {
        let client = if at == 4 { OTHER } else { CLIENT };
        let (sender, receiver) = if from == a() { (client, SERVER) } else { (SERVER, client) };
        [out(sender, packet.clone()), inward(receiver, packet)]
    });
    (told, records.collect())
}

#[test]
fn each_segment_is_its_first_bytes_writers() {
    let (told, mut records) = connection();
    assert_eq!(counts(&score(&told, records.clone())), [14, 14, 0, 0, 0, 0]);
    // The last outbound data segment. The other process also holds the socket, but did not write this segment.
    assert_eq!(records[8].process, Some(OTHER));
    records[8].process = Some(CLIENT);
    assert_eq!(counts(&score(&told, records)), [14, 13, 1, 0, 0, 0]);
}

#[test]
fn a_segment_without_data_is_any_holders_and_nobody_elses() {
    let (told, mut records) = connection();
    records[10].process = Some(OTHER);
    assert_eq!(counts(&score(&told, records.clone())), [14, 14, 0, 0, 0, 0]);
    records[10].process = Some(SERVER);
    assert_eq!(counts(&score(&told, records)), [14, 13, 1, 0, 0, 0]);
}

#[test]
fn a_lost_segment_is_missing_and_one_sent_again_is_no_duplicate_if_tcpdump_has_it() {
    let (told, records) = connection();
    let mut lost = records.clone();
    lost.remove(7);
    assert_eq!(counts(&score(&told, lost)), [13, 13, 0, 0, 1, 0]);
    let again = [records.clone(), vec![records[6].clone(), records[7].clone()]].concat();
    assert_eq!(counts(&score(&told, again.clone())), [16, 14, 0, 0, 0, 2]);
    let seen: Vec<Seen> = again
        .iter()
        .map(|record| Seen { direction: record.direction.unwrap(), data: record.data.clone() })
        .collect();
    assert_eq!(counts(&score_with(&facts(&told), again, Some(&seen))), [16, 16, 0, 0, 0, 0]);
    assert_eq!(counts(&score_with(&facts(&told), records, Some(&seen)))[4], 2);
}

#[test]
fn a_connection_that_left_no_packet_is_missing() {
    let (mut told, records) = connection();
    told.push(Fact::Holds(Flow::between(Protocol::Tcp, a(), "10.0.0.2:3000".parse().unwrap()), CLIENT, 0));
    assert_eq!(counts(&score(&told, records)), [14, 14, 0, 0, 2, 0]);
}

#[test]
fn before_accept_it_is_the_listeners_and_after_it_is_not() {
    let (told, records) = connection();
    let with = |at: usize, nanos| {
        let mut records = records.clone();
        (records[at].process, records[at].nanos) = (Some(1), nanos);
        counts(&score(&told, records))
    };
    // The handshake, at any time; an answer without data; and data, which belongs to its reader at any time.
    assert_eq!(with(1, NOON), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(12, NOON - 2 * SECOND), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(12, NOON), [14, 13, 1, 0, 0, 0]);
    assert_eq!(with(5, NOON - 2 * SECOND), [14, 13, 1, 0, 0, 0]);
}

#[test]
fn who_has_let_go_of_a_listener_opens_no_connection_at_it() {
    let (mut told, records) = connection();
    told.push(Fact::Leaves(Flow::at(Protocol::Tcp, b()), 1, NOON - SECOND));
    told.push(Fact::Holds(Flow::at(Protocol::Tcp, b()), OTHER, NOON - SECOND));
    // The first packet, as it arrives.
    let with = |process, how| {
        let mut records = records.clone();
        (records[1].process, records[1].how) =
            (Some(process).filter(|process| *process != 0), Some(Reason(how)));
        counts(&score(&told, records))
    };
    assert_eq!(with(SERVER, 5), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(OTHER, 6), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(0, Reason::SHARED.0), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(0, 133), [14, 13, 0, 1, 0, 0]);
    assert_eq!(with(1, 6), [14, 13, 1, 0, 0, 0]);
}

#[test]
fn who_has_let_go_is_no_holder_any_more() {
    let (mut told, mut records) = connection();
    told.push(Fact::Leaves(Flow::between(Protocol::Tcp, a(), b()), CLIENT, NOON - SECOND));
    // The client's last two packets, without data.
    for at in [10, 13] {
        records[at].process = Some(OTHER);
    }
    for at in [0, 3] {
        records[at].nanos = NOON - 2 * SECOND;
    }
    assert_eq!(counts(&score(&told, records.clone())), [14, 14, 0, 0, 0, 0]);
    records[10].process = Some(CLIENT);
    assert_eq!(counts(&score(&told, records)), [14, 13, 1, 0, 0, 0]);
}

#[test]
fn what_comes_after_the_end_may_be_the_kernels() {
    let (told, records) = connection();
    let late = tcp(a(), b(), 211, ACK, b"");
    let with = |nanos, process, how| {
        let sent = Record { nanos, how: Some(how), ..out(process, late.clone()) };
        counts(&score(&told, [&records[..], &[sent, inward(SERVER, late.clone())]].concat()))
    };
    assert_eq!(with(NOON + 1, 0, Reason::TIME_WAIT), [16, 16, 0, 0, 0, 0]);
    assert_eq!(with(NOON + 1, CLIENT, Reason(2)), [16, 16, 0, 0, 0, 0]);
    assert_eq!(with(NOON + 1, SERVER, Reason(2)), [16, 15, 1, 0, 0, 0]);
    assert_eq!(with(NOON + 1, 0, Reason(133)), [16, 15, 0, 1, 0, 0]);
    assert_eq!(with(NOON - 1, 0, Reason::TIME_WAIT), [16, 15, 0, 1, 0, 0]);
}

#[test]
fn what_comes_after_a_reset_may_be_the_kernels() {
    let (told, mut records) = connection();
    // The server resets the connection instead of closing it.
    let reset = tcp(b(), a(), 5, RST, b"");
    records.truncate(10);
    records.extend([out(SERVER, reset.clone()), inward(CLIENT, reset)]);
    let late = tcp(a(), b(), 210, ACK, b"");
    let with = |nanos| {
        let sent = out(CLIENT, late.clone());
        let read = Record { nanos, how: Some(Reason::CLOSED), ..inward(0, late.clone()) };
        counts(&score(&told, [&records[..], &[sent, read]].concat()))
    };
    assert_eq!(with(NOON + 1), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(NOON - 1), [14, 13, 0, 1, 0, 0]);
}

#[test]
fn what_comes_to_an_end_that_is_closed_and_held_by_nobody_may_be_the_kernels() {
    let (told, mut records) = connection();
    // The server continues to read and answer; it closes its end later.
    for at in [12, 13] {
        records[at].nanos = NOON + 9 * SECOND;
    }
    let late = tcp(b(), a(), 5, ACK, b"");
    let with = |nanos, leaving: &[(u32, u64)]| {
        let flow = Flow::between(Protocol::Tcp, a(), b());
        let leaving = leaving.iter().map(|(process, at)| Fact::Leaves(flow, *process, *at));
        let told: Vec<_> = told.iter().cloned().chain(leaving).collect();
        let read = Record { nanos, how: Some(Reason::TIME_WAIT), ..inward(0, late.clone()) };
        counts(&score(&told, [&records[..], &[out(SERVER, late.clone()), read]].concat()))
    };
    let both = [(CLIENT, NOON - 1), (OTHER, NOON - 1)];
    assert_eq!(with(NOON + 1, &both), [16, 16, 0, 0, 0, 0]);
    assert_eq!(with(NOON - 1, &both), [16, 15, 0, 1, 0, 0], "its end is not yet closed");
    assert_eq!(with(NOON + 1, &both[1..]), [16, 15, 0, 1, 0, 0], "one still holds it");
    assert_eq!(with(NOON + 1, &[]), [16, 15, 0, 1, 0, 0]);
}

#[test]
fn forwarded_packets_are_seen_once_where_they_are_forwarded() {
    let (mut told, packet) = datagram();
    told.push(Fact::Forwarded);
    let passing = |process| Record { how: Some(Reason::FORWARDED), ..inward(process, packet.clone()) };
    let records = |passing: &[Record]| {
        [&[out(CLIENT, packet.clone()), inward(SERVER, packet.clone())][..], passing].concat()
    };
    assert_eq!(counts(&score(&told, records(&[passing(0)]))), [3, 3, 0, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(&[]))), [2, 2, 0, 0, 1, 0]);
    assert_eq!(counts(&score(&told, records(&[passing(SERVER)]))), [3, 2, 1, 0, 0, 0]);
    assert_eq!(counts(&score(&told, records(&[passing(0), passing(0)]))), [4, 3, 0, 0, 0, 1]);
}

#[test]
fn the_same_number_of_another_process_is_wrong() {
    let (mut told, packet) = datagram();
    told.push(Fact::Named(Direction::Out, tag(1), "second".into()));
    let with = |arguments| {
        let sent = Record { arguments, ..out(CLIENT, packet.clone()) };
        counts(&score(&told, vec![sent, inward(SERVER, packet.clone())]))
    };
    assert_eq!(with(Some(1)), [2, 2, 0, 0, 0, 0]);
    assert_eq!(with(Some(0)), [2, 1, 1, 0, 0, 0]);
    assert_eq!(with(None), [2, 1, 1, 0, 0, 0]);
}

#[test]
fn a_packet_that_names_a_process_too_early_is_not_right() {
    let (told, packet) = datagram();
    let sent = Record { early: true, ..out(CLIENT, packet.clone()) };
    let score = score(&told, vec![sent, inward(SERVER, packet)]);
    assert_eq!((counts(&score), score.early, score.good()), ([2, 2, 0, 0, 0, 0], 1, false));
}

#[test]
fn a_connection_is_closed_once() {
    let (mut told, packet) = datagram();
    let with = |told: &[Fact], closes: Option<usize>| {
        let sent = Record { connection: Some(7), ..out(CLIENT, packet.clone()) };
        let mut recording = Recording::default();
        recording.records = vec![sent, inward(SERVER, packet.clone())];
        recording.closes.extend(closes.map(|closes| (7, closes)));
        let score = facts(told).score(&recording, None).remove(0);
        (score.closes, score.good())
    };
    assert_eq!(with(&told, Some(0)), (0, true), "it may be open when the recording ends");
    assert_eq!(with(&told, Some(2)), (1, false));
    told.push(Fact::Closed);
    assert_eq!(with(&told, Some(0)), (1, false));
    assert_eq!(with(&told, Some(1)), (0, true));
}

#[test]
fn where_reads_overlap_nobody_may_be_right_and_another_reader_is_not() {
    let (mut told, packet) = datagram();
    told.push(Fact::Overlap);
    let with = |process, how| {
        let read = Record { how: Some(how), ..inward(process, packet.clone()) };
        counts(&score(&told, vec![out(CLIENT, packet.clone()), read]))
    };
    assert_eq!(with(SERVER, Reason(9)), [2, 2, 0, 0, 0, 0]);
    assert_eq!(with(0, Reason::SHARED), [2, 2, 0, 0, 0, 0]);
    assert_eq!(with(OTHER, Reason(9)), [2, 1, 1, 0, 0, 0]);
}

#[test]
fn what_was_dropped_as_it_was_sent_is_recorded() {
    let flow = Flow::at(Protocol::Udp, a());
    let told = [
        Fact::Dropped(tag(1)),
        Fact::Nobody(Direction::Out, flow, 0, vec![Reason::FIREWALL]),
        Fact::Single(Direction::Out, flow),
    ];
    let packet = udp(a(), b(), &tag(1).message(50));
    let sent = |process, how| Record { how: Some(how), ..out(process, packet.clone()) };
    assert_eq!(counts(&score(&told, vec![sent(0, Reason::FIREWALL)])), [1, 1, 0, 0, 0, 0]);
    assert_eq!(counts(&score(&told, vec![sent(CLIENT, Reason(1))])), [1, 0, 1, 0, 0, 0]);
    assert_eq!(counts(&score(&told, vec![]))[4], 1);
}

#[test]
fn a_reader_that_has_become_another_program_is_known_by_that_program() {
    let (mut told, records) = connection();
    told.push(Fact::Named(Direction::In, tag(1), "second".into()));
    let with = |arguments| {
        let mut records = records.clone();
        // Two segments begin within the first message.
        for at in [5, 7] {
            records[at].arguments = Some(arguments);
        }
        counts(&score(&told, records))
    };
    assert_eq!(with(1), [14, 14, 0, 0, 0, 0]);
    assert_eq!(with(0), [14, 12, 2, 0, 0, 0]);
}

#[test]
fn a_scenario_about_large_packets_has_some() {
    let (mut told, packet) = datagram();
    let length = packet.len();
    let with = |told: &[Fact]| {
        counts(&score(told, vec![out(CLIENT, packet.clone()), inward(SERVER, packet.clone())]))
    };
    told.push(Fact::Large(length - 1));
    assert_eq!(with(&told), [2, 2, 0, 0, 0, 0]);
    told.push(Fact::Large(length));
    assert_eq!(with(&told), [2, 2, 0, 0, 2, 0]);
}

#[test]
fn what_nobody_told_of_is_wrong() {
    let packet = udp("10.0.0.1:5".parse().unwrap(), b(), b"no message");
    assert_eq!(
        counts(&score(&[], vec![out(CLIENT, packet.clone()), inward(SERVER, packet)])),
        [2, 1, 1, 0, 0, 0]
    );
}

#[test]
fn generators_that_failed_are_not_right() {
    let (mut told, packet) = datagram();
    told.push(Fact::Failed("of\n a reason".into()));
    let score = score(&told, vec![out(CLIENT, packet.clone()), inward(SERVER, packet)]);
    assert!(!score.good() && score.failed.as_deref() == Some("of a reason"));
}

#[test]
fn tools_that_know_connections_only() {
    let (told, _) = connection();
    let facts = facts(&told);
    let line = |protocol, local, remote, process| Owned {
        flow: Flow { protocol, local: Some(local), remote },
        process,
    };
    let good = [
        line(Protocol::Udp, a(), None, CLIENT),
        line(Protocol::Udp, b(), Some(a()), SERVER),
        line(Protocol::Tcp, a(), Some(b()), OTHER),
        line(Protocol::Tcp, b(), None, 1),
        line(Protocol::Tcp, b(), Some(a()), SERVER),
    ];
    let expected = |right, wrong, missing| ConnectionScore {
        name: "test".into(),
        connections: 4,
        right,
        wrong,
        missing,
    };
    // The listener is not a connection. Its owner is not the owner of the accepted connection.
    let listener_and_child = connections(&facts, &good);
    assert_eq!(listener_and_child, [expected(4, 0, 0)]);
    let mut bad = good;
    bad[2].process = SERVER;
    assert_eq!(connections(&facts, &bad), [expected(3, 1, 0)]);
    assert_eq!(connections(&facts, &good[..2]), [expected(2, 0, 2)]);
}
