//! Views see what is parsed, in either byte order, and take any bytes.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

use std::borrow::Cow;

use hone_pcapng::block::PACKET;
use hone_pcapng::packet::Receiver;
use hone_pcapng::view::{BlockView, Trimmed, whole};
use hone_pcapng::{
    ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, How, Method, NoOwner,
    Packet, SnapLength,
};

const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

fn emitted(data: &[u8], order: ByteOrder) -> Vec<u8> {
    let mut out = Vec::new();
    let packet = Packet {
        interface: 3,
        original_length: 1500,
        data: Cow::Borrowed(data),
        flags: Some(2),
        timestamp: 7 << 32 | 9,
        connection: Some(1 << 40 | 5),
        process: Some(77),
        how: Some(Ok(Method::Reader)),
        ..Packet::default()
    };
    packet.emit(order, &mut out).unwrap();
    out
}

#[test]
fn a_packet_is_seen_as_it_is_parsed() {
    for (length, order) in (0..9).flat_map(|length| ORDERS.map(|order| (length, order))) {
        let data = vec![0x45; length];
        let block = emitted(&data, order);
        let view = BlockView::new(&block, order);
        let seen = view.packet().unwrap();
        let parsed = Packet::parse(view.body(), order).unwrap();
        assert_eq!(view.kind(), PACKET);
        assert_eq!((seen.data, &*parsed.data), (data.as_slice(), data.as_slice()));
        assert_eq!((seen.interface, seen.timestamp), (parsed.interface, parsed.timestamp));
        assert_eq!((seen.original_length, seen.flags), (parsed.original_length, parsed.flags));
        assert_eq!((seen.connection, seen.process), (parsed.connection, parsed.process));
        assert_eq!((seen.how, seen.is_outbound()), (parsed.how, true));
    }
}

#[test]
fn two_owners_are_told_apart_also_if_one_is_nobody() {
    let received = Receiver { connection: Some(1 << 40), process: Some(8), how: Ok(Method::Reader) };
    let owners: [(_, _, How); 2] =
        [(Some(5), Some(7), Ok(Method::CurrentTask)), (None, None, Err(NoOwner::Kernel))];
    for ((connection, process, how), order) in
        owners.into_iter().flat_map(|owner| ORDERS.map(|order| (owner, order)))
    {
        for receiver in [received, Receiver { connection: None, process: None, ..received }] {
            let packet = Packet {
                flags: Some(2),
                connection,
                process,
                how: Some(how),
                receiver: Some(receiver),
                packet_id: Some(9 << 40),
                ..Packet::default()
            };
            let mut block = Vec::new();
            packet.emit(order, &mut block).unwrap();
            let view = BlockView::new(&block, order);
            assert_eq!(Packet::parse(view.body(), order).unwrap(), packet);
            let seen = view.packet().unwrap();
            assert_eq!((seen.connection, seen.process, seen.how), (connection, process, Some(how)));
            assert_eq!((seen.receiver, seen.packet_id), (Some(receiver), Some(9 << 40)));
            let seen = seen.as_received().unwrap();
            assert_eq!((seen.connection, seen.process), (receiver.connection, receiver.process));
            assert_eq!((seen.how, seen.is_outbound()), (Some(receiver.how), false));
        }
    }
}

/// Another writer's order: 259 before 257 and 258, once.
#[test]
fn one_owner_is_one_in_any_order_of_its_options() {
    let packet =
        Packet { connection: Some(5), process: Some(7), how: Some(Ok(Method::Reader)), ..Packet::default() };
    let mut block = Vec::new();
    packet.emit(ByteOrder::Little, &mut block).unwrap();
    // After the head of 28 bytes, there are no data; each of the three options takes 8 bytes.
    block[28..52].rotate_right(8);
    assert_eq!(
        Packet::parse(BlockView::new(&block, ByteOrder::Little).body(), ByteOrder::Little).unwrap(),
        packet
    );
    let seen = BlockView::new(&block, ByteOrder::Little).packet().unwrap();
    assert_eq!(
        (seen.connection, seen.process, seen.how, seen.receiver),
        (Some(5), Some(7), packet.how, None)
    );
}

#[test]
fn the_unknown_process_of_windows_is_none() {
    let mut block = emitted(b"abcd", ByteOrder::Big);
    let at = block.windows(4).position(|four| four == 77_u32.to_be_bytes()).unwrap();
    block[at..at + 4].fill(0xff);
    assert_eq!(BlockView::new(&block, ByteOrder::Big).packet().unwrap().process, None);
}

#[test]
fn corrections_are_told_from_other_connection_events() {
    for (connection, order) in [5, 1 << 40].into_iter().flat_map(|id| ORDERS.map(|order| (id, order))) {
        for packets in [Corrected::Time(7), Corrected::Bytes { from: 1, to: 2 }] {
            for how in [None, Some(Ok(Method::Reader))] {
                let correction = Correction { packets, direction: Direction::Outbound, how };
                let kind = ConnectionEventKind::Correction;
                let event = ConnectionEvent {
                    connection,
                    process: 8,
                    kind,
                    correction: Some(correction),
                    ..ConnectionEvent::default()
                };
                let mut block = Vec::new();
                event.emit(order, &mut block).unwrap();
                assert_eq!(BlockView::new(&block, order).correction(), Some((event, correction)));
            }
        }
        for kind in [ConnectionEventKind::Opened, ConnectionEventKind::Closed] {
            let mut block = Vec::new();
            let event = ConnectionEvent { connection, kind, ..ConnectionEvent::default() };
            event.emit(order, &mut block).unwrap();
            assert_eq!(BlockView::new(&block, order).correction(), None);
        }
    }
}

#[test]
fn only_whole_blocks_count() {
    for order in ORDERS {
        let (one, two) = (emitted(b"1", order), emitted(b"twenty two", order));
        let stream = [one.as_slice(), &two].concat();
        for end in 0..=stream.len() {
            let expected = match end {
                _ if end == stream.len() => stream.len(),
                _ if end >= one.len() => one.len(),
                _ => 0,
            };
            assert_eq!(whole(&stream[..end], order), expected, "{end}");
            let first = BlockView::first(&stream[..end], Some(order)).unwrap();
            assert_eq!(first.is_some(), expected > 0, "{end}");
        }
    }
}

#[test]
fn nonsense_is_no_block_and_no_packet() {
    assert_eq!(whole(&[0; 64], ByteOrder::Little), 0, "a length of zero must not loop");
    assert_eq!(whole(&[0xff; 64], ByteOrder::Little), 0);
    let block = emitted(b"some data", ByteOrder::Little);
    for at in 0..block.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut mutated = block.clone();
            mutated[at] = value;
            let view = BlockView::new(&mutated, ByteOrder::Little);
            let _ = (view.packet(), view.body());
            let mut out = [0; 100];
            let _ = Trimmed::new(view, SnapLength::lenient(5)).copy(0, &mut out);
        }
        let view = BlockView::new(&block[..at], ByteOrder::Little);
        let _ = (view.packet(), view.body(), Trimmed::new(view, SnapLength::lenient(5)).len());
    }
}
