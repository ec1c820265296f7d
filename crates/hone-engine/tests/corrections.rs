//! One readable case for each promise about packets with an owner that is known only after they came: the process that
//! reads them, or that accepts their connection; and about packets that are dropped. Also about processes that did not
//! exist yet, or had ended, when a packet was seen.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod common;

use common::*;
use hone_engine::{
    Attribution, Config, Corrected, Direction, Engine, Event, Method, NoOwner, Owner, Packet, ProcessKey,
    ProcessStart, ReaderId, StartKind, Used, Wait,
};

const CHILD: ProcessKey = ProcessKey { pid: 9, start: 2 };
const BY_HOLDER: Owner = Owner::Process(PROCESS, Method::LastReceiver);
const SHARED: Attribution = Err(NoOwner::Shared);

/// A TCP packet with ten bytes of payload; `first` is the sequence number of the first one.
fn tcp(first: u32) -> [u8; 50] {
    let mut data = [0; 50];
    (data[0], data[9], data[32]) = (0x45, 6, 0x50);
    data[24..28].copy_from_slice(&first.to_be_bytes());
    data
}

/// A UDP datagram with `payload` bytes of payload.
fn udp(payload: usize) -> Vec<u8> {
    let mut data = vec![0; 28 + payload];
    (data[0], data[9]) = (0x45, 17);
    data
}

fn inbound(owner: Owner, at: u64, data: &[u8]) -> Event<'_> {
    let (connection, direction) = (Some(5), Direction::Inbound);
    Event::Packet(Packet {
        at,
        connection,
        owner,
        direction,
        flags: 0,
        original_length: 0,
        packet_id: None,
        data,
    })
}

fn forked(process: ProcessKey, at: u64) -> Event<'static> {
    let mut start = ProcessStart::new(process, at, StartKind::Forked);
    start.parent = Some(PROCESS.pid);
    Event::ProcessStarted(start)
}

fn corrected(packets: Corrected, attribution: Attribution, at: u64) -> Event<'static> {
    Event::Corrected { connection: 5, direction: Direction::Inbound, packets, attribution, at }
}

fn bytes_of(from: u32, to: u32) -> Corrected {
    Corrected::Bytes { from, to }
}

fn used(process: ProcessKey, used: Used, at: u64) -> Event<'static> {
    Event::ConnectionUsed { connection: 5, process, used, at }
}

const READ_BY_CHILD: Attribution = Ok((CHILD, Method::Reader));

/// An engine with a reader that has read the beginning of its section and the open event of connection 5.
fn beginning() -> (Engine, ReaderId) {
    let mut engine = engine();
    let reader = attach(&mut engine);
    handle(&mut engine, &[started(PROCESS, 1), opened(5, Some(PROCESS), 1)]);
    story(&mut engine, reader);
    (engine, reader)
}

/// The blocks that the reader reads now, in words. The reader has read the beginning of its section before.
fn news(engine: &mut Engine, reader: ReaderId) -> Vec<String> {
    let stream: Vec<u8> = bytes(engine, reader).into_iter().flatten().flatten().collect();
    let mut told = Vec::new();
    let mut rest = &stream[..];
    while let Some(&length) = rest.get(4..8).and_then(|length| length.first_chunk()) {
        let (block, following) = rest.split_at(u32::from_le_bytes(length) as usize);
        let (kind, body) = (u32::from_le_bytes(block[..4].try_into().expect("four bytes")), &block[8..]);
        let body = &body[..body.len() - 4];
        let order = hone_engine::BYTE_ORDER;
        let block = match kind {
            6 => hone_pcapng::Block::Packet(hone_pcapng::Packet::parse(body, order).expect("it is sound")),
            0x101 => hone_pcapng::Block::Process(
                hone_pcapng::ProcessEvent::parse(body, order).expect("it is sound"),
            ),
            _ => hone_pcapng::Block::Connection(
                hone_pcapng::ConnectionEvent::parse(body, order, hone_pcapng::Dialect::Narrow)
                    .expect("it is sound"),
            ),
        };
        let at = match &block {
            hone_pcapng::Block::Packet(packet) => packet.timestamp,
            hone_pcapng::Block::Process(event) => event.timestamp,
            hone_pcapng::Block::Connection(event) => event.timestamp,
            _ => 0,
        };
        told.push(tell(&block, at));
        rest = following;
    }
    told
}

#[test]
fn an_unread_packet_is_its_readers_and_stands_behind_his_start() {
    let (mut engine, reader) = beginning();
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &tcp(100)), inbound(BY_HOLDER, 11, &tcp(110))]);
    handle(&mut engine, &[forked(CHILD, 12), corrected(bytes_of(110, 120), READ_BY_CHILD, 13)]);
    let told = ["10: packet of 7, 50 of 50", "12: process 9 Forked /bin/sh", "11: packet of 9, 50 of 50"];
    assert_eq!(news(&mut engine, reader), told, "and no correction is needed");
}

#[test]
fn what_has_been_read_is_corrected_by_an_event() {
    let (mut engine, reader) = beginning();
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &tcp(100))]);
    assert_eq!(news(&mut engine, reader), ["10: packet of 7, 50 of 50"]);
    // A later packet is not read yet: it is replaced by a corrected one.
    handle(&mut engine, &[inbound(BY_HOLDER, 11, &tcp(110)), forked(CHILD, 12)]);
    handle(&mut engine, &[corrected(bytes_of(100, 120), READ_BY_CHILD, 13)]);
    let told = [
        "12: process 9 Forked /bin/sh",
        "11: packet of 9, 50 of 50",
        "13: connection 5 corrected from 100 to 120 by 9",
    ];
    assert_eq!(news(&mut engine, reader), told);
    assert_eq!(engine.statistics().lost.connections, 0);
}

#[test]
fn each_reader_is_sent_what_it_needs() {
    let (mut engine, quick) = beginning();
    let slow = attach(&mut engine);
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &udp(3))]);
    news(&mut engine, quick);
    handle(&mut engine, &[corrected(Corrected::Time(10), READ_BY_CHILD, 13)]);
    assert_eq!(news(&mut engine, quick), ["13: connection 5 corrected at 10 by 9"]);
    let told = story(&mut engine, slow);
    assert_eq!(told.last().map(String::as_str), Some("10: packet of 9, 31 of 31"));
    assert!(!told.iter().any(|line| line.contains("corrected")));
}

#[test]
fn a_packet_read_in_two_parts_is_whose_its_first_byte_is() {
    let (mut engine, reader) = beginning();
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &tcp(100)), inbound(BY_HOLDER, 11, &tcp(110))]);
    handle(&mut engine, &[forked(CHILD, 12), corrected(bytes_of(105, 120), READ_BY_CHILD, 13)]);
    let told = news(&mut engine, reader);
    assert_eq!(
        told,
        ["10: packet of 7, 50 of 50", "12: process 9 Forked /bin/sh", "11: packet of 9, 50 of 50"]
    );
    // A held packet is attributed to the process that reads its first byte, not to one that reads later bytes.
    let waits = Owner::Wait(Wait::Stream(201), SHARED);
    handle(&mut engine, &[inbound(waits, 20, &tcp(200)), used(OTHER, Used::Stream(204), 21)]);
    handle(&mut engine, &[used(CHILD, Used::Stream(210), 22)]);
    assert_eq!(news(&mut engine, reader), ["20: packet of 8, 50 of 50"]);
}

#[test]
fn what_the_same_process_reads_as_another_program_stands_behind_its_start() {
    let (mut engine, reader) = beginning();
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &tcp(100)), started(PROCESS, 12)]);
    handle(&mut engine, &[corrected(bytes_of(100, 110), Ok((PROCESS, Method::Reader)), 13)]);
    let told = ["12: process 7 Started /bin/sh", "10: packet of 7, 50 of 50"];
    assert_eq!(news(&mut engine, reader), told);
    // A packet that the process was not seen to read stays before the process's later start.
    handle(&mut engine, &[started(PROCESS, 22), inbound(BY_HOLDER, 20, &tcp(110))]);
    assert_eq!(news(&mut engine, reader), ["20: packet of 7, 50 of 50", "22: process 7 Started /bin/sh"]);
}

#[test]
fn a_packet_never_stands_before_the_start_of_its_process() {
    let (mut engine, reader) = beginning();
    let waits = Owner::Wait(Wait::Stream(101), SHARED);
    handle(&mut engine, &[inbound(waits, 10, &tcp(100)), forked(CHILD, 12)]);
    handle(&mut engine, &[used(CHILD, Used::Stream(110), 13)]);
    assert_eq!(news(&mut engine, reader), ["12: process 9 Forked /bin/sh", "10: packet of 9, 50 of 50"]);
}

#[test]
fn nobody_sends_before_he_exists() {
    let (mut engine, reader) = beginning();
    let acceptor = Ok((PROCESS, Method::Accepted));
    let outbound = |at, owner| packet(Some(5), owner, at, &[]);
    handle(&mut engine, &[outbound(10, Owner::Wait(Wait::Use, acceptor)), forked(CHILD, 12)]);
    handle(&mut engine, &[outbound(13, Owner::Wait(Wait::Use, acceptor)), used(CHILD, Used::Somehow, 14)]);
    let told = ["10: packet of 7, 0 of 0", "12: process 9 Forked /bin/sh", "13: packet of 9, 0 of 0"];
    assert_eq!(news(&mut engine, reader), told);
}

#[test]
fn who_has_ended_is_not_named_for_what_came_later() {
    let (mut engine, reader) = beginning();
    let holder = Owner::Wait(Wait::Use, Ok((PROCESS, Method::Creator)));
    handle(&mut engine, &[inbound(holder, 10, &[]), ended(PROCESS, 11), inbound(holder, 12, &[])]);
    engine.flush_held();
    let told = news(&mut engine, reader);
    assert_eq!(told, ["10: packet of 7, 0 of 0", "11: process 7 ended", "12: packet of nobody, 0 of 0"]);
}

#[test]
fn a_handshake_is_its_acceptors() {
    let (mut engine, reader) = beginning();
    let waits = |number| Owner::Wait(Wait::Handshake(number), SHARED);
    handle(
        &mut engine,
        &[inbound(waits(1), 10, &[]), inbound(waits(2), 11, &[]), inbound(waits(1), 12, &[])],
    );
    // A process that uses the listener in another way has not accepted the connection.
    handle(&mut engine, &[used(PROCESS, Used::Alone, 13), used(OTHER, Used::Handshake(1), 14)]);
    assert_eq!(news(&mut engine, reader), ["10: packet of 8, 0 of 0", "12: packet of 8, 0 of 0"]);
    engine.flush_held();
    assert_eq!(news(&mut engine, reader), ["11: packet of nobody, 0 of 0"]);
    assert_eq!(engine.statistics().methods.get(Method::Accepted), 2);
}

#[test]
fn a_packet_that_is_dropped_right_after_has_no_process() {
    let (mut engine, reader) = beginning();
    handle(&mut engine, &[inbound(BY_HOLDER, 10, &tcp(100)), inbound(BY_HOLDER, 11, &tcp(100))]);
    handle(&mut engine, &[corrected(Corrected::Time(11), Err(NoOwner::Filtered), 12)]);
    assert_eq!(news(&mut engine, reader), ["10: packet of 7, 50 of 50", "11: packet of nobody, 50 of 50"]);
}

/// Datagrams with the numbers 1, 2, ... and these payload lengths come at 1, 2, ... microseconds. Then the reads
/// return: each with its process, the number before which all datagrams have been read, and the bytes read.
fn shared_reads(payloads: &[usize], reads: &[(ProcessKey, u64, u32)]) -> Vec<String> {
    let (mut engine, reader) = beginning();
    for (number, &payload) in (1..).zip(payloads) {
        let waits = Owner::Wait(Wait::Datagram(number), SHARED);
        handle(&mut engine, &[inbound(waits, 1000 * number, &udp(payload))]);
    }
    for (at, &(process, before, length)) in (100..).zip(reads) {
        handle(&mut engine, &[used(process, Used::NextDatagram { before, length }, 1000 * at)]);
    }
    news(&mut engine, reader)
}

#[test]
fn reads_that_overlap_are_told_apart_by_what_they_return() {
    let (one, other) = (PROCESS, OTHER);
    // The second read begins after the first has returned.
    let told = shared_reads(&[5, 5], &[(other, 2, 5), (one, 9, 5)]);
    assert_eq!(told, ["1000: packet of 8, 33 of 33", "2000: packet of 7, 33 of 33"]);
    // Both datagrams are read before a read returns. The lengths show which read took which.
    let told = shared_reads(&[5, 6], &[(other, 9, 6), (one, 9, 5)]);
    assert_eq!(told, ["1000: packet of 7, 33 of 33", "2000: packet of 8, 34 of 34"]);
    // The lengths are equal, so the owners cannot be known, and none is named.
    let told = shared_reads(&[5, 5], &[(other, 9, 5), (one, 9, 5)]);
    assert_eq!(told, ["1000: packet of nobody, 33 of 33", "2000: packet of nobody, 33 of 33"]);
    // Two threads of one process read.
    let told = shared_reads(&[5, 5], &[(one, 9, 5), (one, 9, 5)]);
    assert_eq!(told, ["1000: packet of 7, 33 of 33", "2000: packet of 7, 33 of 33"]);
    // One process reads the two datagrams of equal length, another process the third.
    let told = shared_reads(&[5, 6, 5], &[(one, 9, 5), (other, 9, 6), (one, 9, 5)]);
    assert_eq!(
        told,
        ["1000: packet of 7, 33 of 33", "2000: packet of 8, 34 of 34", "3000: packet of 7, 33 of 33"]
    );
    // The read left no datagram in the socket: `before` is the greatest number.
    let told = shared_reads(&[5], &[(one, u64::MAX, 5)]);
    assert_eq!(told, ["1000: packet of 7, 33 of 33"]);
}

#[test]
fn what_is_read_after_its_time_is_corrected() {
    let config = Config { hold_time: 5000, ..Config::default() };
    let mut engine = Engine::new(config).expect("there is memory");
    let reader = attach(&mut engine);
    handle(&mut engine, &[started(PROCESS, 1), opened(5, Some(PROCESS), 1)]);
    story(&mut engine, reader);
    let waits = |wait| Owner::Wait(wait, SHARED);
    handle(&mut engine, &[inbound(waits(Wait::Stream(101)), 10, &tcp(100))]);
    handle(&mut engine, &[inbound(waits(Wait::Datagram(1)), 11, &udp(3))]);
    handle(&mut engine, &[inbound(waits(Wait::Datagram(2)), 12, &udp(3))]);
    handle(&mut engine, &[inbound(waits(Wait::Handshake(7)), 13, &[])]);
    engine.tick(20_000);
    assert_eq!(news(&mut engine, reader).len(), 4);
    handle(&mut engine, &[used(OTHER, Used::Stream(100), 20_001), used(OTHER, Used::Handshake(8), 20_002)]);
    assert_eq!(news(&mut engine, reader), [""; 0], "none of it was read");
    handle(&mut engine, &[used(OTHER, Used::Stream(110), 20_003), used(OTHER, Used::Handshake(7), 20_004)]);
    handle(&mut engine, &[used(OTHER, Used::NextDatagram { before: 2, length: 3 }, 20_005)]);
    let told = [
        "20003: connection 5 corrected from 100 to 101 by 8",
        "20004: connection 5 corrected at 13 by 8",
        "20005: connection 5 corrected at 11 by 8",
    ];
    assert_eq!(news(&mut engine, reader), told);
    handle(
        &mut engine,
        &[used(PROCESS, Used::Datagram(1), 20_006), used(PROCESS, Used::Datagram(2), 20_007)],
    );
    assert_eq!(news(&mut engine, reader), ["20007: connection 5 corrected at 12 by 7"]);
    assert_eq!(engine.statistics().held, 0);
}

#[test]
fn nobody_is_named_when_it_was_forgotten_what_waited() {
    // Only one datagram can be held. The others are evicted, and remembered for a correction.
    let told = |payloads: &[usize], reads: &[(ProcessKey, u64, u32)]| {
        let mut engine =
            Engine::new(Config { max_held_packets: 1, ..Config::default() }).expect("there is memory");
        let reader = attach(&mut engine);
        handle(&mut engine, &[started(PROCESS, 1), opened(5, Some(PROCESS), 1)]);
        for (number, &payload) in (1..).zip(payloads) {
            let waits = Owner::Wait(Wait::Datagram(number), SHARED);
            handle(&mut engine, &[inbound(waits, 1000 * number, &udp(payload))]);
        }
        story(&mut engine, reader);
        for (at, &(process, before, length)) in (100..).zip(reads) {
            handle(&mut engine, &[used(process, Used::NextDatagram { before, length }, 1000 * at)]);
        }
        news(&mut engine, reader)
    };
    // All three datagrams are read before a read returns.
    let all = [(PROCESS, 9, 5), (OTHER, 9, 5), (PROCESS, 9, 5)];
    assert_eq!(told(&[5, 5, 5], &all), ["3000: packet of nobody, 33 of 33"]);
    assert_eq!(told(&[5, 5, 5], &all[..2]), [""; 0], "one read is still under way");
    let lengths = [(PROCESS, 9, 5), (OTHER, 9, 6), (PROCESS, 9, 7)];
    let expected = [
        "3000: packet of 7, 35 of 35",
        "102000: connection 5 corrected at 1000 by 7",
        "102000: connection 5 corrected at 2000 by 8",
    ];
    assert_eq!(told(&[5, 6, 7], &lengths), expected);
}
