//! Blocks in, blocks out.

use std::borrow::Cow;

use hone_pcapng::{ConnectionEvent, Method, NoOwner, Statistics};

use super::*;

use Direction::{Inbound, Outbound};

fn emitted(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.emit(BYTE_ORDER, &mut out).unwrap();
    out
}

/// A packet of a connection and process with that number, of this data.
fn packet_of(time: u64, flags: u32, id: Option<u64>, owner: u32, data: &[u8]) -> Vec<u8> {
    emitted(&Packet {
        timestamp: time,
        original_length: data.len().try_into().unwrap(),
        data: Cow::Borrowed(data),
        flags: Some(flags),
        connection: Some(owner.into()),
        process: Some(owner),
        how: Some(Ok(Method::CurrentTask)),
        packet_id: id,
        ..Packet::default()
    })
}

/// The same with a payload of one byte.
fn packet(time: u64, direction: Direction, id: Option<u64>, owner: u32, payload: u8) -> Vec<u8> {
    let mut data = [0; 29];
    (data[0], data[3], data[9], data[16], data[28]) = (0x45, 29, 17, 127, payload);
    packet_of(time, direction_flags(direction), id, owner, &data)
}

fn process(pid: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let event = ProcessEvent { process: pid, kind: ProcessEventKind::Ended, ..ProcessEvent::default() };
    event.emit(BYTE_ORDER, &mut out).unwrap();
    out
}

fn connection(id: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ConnectionEvent { connection: id, ..ConnectionEvent::default() }.emit(BYTE_ORDER, &mut out).unwrap();
    out
}

fn statistics(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let count = Some(count);
    let statistics =
        Statistics { received: count, accepted: count, delivered: count, ..Statistics::default() };
    statistics.emit(BYTE_ORDER, &mut out).unwrap();
    out
}

/// What each block is: `2>3@20`, a packet from 2 to 3 at that time; `2@20`, one of 2; `p`, `c` and `s9`.
fn seen(bytes: &[u8]) -> Vec<String> {
    let what = |block: BlockView<'_>| match block.kind() {
        block::PACKET => {
            let packet = block.packet().unwrap();
            let to = packet.receiver.map(|receiver| format!(">{}", receiver.process.unwrap_or(0)));
            assert_eq!(
                packet.receiver.and_then(|it| it.connection),
                packet.receiver.and_then(|it| it.process).map(u64::from)
            );
            let sender = packet.process.unwrap_or(0);
            format!("{sender}{}@{}", to.unwrap_or_default(), packet.timestamp)
        }
        block::PROCESS => "p".to_owned(),
        block::CONNECTION => "c".to_owned(),
        block::STATISTICS => {
            format!("s{}", Statistics::parse(block.body(), BYTE_ORDER).unwrap().delivered.unwrap())
        }
        _ => "?".to_owned(),
    };
    view::blocks(bytes, BYTE_ORDER).map(what).collect()
}

/// What comes out of these blocks at once, and what then at the end.
fn once(blocks: &[Vec<u8>]) -> [Vec<String>; 2] {
    let mut once = Once::default();
    let at_once = seen(once.take(&blocks.concat(), true, Instant::now()));
    let at_end = seen(once.finish());
    assert_eq!((once.bytes, once.firsts.len()), (0, 0));
    [at_once, at_end]
}

#[test]
fn two_halves_become_one_in_any_order() {
    for flip in [false, true] {
        let mut halves = vec![packet(10, Outbound, Some(1), 2, 7), packet(20, Inbound, Some(1), 3, 7)];
        if flip {
            halves.reverse();
        }
        halves.push(packet(30, Inbound, None, 4, 9));
        halves.push(statistics(3));
        assert_eq!(once(&halves), [vec!["2>3@20", "4@30", "s2"], vec![]]);
    }
}

#[test]
fn what_is_not_surely_one_packet_stays_two() {
    let sent = packet(10, Outbound, Some(1), 2, 7);
    let two = [vec!["2@10", "3@20"], vec![]];
    assert_eq!(once(&[sent.clone(), packet(20, Inbound, Some(1), 3, 8)]), two, "other bytes");
    assert_eq!(once(&[sent.clone(), packet(20, Outbound, Some(1), 3, 7)]), two, "both are sent");
    assert_eq!(once(&[sent.clone(), packet(20, Inbound, None, 3, 7)])[0], [""; 0], "it still waits");
    let [all, _] = once(&[sent, statistics(1), packet(20, Inbound, Some(1), 3, 7), statistics(1)]);
    assert_eq!(all, ["2@10", "s1", "3@20", "s1"], "another section");
}

/// A TCP packet of bytes of a stream, each of which is its number's lowest byte.
fn segment(
    time: u64,
    direction: Direction,
    id: Option<u64>,
    owner: u32,
    bytes: std::ops::Range<u8>,
) -> Vec<u8> {
    let mut data = vec![0; 40];
    (data[0], data[9], data[16], data[27], data[32]) = (0x45, 6, 127, bytes.start, 0x50);
    data.extend(bytes);
    let flags = if id.is_some() { 1 << 11 } else { 0 };
    packet_of(time, direction_flags(direction) | flags, id, owner, &data)
}

#[test]
fn a_buffer_that_arrives_in_parts_is_these_parts() {
    let sent = segment(10, Outbound, Some(1), 2, 0..90);
    let parts = |cuts: &[std::ops::Range<u8>]| {
        let parts = cuts.iter().map(|cut| segment(20, Inbound, None, 3, cut.clone()));
        let mut blocks = vec![sent.clone()];
        blocks.extend(parts);
        blocks.push(statistics(9));
        once(&blocks)[0].join(" ")
    };
    assert_eq!(parts(&[0..40, 40..80, 80..90]), "2>3@20 2>3@20 2>3@20 s8");
    assert_eq!(parts(&[0..40, 40..80]), "2@10 3@20 3@20 s9", "the rest is missing");
    assert_eq!(parts(&[0..40, 50..90]), "2@10 3@20 3@20 s9", "a part is missing");
    assert_eq!(parts(&[0..40, 40..91]), "2@10 3@20 3@20 s9", "it is longer");
}

#[test]
fn an_owner_keeps_its_place_among_its_events() {
    let between = |events: &[Vec<u8>]| {
        let mut blocks = vec![packet(10, Outbound, Some(1), 2, 7)];
        blocks.extend_from_slice(events);
        blocks.push(packet(20, Inbound, Some(1), 3, 7));
        once(&blocks)[0].join(" ")
    };
    assert_eq!(between(&[process(9), connection(9)]), "p c 2>3@20", "events of others");
    assert_eq!(between(&[process(3), connection(3)]), "p c 2>3@20", "of the second");
    assert_eq!(between(&[process(2)]), "2>3@20 p", "of the first");
    assert_eq!(between(&[connection(2), process(9)]), "2>3@20 c p");
    assert_eq!(between(&[connection(2), process(3)]), "2@10 c p 3@20", "of both");
}

#[test]
fn a_packet_goes_back_to_its_time_but_not_past_an_event() {
    let late = |between: Vec<u8>| {
        let blocks = [
            packet(10, Outbound, Some(1), 2, 7),
            between,
            packet(30, Outbound, None, 4, 1),
            packet(40, Outbound, Some(2), 5, 1),
            packet(20, Inbound, Some(1), 3, 7),
            packet(50, Inbound, Some(2), 6, 1),
        ];
        once(&blocks)[0].join(" ")
    };
    assert_eq!(late(packet(25, Inbound, None, 9, 0)), "2>3@20 9@25 4@30 5>6@50");
    assert_eq!(late(process(9)), "p 2>3@20 4@30 5>6@50");
}

#[test]
fn a_packet_whose_other_half_does_not_come_goes_on() {
    let mut once = Once::default();
    let begun = Instant::now();
    let sent = packet(10, Outbound, Some(1), 2, 7);
    assert!(once.take(&sent, true, begun).is_empty());
    assert!(once.take(&[], true, begun + WAIT / 2).is_empty());
    assert!(once.take(&[], false, begun + WAIT).is_empty(), "more may have come");
    assert_eq!(seen(once.take(&[], true, begun + WAIT)), ["2@10"]);
    assert!(once.take(&sent, true, begun).is_empty());
    let later = packet(10 + WAIT_NANOS, Inbound, None, 3, 0);
    assert_eq!(seen(once.take(&later, false, begun)).len(), 2, "by the clock of the blocks");
}

#[test]
fn memory_is_bounded_and_nothing_is_lost() {
    let most_bytes = 1 << 20;
    let mut once = Once { most_bytes, ..Once::default() };
    let mut out = 0;
    let count = 2 * most_bytes / (ENTRY_BYTES + 100);
    for id in 0..count {
        let sent = packet(10, Outbound, Some(id as u64), 2, 7);
        out += seen(once.take(&sent, true, Instant::now())).len();
        assert!(once.bytes <= most_bytes);
    }
    assert!(out > 0 && once.firsts.len() == once.entries.len());
    assert_eq!(out + seen(once.finish()).len(), count);
}

#[test]
fn an_owner_may_be_nobody() {
    let mut halves = [packet(10, Outbound, Some(1), 2, 7), packet(20, Inbound, Some(1), 3, 7)];
    let parsed = BlockView::new(&halves[0], BYTE_ORDER);
    let mut kernel = Packet::parse(parsed.body(), BYTE_ORDER).unwrap();
    (kernel.connection, kernel.process, kernel.how) = (None, None, Some(Err(NoOwner::Kernel)));
    let mut block = Vec::new();
    kernel.emit(BYTE_ORDER, &mut block).unwrap();
    drop(kernel);
    halves[0] = block;
    assert_eq!(once(&halves)[0], ["0>3@20"]);
}

#[test]
fn notes_of_events_are_bounded_while_a_packet_always_waits() {
    let mut once = Once::default();
    let begun = Instant::now();
    for number in 0..50_000_u32 {
        let id = u64::from(number);
        // Each waits until the one after it has come, so there is always one that waits.
        let time = id * WAIT_NANOS;
        once.take(&packet(time, Outbound, Some(id), 2, 7), true, begun);
        once.take(&[connection(id), process(number)].concat(), true, begun);
        assert!(!once.firsts.is_empty());
    }
    assert!(once.connections.len() + once.processes.len() <= MAX_NOTES + 4);
}
