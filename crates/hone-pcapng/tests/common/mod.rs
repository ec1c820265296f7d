//! What the tests share: arbitrary blocks, and streams made of them.
#![allow(dead_code, reason = "each test file uses a part")]

use std::borrow::Cow;

use hone_pcapng::packet::Receiver;
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, EventCounts,
    HostId, How, Interface, NoHash, ObsoletePacket, Packet, ProcessEvent, ProcessEventKind, ProcessThread,
    RawOption, ReadError, Reader, Resolution, Section, SimplePacket, Statistics, attribution,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

pub(crate) type Bytes = Cow<'static, [u8]>;

/// Bytes from lines of hexadecimal digits, each with a comment behind a semicolon.
pub(crate) fn hex(lines: &str) -> Vec<u8> {
    let digits: Vec<u8> = lines
        .lines()
        .map(|line| line.split(';').next().unwrap_or_default())
        .flat_map(|line| line.bytes().filter(|byte| !byte.is_ascii_whitespace()))
        .collect();
    assert!(digits.len().is_multiple_of(2), "whole bytes");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).expect("hexadecimal digits"))
        .collect()
}

pub(crate) fn interface() -> Interface<'static> {
    Interface {
        link_type: hone_pcapng::interface::LINKTYPE_RAW,
        snap_length: 0,
        description: None,
        resolution: Resolution::MICROS,
        offset_seconds: 0,
        other: vec![],
    }
}

pub(crate) fn emit(blocks: &[Block<'_>], order: ByteOrder) -> Vec<u8> {
    let mut out = vec![];
    for block in blocks {
        let before = out.len();
        block.emit(order, &mut out).expect("a block within bounds");
        assert_eq!(out.len() - before, block.emitted_length().unwrap());
    }
    out
}

/// Feeds a stream in chunks of these sizes, in turn, and shows each block to `see` with its place and bytes.
pub(crate) fn read(
    stream: &[u8],
    chunks: &[usize],
    mut see: impl FnMut(u64, &Block<'_>, &[u8], Option<u64>),
) -> Result<(), ReadError> {
    let mut reader = Reader::new();
    let mut rest = stream;
    for size in chunks.iter().cycle() {
        let (chunk, following) = rest.split_at((*size).min(rest.len()));
        reader.feed(chunk)?;
        while let Some(item) = reader.next_block()? {
            see(item.offset, &item.block, item.raw, item.nanos);
        }
        rest = following;
        if rest.is_empty() {
            break;
        }
    }
    reader.finish()
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Cow::Owned)
}

/// Now and then longer than one option, or than two, can hold.
fn long_bytes() -> impl Strategy<Value = Bytes> {
    let length = prop_oneof![8 => 0..50_usize, 1 => 65_530..65_540_usize, 1 => 131_060..131_080_usize];
    (length, any::<u8>())
        .prop_map(|(length, seed)| Cow::Owned((0..=u8::MAX).cycle().skip(seed.into()).take(length).collect()))
}

/// Options that are not one of the block's own.
fn other(own: &'static [u16]) -> impl Strategy<Value = Vec<RawOption<'static>>> {
    let code = prop_oneof![Just(1), 2..300_u16, 1..=u16::MAX]
        .prop_filter("the block's own", move |code| !own.contains(code));
    vec((code, bytes(12)).prop_map(|(code, value)| RawOption { code, value }), 0..4)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), any::<u32>()].prop_map(|number: u32| number.min(u32::MAX - 1))
}

fn long_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, any::<u64>(), any::<u32>().prop_map(u64::from)]
        .prop_map(|number| number.min(u64::MAX - 1))
}

prop_compose! {
    pub(crate) fn section()(
        hardware in of(bytes(20)), os in of(bytes(20)), application in of(bytes(20)),
        host in of(prop_oneof![
            any::<[u8; 16]>().prop_map(HostId::Guid),
            "[a-z0-9.ü-]{0,30}".prop_map(|name| HostId::Name(Cow::Owned(name))),
        ]),
        boot in of(any::<[u8; 16]>()), section_length in of(long_number()), other in other(&[2, 3, 4, 257, 258]),
    ) -> Section<'static> {
        Section { hardware, os, application, host, boot, section_length, other }
    }
}

prop_compose! {
    pub(crate) fn any_interface()(
        link_type in any::<u16>(), snap_length in any::<u32>(), description in of(bytes(20)),
        resolution in any::<u8>(), offset_seconds in any::<i64>(), other in other(&[3, 9, 14]),
    ) -> Interface<'static> {
        let resolution = Resolution::from_byte(resolution);
        Interface { link_type, snap_length, description, resolution, offset_seconds, other }
    }
}

prop_compose! {
    fn process_thread()(process in of(1..=u32::MAX), thread in of(1..=u32::MAX)) -> ProcessThread {
        ProcessThread { process, thread }
    }
}

prop_compose! {
    fn receiver()(
        connection in of(long_number()), process in of(number()), how in proptest::sample::select(hows()),
    ) -> Receiver {
        Receiver { connection, process, how }
    }
}

prop_compose! {
    pub(crate) fn packet()(
        timestamp in any::<u64>(), original_length in any::<u32>(), data in bytes(100),
        flags in of(any::<u32>()), connection in of(long_number()), process in of(number()),
        how in of(proptest::sample::select(hows())), process_thread in of(process_thread()),
        receiver in of(receiver()), packet_id in of(any::<u64>()), other in other(&[2, 5, 8, 257, 258, 259]),
    ) -> Packet<'static> {
        Packet {
            interface: 0, timestamp, original_length, data, flags, process_thread, connection, process, how,
            receiver: receiver.filter(|_| how.is_some()), packet_id, other,
        }
    }
}

prop_compose! {
    pub(crate) fn obsolete_packet()(
        drops in of(0..u16::MAX), timestamp in any::<u64>(), original_length in any::<u32>(), data in bytes(100),
        flags in of(any::<u32>()), other in other(&[2]),
    ) -> ObsoletePacket<'static> {
        ObsoletePacket { interface: 0, drops, timestamp, original_length, data, flags, other }
    }
}

prop_compose! {
    /// Of an interface that captures all.
    pub(crate) fn simple_packet()(data in bytes(100)) -> SimplePacket<'static> {
        SimplePacket { original_length: u32::try_from(data.len()).unwrap(), data }
    }
}

prop_compose! {
    pub(crate) fn process()(
        (process, timestamp, kind) in (any::<u32>(), any::<u64>(), prop_oneof![
            Just(0), Just(1), Just(2), Just(3), Just(u32::MAX), any::<u32>()]),
        (path, arguments, command_line) in (of(long_bytes()), of(long_bytes()), of(bytes(20))),
        (parent, user, group) in (of(any::<u32>()), of(any::<u32>()), of(any::<u32>())),
        (user_name, group_name, security_id) in (of(bytes(20)), of(bytes(20)), of(bytes(20))),
        (container, namespace_pid, network_namespace) in (of(bytes(20)), of(any::<u32>()), of(any::<u32>())),
        (born, executions) in (of(any::<u64>()), of(any::<u32>())),
        (unit, hash) in (of(bytes(20)), of(prop_oneof![
            any::<[u8; 32]>().prop_map(Ok), (0..NoHash::ALL.len()).prop_map(|index| Err(NoHash::ALL[index]))])),
        other in other(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]),
    ) -> ProcessEvent<'static> {
        ProcessEvent {
            process, timestamp, kind: ProcessEventKind::from(kind), path, arguments, parent, user, group, user_name,
            group_name, security_id, command_line, container, namespace_pid, network_namespace, unit, hash, born, executions, other,
        }
    }
}

/// Whatever a packet's byte can say.
fn hows() -> Vec<How> {
    (0..=255).filter_map(attribution::from_code).collect()
}

prop_compose! {
    fn direction()(outbound in any::<bool>()) -> Direction {
        if outbound { Direction::Outbound } else { Direction::Inbound }
    }
}

prop_compose! {
    fn correction()(
        from in any::<u32>(), to in any::<u32>(), time in of(any::<u64>()), direction in direction(),
        how in of(any::<prop::sample::Index>()),
    ) -> Correction {
        let packets = time.map_or(Corrected::Bytes { from, to }, Corrected::Time);
        Correction { packets, direction, how: how.map(|how| *how.get(&hows())) }
    }
}

prop_compose! {
    /// Times that look like the head of an option, and of option 2, are likely: see the two dialects.
    pub(crate) fn connection()(
        connection in long_number(), process in any::<u32>(),
        high in any::<u32>(), low in prop_oneof![any::<u32>(), 0..12_u32, (0..12_u32).prop_map(|n| n << 16),
            Just(0x0004_0002), Just(0x0002_0004), (0..12_u32).prop_map(|n| n << 16 | 5)],
        closed in any::<bool>(), correction in of(correction()), other in other(&[2, 3, 4, 5, 6]),
    ) -> ConnectionEvent<'static> {
        let kind = match correction {
            Some(_) => ConnectionEventKind::Correction,
            None if closed => ConnectionEventKind::Closed,
            None => ConnectionEventKind::Opened,
        };
        let timestamp = u64::from(high) << 32 | u64::from(low);
        ConnectionEvent { connection, process, timestamp, kind, correction, other }
    }
}

prop_compose! {
    fn counts()(count in any::<[Option<u64>; 4]>()) -> EventCounts {
        let [received, dropped_by_source, dropped_by_ring, delivered] = count;
        EventCounts { received, dropped_by_source, dropped_by_ring, delivered }
    }
}

prop_compose! {
    pub(crate) fn statistics()(
        interface in any::<u32>(), timestamp in any::<u64>(), count in any::<[Option<u64>; 7]>(),
        processes in counts(), connections in counts(),
        other in other(&[2, 3, 4, 5, 6, 7, 8, 257, 258, 259, 260, 261, 262, 263, 264]),
    ) -> Statistics<'static> {
        let [start_time, end_time, received, dropped_by_source, accepted, dropped_by_ring, delivered] = count;
        Statistics {
            interface, timestamp, start_time, end_time, received, dropped_by_source, accepted, dropped_by_ring,
            delivered, processes, connections, other,
        }
    }
}

prop_compose! {
    pub(crate) fn unknown()(kind in 0x103..u32::MAX, words in vec(any::<[u8; 4]>(), 0..8)) -> Block<'static> {
        let kind = if kind == hone_pcapng::block::SECTION { 7 } else { kind };
        Block::Unknown { kind, body: Cow::Owned(words.concat()) }
    }
}

/// Any block that may stand behind an interface description.
pub(crate) fn block() -> impl Strategy<Value = Block<'static>> {
    prop_oneof![
        any_interface().prop_map(Block::Interface),
        packet().prop_map(Block::Packet),
        obsolete_packet().prop_map(Block::ObsoletePacket),
        simple_packet().prop_map(Block::SimplePacket),
        process().prop_map(Block::Process),
        connection().prop_map(Block::Connection),
        statistics().prop_map(Block::Statistics),
        unknown(),
    ]
}

prop_compose! {
    /// A whole section.
    fn blocks()(section in section(), mut interface in any_interface(), blocks in vec(block(), 0..8))
        -> Vec<Block<'static>>
    {
        if blocks.iter().any(|block| matches!(block, Block::SimplePacket(_))) {
            interface.snap_length = 0;
        }
        let mut all = vec![Block::Section(section), Block::Interface(interface)];
        all.extend(blocks);
        all
    }
}

pub(crate) fn order() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
}

/// One to three sections, each in its own byte order.
pub(crate) fn sections() -> impl Strategy<Value = Vec<(ByteOrder, Vec<Block<'static>>)>> {
    vec((order(), blocks()), 1..4)
}
