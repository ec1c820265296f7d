//! Seeds: valid inputs, from which a fuzzer finds invalid ones.

mod names;
mod outside;

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use hone_api::{
    ApiVersion, ConnectionIds, DataEvent, Family, List, OpenConnection, OpenConnections, Operation, Request,
    SnapLength, Statistics as ApiStatistics, limits,
};
use hone_packet::{Addresses, IpHeader, protocol};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, EventCounts, HostId, Interface, Method,
    ObsoletePacket, Packet, ProcessEvent, ProcessEventKind, ProcessThread, RawOption, Resolution, Section,
    SimplePacket, Statistics,
};

pub use names::packet_names;
pub use outside::{
    client_frames, configuration, filter_expression, kernel_records, local_files, option_values,
    selection_text, server_frames, server_session, show_compressed, show_stream,
};

/// For [`pcapng_reader`](crate::pcapng_reader): a section with every kind of block, and only its beginning, in both
/// byte orders.
#[must_use]
pub fn pcapng_reader() -> Vec<Vec<u8>> {
    let blocks = blocks();
    let mut seeds = vec![];
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for (chunk, blocks) in [(255, &blocks[..]), (7, &blocks[..]), (1, &blocks[..2])] {
            let mut seed = vec![chunk];
            for block in blocks {
                block.emit(order, &mut seed).expect("the block is sound");
            }
            seeds.push(seed);
        }
    }
    let both = [&seeds[0][..], &seeds[3][1..]].concat();
    seeds.push(both);
    seeds
}

fn blocks() -> Vec<Block<'static>> {
    let text = |text: &'static str| Some(Cow::Borrowed(text.as_bytes()));
    let comment = || vec![RawOption { code: 1, value: Cow::Borrowed(b"comment") }];
    let packet = |connection, process| {
        Block::Packet(Packet {
            interface: 0,
            timestamp: 1_704_067_200_000_000_000,
            original_length: 60,
            data: Cow::Borrowed(b"E packet"),
            flags: Some(1),
            process_thread: ProcessThread::of_process(process),
            connection,
            process,
            how: Some(Ok(Method::Reader)),
            receiver: None,
            packet_id: None,
            other: comment(),
        })
    };
    vec![
        Block::Section(Section {
            hardware: text("hardware"),
            os: text("os"),
            application: text("Hone"),
            host: Some(HostId::Guid([7; 16])),
            boot: Some([8; 16]),
            section_length: None,
            other: comment(),
        }),
        Block::Interface(Interface {
            link_type: hone_pcapng::interface::LINKTYPE_RAW,
            snap_length: 96,
            description: text("any"),
            resolution: Resolution::NANOS,
            offset_seconds: 1,
            other: vec![],
        }),
        Block::Process(ProcessEvent {
            process: 42,
            timestamp: 1,
            kind: ProcessEventKind::Started,
            path: text("/bin/a"),
            arguments: text("a\0b\0"),
            parent: Some(1),
            user: Some(0),
            group: Some(0),
            user_name: text("root"),
            group_name: text("root"),
            security_id: text("S-1-5-18"),
            command_line: text("a b"),
            container: text("web"),
            namespace_pid: Some(9),
            network_namespace: Some(4_026_531_840),
            unit: text("web.service"),
            hash: Some(Ok([7; 32])),
            born: Some(5),
            executions: Some(3),
            other: vec![],
        }),
        Block::Connection(ConnectionEvent { connection: 7, process: 42, timestamp: 2, ..Default::default() }),
        packet(Some(7), Some(42)),
        packet(Some(1 << 40), None),
        Block::ObsoletePacket(ObsoletePacket {
            drops: Some(1),
            timestamp: 3,
            original_length: 8,
            data: Cow::Borrowed(b"E packet"),
            flags: Some(2),
            other: comment(),
            ..Default::default()
        }),
        Block::SimplePacket(SimplePacket { original_length: 100, data: Cow::Borrowed(&[0x45; 96]) }),
        Block::Connection(ConnectionEvent {
            connection: 1 << 40,
            process: 42,
            timestamp: 3,
            kind: ConnectionEventKind::Closed,
            ..Default::default()
        }),
        Block::Unknown { kind: 0xBAD, body: Cow::Borrowed(&[0, 0, 0x7F, 0x6E]) },
        Block::Statistics(Statistics {
            start_time: Some(1),
            end_time: Some(4),
            received: Some(2),
            delivered: Some(2),
            processes: EventCounts { received: Some(1), ..Default::default() },
            ..Default::default()
        }),
    ]
}

/// For [`api_request`](crate::api_request): every operation with a valid input, and two replies.
#[must_use]
pub fn api_request() -> Vec<Vec<u8>> {
    let connection = OpenConnection {
        family: Family::V4,
        protocol: 6,
        local_port: 80,
        local: Some(Ipv4Addr::LOCALHOST.into()),
        remote: Some((Ipv4Addr::LOCALHOST, 80).into()),
        connection: Some(7),
        process: 42,
        process_start: Some(1),
        opened: 1,
    };
    let mut buffers = [[0; 200]; 4];
    let [short, long, original, full] = &mut buffers;
    let short = List::write([1, 2], short).expect("there is room");
    let long = List::write([1, 1 << 40], long).expect("there is room");
    let original = List::write([connection.original()], original).expect("there is room");
    let full = List::write([connection.record(); 2], full).expect("there is room");
    let requests = [
        Request::MarkRestart,
        Request::FilterConnections(ConnectionIds::Bits32(short)),
        Request::FilterConnections(ConnectionIds::Bits64(long)),
        Request::FilterProcesses(short),
        Request::IncludeConnections(long),
        Request::IncludeProcesses(short),
        Request::SetSnapLength(SnapLength::lenient(96)),
        Request::SetPacketIds(true),
        Request::GetSnapLength,
        Request::SetDataEvent(DataEvent::Bits32(0x44)),
        Request::SetDataEvent(DataEvent::Bits64(0x44)),
        Request::SetOpenConnections(OpenConnections::Original(original)),
        Request::SetOpenConnections(OpenConnections::Full(full)),
        Request::GetStatistics,
        Request::GetStatistics2,
        Request::SetRingBytes(limits::DEFAULT_RING_BYTES),
        Request::GetVersion,
    ];
    let mut seeds: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut input = [0; 200];
            let length = request.encode(&mut input).expect("there is room");
            [&request.operation().control_code().0.to_le_bytes()[..], &input[..length]].concat()
        })
        .collect();
    let number = u32::from(Operation::GetStatistics2.number()).to_le_bytes();
    seeds.push([&number[..], &ApiStatistics::default().reply()].concat());
    seeds.push([&number[..], &ApiVersion::of_service([0, 1, 0, 0]).encode()].concat());
    seeds
}

/// For [`engine_events`](crate::engine_events): short sequences of calls. Each call begins with its time step and its
/// number.
#[must_use]
pub fn engine_events() -> Vec<Vec<u8>> {
    let attach: &[u8] = &[1, 7, 0, 1, 0];
    let start: &[u8] = &[1, 0, 2, 0, 3, 1, b'/', b'b', b'i', 1];
    let open: &[u8] = &[1, 2, 5, 1, 2, 1];
    let packet: &[u8] = &[1, 4, 0, 2, 0, 1, 5, 1, 0x40, 9, 0, 0, 0, 9];
    let asked: &[u8] = &[1, 4, 7, 1, 1, 5, 0, 40, 9, 1, 0, 0, 9];
    let list: &[u8] = &[1, 14, 1, 1, 1, 1, 1, 1, 2, 2];
    let read: &[u8] = &[1, 10, 2, 0x8A, 0];
    let restart: &[u8] = &[1, 9, 0];
    let snap: &[u8] = &[1, 12, 1, 0, 0];
    let filter: &[u8] = &[1, 13, 0, 0, 1, 5, 2];
    let close: &[u8] = &[1, 3, 5, 0, 1];
    let end: &[u8] = &[1, 1, 2, 1];
    let detach: &[u8] = &[1, 8, 0];
    let stories: [&[&[u8]]; 6] = [
        &[attach, start, open, packet, read, close, end, read, detach],
        &[start, open, attach, attach, packet, read, restart, packet, packet, read, read, read, read],
        &[attach, open, asked, asked, start, list, asked, read, read, &[6, 15, 255, 0, 0]],
        &[attach, start, open, snap, packet, filter, packet, read, read, restart, read],
        &[attach, read, read, packet, read, detach, packet, attach, read],
        &[attach, asked, asked, asked, close, end, asked, restart, asked, read, detach],
    ];
    let mut seeds = vec![];
    for shape in [0x3F, 0, 0xC9] {
        for story in stories {
            let mut seed = vec![shape];
            seed.extend(story.concat());
            seeds.push(seed);
        }
    }
    seeds
}

/// For [`packet_checksums`](crate::packet_checksums): packets of both IP versions and of each protocol, and one with
/// extension headers.
#[must_use]
pub fn packet_checksums() -> Vec<Vec<u8>> {
    let v4 = Addresses::V4 { source: Ipv4Addr::LOCALHOST, destination: Ipv4Addr::LOCALHOST };
    let v6 = Addresses::V6 { source: Ipv6Addr::LOCALHOST, destination: Ipv6Addr::LOCALHOST };
    let udp: &[u8] = &[0, 53, 0, 53, 0, 9, 0, 0, 1];
    let tcp: &[u8] = &[0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0, 7];
    let icmp: &[u8] = &[8, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3];
    let extended: &[u8] = &[
        43, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 1, 128, 0, 0, 0, 0, 1, 0, 1,
    ];
    let packets = [
        (v4, protocol::UDP, udp),
        (v4, protocol::TCP, tcp),
        (v4, protocol::ICMP, icmp),
        (v6, protocol::UDP, udp),
        (v6, protocol::TCP, tcp),
        (v6, protocol::ICMPV6, icmp),
        (v6, 0, extended),
    ];
    packets
        .iter()
        .map(|(addresses, protocol, segment)| {
            let header = IpHeader::new(*addresses, *protocol).emit(segment.len()).expect("it is short");
            [&[3][..], &header, segment].concat()
        })
        .collect()
}
