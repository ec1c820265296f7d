//! Blocks written out by hand from the format's description, so that an error which emitting and parsing share shows.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

mod common;

use std::borrow::Cow;

use common::{Bytes, emit, hex, read};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, EventCounts,
    HostId, How, Interface, Method, NoHash, NoOwner, ObsoletePacket, Packet, ProcessEvent, ProcessEventKind,
    ProcessThread, RawOption, Resolution, Section, SimplePacket, Statistics,
};

const SECTION: &str = "
    0A0D0D0A 54000000         ; type, length 84
    4D3C2B1A 0100 0000        ; byte-order magic, version 1.0
    FFFFFFFF FFFFFFFF         ; section length unknown
    0200 0300 783836 00       ; hardware x86, 1 byte of padding
    0300 0500 4C696E7578 000000 ; operating system Linux
    0400 0400 486F6E65        ; application Hone
    0101 1400                 ; host, 20 bytes
    01000000                  ; a GUID
    00112233 44556677 8899AABB CCDDEEFF
    0000 0000                 ; end of options
    54000000";

const INTERFACE: &str = "
    01000000 34000000         ; type, length 52
    6500 0000 00000400        ; raw IP, snap length 262144
    0300 0300 616E79 00       ; description any
    0900 0100 09 000000       ; timestamps in 10^-9 s
    0E00 0800 FEFFFFFF FFFFFFFF ; 2 seconds back
    0000 0000
    34000000";

const PACKET: &str = "
    06000000 60000000         ; type, length 96
    00000000                  ; interface 0
    04030201 08070605         ; time 0x01020304_05060708, high word first
    05000000 DC050000         ; 5 bytes captured of 1500
    4500112233 000000         ; the packet, padded
    0200 0400 01000000        ; flags: inbound
    0800 0800 2A000000 00000000 ; process 42, thread not known
    0101 0400 07000000        ; connection 7
    0201 0400 2A000000        ; process 42
    0301 0100 09 000000       ; how: reader
    0100 0200 6869 0000       ; comment hi
    0000 0000
    60000000";

const OBSOLETE_PACKET: &str = "
    02000000 3C000000         ; type, length 60
    0000 0300                 ; interface 0, 3 packets lost before it
    04030201 08070605         ; time 0x01020304_05060708, high word first
    05000000 DC050000         ; 5 bytes captured of 1500
    4500112233 000000         ; the packet, padded
    0200 0400 02000000        ; flags: outbound
    0100 0200 6869 0000       ; comment hi
    0000 0000
    3C000000";

const SIMPLE_PACKET: &str = "
    03000000 18000000         ; type, length 24
    05000000                  ; 5 bytes, all of which the interface captures
    4500112233 000000         ; the packet, padded
    18000000";

const PROCESS: &str = "
    01010000 C8000000         ; type, length 200
    2A000000                  ; process 42
    04030201 08070605         ; time
    0200 0400 01000000        ; forked
    0300 0700 2F62696E2F6C73 00 ; path /bin/ls
    0400 0600 6C73002D6C00 0000 ; arguments ls and -l, a NUL after each
    0500 0400 01000000        ; parent 1
    0600 0400 E8030000        ; user 1000
    0700 0400 64000000        ; group 100
    0800 0300 616461 00       ; user name ada
    0900 0500 7573657273 000000 ; group name users
    0A00 0800 532D312D352D3138 ; security id S-1-5-18
    0B00 0500 6C73202D6C 000000 ; command line
    0C00 0300 776562 00       ; container web
    0D00 0400 09000000        ; process 9 in its own namespace
    0E00 0400 000000F0        ; network namespace 4026531840
    0F00 0500 612E6D6E74 000000 ; unit a.mnt
    1000 0100 02 000000       ; no hash: the file changed
    1100 0800 04000000 03000000 ; forked 3 * 2^32 + 4 ns after the boot
    1200 0400 05000000        ; 5 executions
    3412 0100 FF 000000       ; option 0x1234, which nobody knows
    0000 0000
    C8000000";

const CONNECTION_CLOSED: &str = "
    02010000 28000000         ; type, length 40
    07000000 2A000000         ; connection 7, process 42
    04030201 08070605         ; time
    0200 0400 FFFFFFFF        ; closed
    0000 0000
    28000000";

const CONNECTION_OPENED: &str = "
    02010000 1C000000         ; type, length 28
    07000000 2A000000         ; connection 7, process 42
    04030201 08070605         ; time
    1C000000";

const BYTES_CORRECTED: &str = "
    02010000 44000000         ; type, length 68
    07000000 2B000000         ; connection 7, process 43
    04030201 08070605         ; time
    0200 0400 FEFFFFFF        ; correction
    0300 0400 01000000        ; of inbound packets
    0400 0800 F0FFFFFF 10000000 ; bytes from 2^32 - 16 on, before 16
    0600 0100 09 000000       ; read
    0000 0000
    44000000";

const TIME_CORRECTED: &str = "
    02010000 44000000         ; type, length 68
    07000000 00000000         ; connection 7, no process
    04030201 08070605         ; time
    0200 0400 FEFFFFFF        ; correction
    0300 0400 02000000        ; of an outbound packet
    0500 0800 04030201 07070605 ; its time, high word first
    0600 0100 84 000000       ; dropped by a firewall
    0000 0000
    44000000";

const STATISTICS: &str = "
    05000000 D0000000         ; type, length 208
    00000000                  ; interface 0
    04030201 08070605         ; time
    0200 0800 01000000 02000000 ; start time, high word first
    0300 0800 03000000 04000000 ; end time
    0400 0800 0B00000000000000 ; received 11
    0500 0800 0C00000000000000 ; dropped by the source 12
    0600 0800 0D00000000000000 ; accepted 13
    0700 0800 0E00000000000000 ; dropped by the ring 14
    0800 0800 0F00000000000000 ; delivered 15
    0101 0800 1500000000000000 ; process events: received 21
    0201 0800 1600000000000000
    0301 0800 1700000000000000
    0401 0800 1800000000000000 ; delivered 24
    0501 0800 1F00000000000000 ; connection events: received 31
    0601 0800 2000000000000000
    0701 0800 2100000000000000
    0801 0800 2200000001000000 ; delivered 2^32 + 34
    0000 0000
    D0000000";

const UNKNOWN: &str = "
    07000000 14000000         ; a private block
    DEADBEEF CAFEF00D
    14000000";

const TIME: u64 = 0x0102_0304_0506_0708;

fn text(text: &'static str) -> Option<Bytes> {
    Some(Cow::Borrowed(text.as_bytes()))
}

fn correction(process: u32, packets: Corrected, direction: Direction, how: How) -> Block<'static> {
    Block::Connection(ConnectionEvent {
        connection: 7,
        process,
        timestamp: TIME,
        kind: ConnectionEventKind::Correction,
        correction: Some(Correction { packets, direction, how: Some(how) }),
        other: vec![],
    })
}

fn blocks() -> Vec<(&'static str, Block<'static>)> {
    let guid = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];
    let closed = ConnectionEvent {
        connection: 7,
        process: 42,
        timestamp: TIME,
        kind: ConnectionEventKind::Closed,
        correction: None,
        other: vec![],
    };
    let opened = ConnectionEvent { connection: 7, process: 42, timestamp: TIME, ..Default::default() };
    vec![
        (
            SECTION,
            Block::Section(Section {
                hardware: text("x86"),
                os: text("Linux"),
                application: text("Hone"),
                host: Some(HostId::Guid(guid)),
                boot: None,
                section_length: None,
                other: vec![],
            }),
        ),
        (
            INTERFACE,
            Block::Interface(Interface {
                link_type: 101,
                snap_length: 262_144,
                description: text("any"),
                resolution: Resolution::NANOS,
                offset_seconds: -2,
                other: vec![],
            }),
        ),
        (
            PACKET,
            Block::Packet(Packet {
                interface: 0,
                timestamp: TIME,
                original_length: 1500,
                data: Cow::Borrowed(&[0x45, 0, 0x11, 0x22, 0x33]),
                flags: Some(1),
                process_thread: ProcessThread::of_process(Some(42)),
                connection: Some(7),
                process: Some(42),
                how: Some(Ok(Method::Reader)),
                receiver: None,
                packet_id: None,
                other: vec![RawOption { code: 1, value: Cow::Borrowed(b"hi") }],
            }),
        ),
        (
            OBSOLETE_PACKET,
            Block::ObsoletePacket(ObsoletePacket {
                interface: 0,
                drops: Some(3),
                timestamp: TIME,
                original_length: 1500,
                data: Cow::Borrowed(&[0x45, 0, 0x11, 0x22, 0x33]),
                flags: Some(2),
                other: vec![RawOption { code: 1, value: Cow::Borrowed(b"hi") }],
            }),
        ),
        (
            SIMPLE_PACKET,
            Block::SimplePacket(SimplePacket {
                original_length: 5,
                data: Cow::Borrowed(&[0x45, 0, 0x11, 0x22, 0x33]),
            }),
        ),
        (
            PROCESS,
            Block::Process(ProcessEvent {
                process: 42,
                timestamp: TIME,
                kind: ProcessEventKind::Forked,
                path: text("/bin/ls"),
                arguments: text("ls\0-l\0"),
                parent: Some(1),
                user: Some(1000),
                group: Some(100),
                user_name: text("ada"),
                group_name: text("users"),
                security_id: text("S-1-5-18"),
                command_line: text("ls -l"),
                container: text("web"),
                namespace_pid: Some(9),
                network_namespace: Some(4_026_531_840),
                unit: text("a.mnt"),
                hash: Some(Err(NoHash::Changed)),
                born: Some(0x3_0000_0004),
                executions: Some(5),
                other: vec![RawOption { code: 0x1234, value: Cow::Borrowed(&[0xFF]) }],
            }),
        ),
        (CONNECTION_CLOSED, Block::Connection(closed)),
        (CONNECTION_OPENED, Block::Connection(opened)),
        (
            BYTES_CORRECTED,
            correction(
                43,
                Corrected::Bytes { from: 0xFFFF_FFF0, to: 16 },
                Direction::Inbound,
                Ok(Method::Reader),
            ),
        ),
        (
            TIME_CORRECTED,
            correction(0, Corrected::Time(TIME - 1), Direction::Outbound, Err(NoOwner::Filtered)),
        ),
        (
            STATISTICS,
            Block::Statistics(Statistics {
                interface: 0,
                timestamp: TIME,
                start_time: Some(0x1_0000_0002),
                end_time: Some(0x3_0000_0004),
                received: Some(11),
                dropped_by_source: Some(12),
                accepted: Some(13),
                dropped_by_ring: Some(14),
                delivered: Some(15),
                processes: EventCounts {
                    received: Some(21),
                    dropped_by_source: Some(22),
                    dropped_by_ring: Some(23),
                    delivered: Some(24),
                },
                connections: EventCounts {
                    received: Some(31),
                    dropped_by_source: Some(32),
                    dropped_by_ring: Some(33),
                    delivered: Some((1 << 32) + 34),
                },
                other: vec![],
            }),
        ),
        (
            UNKNOWN,
            Block::Unknown {
                kind: 7,
                body: Cow::Borrowed(&[0xDE, 0xAD, 0xBE, 0xEF, 0xCA, 0xFE, 0xF0, 0x0D]),
            },
        ),
    ]
}

#[test]
fn each_block_has_these_bytes() {
    for (golden, block) in blocks() {
        assert_eq!(emit(&[block], ByteOrder::Little), hex(golden), "{golden}");
    }
}

#[test]
fn these_bytes_are_each_block() {
    let blocks = blocks();
    let stream: Vec<u8> = blocks.iter().flat_map(|(golden, _)| hex(golden)).collect();
    let mut expected = blocks.iter();
    read(&stream, &[stream.len()], |_, block, raw, _| {
        let (golden, original) = expected.next().expect("no more blocks than were written");
        assert_eq!(block, original);
        assert_eq!(raw, hex(golden));
    })
    .unwrap();
    assert!(expected.next().is_none());
}

#[test]
fn a_big_endian_packet_has_these_bytes() {
    let (_, block) = blocks().swap_remove(2);
    let golden = hex("
        00000006 00000060
        00000000
        01020304 05060708
        00000005 000005DC
        4500112233 000000
        0002 0004 00000001
        0008 0008 0000002A 00000000
        0101 0004 00000007
        0102 0004 0000002A
        0103 0001 09 000000
        0001 0002 6869 0000
        0000 0000
        00000060");
    assert_eq!(emit(&[block], ByteOrder::Big), golden);
}

/// As the 64-bit fork of the Linux sensor writes it. A block that shows its dialect decides it for the blocks that do
/// not, up to the end of its section.
#[test]
fn the_wide_dialect() {
    let head = "0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFF FFFFFFFF 1C000000
        01000000 14000000 6500 0000 00000000 14000000";
    let opened = "
        02010000 20000000         ; opened, which narrow options cannot be: 32 bytes
        09000000 00000000         ; connection 9 in 64 bits
        2A000000                  ; process 42
        00000000 00000500         ; a time that is like an end of options with a length, which there is not
        20000000";
    let closed = "
        02010000 2C000000         ; closed: 44 bytes
        09000000 01000000         ; connection 2^32 + 9
        2A000000
        00000000 67452301
        0200 0400 FFFFFFFF 0000 0000
        2C000000";
    let packet = "
        06000000 30000000         ; a packet of nothing
        00000000 00000000 67452301 00000000 00000000
        0101 0800 09000000 01000000 ; connection 2^32 + 9
        0000 0000
        30000000";
    // Bytes 16-19 of the body are an end of options in the narrow reading, and a time in the wide one.
    let either = "
        02010000 20000000
        09000000 00000000 2A000000 01000000 00000000
        20000000";
    let stream =
        hex(&[head, opened, either, head, closed, either, head, packet, either, head, either].join("\n"));
    let mut seen = vec![];
    read(&stream, &[stream.len()], |_, block, _, _| match block {
        Block::Connection(event) => seen.push((event.connection, event.process, event.timestamp)),
        Block::Packet(packet) => seen.push((packet.connection.unwrap(), 0, packet.timestamp)),
        _ => {}
    })
    .unwrap();
    let large = (1 << 32) + 9;
    assert_eq!(
        seen,
        [
            (9, 42, 0x0005_0000),
            (9, 42, 1 << 32),
            (large, 42, 0x0123_4567),
            (9, 42, 1 << 32),
            (large, 0, 0x0123_4567),
            (9, 42, 1 << 32),
            // A new section is narrow until it shows otherwise.
            (9, 0, 42 << 32 | 1),
        ]
    );
}

#[test]
fn a_large_connection_id_is_emitted_wide() {
    let event =
        ConnectionEvent { connection: (1 << 32) + 9, process: 42, timestamp: TIME, ..Default::default() };
    let packet = Packet { connection: Some((1 << 32) + 9), ..Default::default() };
    let golden = hex("
        02010000 2C000000
        09000000 01000000 2A000000 04030201 08070605
        0200 0400 00000000        ; opened, spelled out so that the dialect shows
        0000 0000
        2C000000
        06000000 30000000
        00000000 00000000 00000000 00000000 00000000
        0101 0800 09000000 01000000
        0000 0000
        30000000");
    assert_eq!(emit(&[Block::Connection(event), Block::Packet(packet)], ByteOrder::Little), golden);
}

fn host(option: &str) -> Option<String> {
    let option = hex(option);
    let length = u32::try_from(28 + option.len()).unwrap().to_le_bytes();
    let mut stream = hex("0A0D0D0A");
    stream.extend(length);
    stream.extend(hex("4D3C2B1A 0100 0000 FFFFFFFF FFFFFFFF"));
    stream.extend(option);
    stream.extend(length);
    let mut host = None;
    read(&stream, &[7], |_, block, _, _| {
        let Block::Section(section) = block else { unreachable!("only a section was written") };
        host = section.host.as_ref().map(|host| match host {
            HostId::Guid(guid) => format!("guid {}", u128::from_be_bytes(*guid)),
            HostId::Name(name) => format!("name {name}"),
        });
        assert_eq!(section.other.len(), usize::from(host.is_none()), "kept where it is not understood");
    })
    .unwrap();
    host
}

#[test]
fn every_form_of_the_host() {
    let guid = Some("guid 258".into());
    assert_eq!(host("0101 1000 00000000000000000000000000000102 0000 0000"), guid);
    assert_eq!(host("0101 1400 01000000 00000000000000000000000000000102 0000 0000"), guid);
    assert_eq!(host("0101 0500 00 686F6E65 000000 0000 0000"), Some("name hone".into()));
    assert_eq!(host("0101 0100 00 000000 0000 0000"), Some("name ".into()));
    // 15 characters and their zero are as long as a GUID, 19 as long as a typed one.
    assert_eq!(
        host("0101 1000 00 686F6E652D6D616368696E652D3031 00000000"),
        Some("name hone-machine-01".into())
    );
    assert_eq!(
        host("0101 1400 00 686F6E652D6D616368696E652D3031 2D746F6F 00000000"),
        Some("name hone-machine-01-too".into())
    );
    // Forms that nobody has described.
    assert_eq!(host("0101 1400 01AA0000 00000000000000000000000000000102 0000 0000"), None);
    assert_eq!(host("0101 0200 02AA 0000 0000 0000"), None);
    assert_eq!(host("0101 0200 00FF 0000 0000 0000"), None);
}
