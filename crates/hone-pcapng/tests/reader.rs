//! What the reader refuses, and what it says.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

mod common;

use std::borrow::Cow;

use common::{emit, hex, interface, read};
use hone_pcapng::block::MAX_LENGTH;
use hone_pcapng::{
    Block, ByteOrder, EmitError, Interface, ObsoletePacket, Packet, ProcessEvent, RawOption, ReadError,
    ReadErrorKind, Reader, Resolution, Section, SimplePacket, Statistics,
};

const HEAD: &str = "0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFF FFFFFFFF 1C000000
    01000000 14000000 6500 0000 00000000 14000000";
const HEAD_LENGTH: u64 = 48;

fn error(stream: &[u8]) -> ReadError {
    read(stream, &[usize::MAX], |_, _, _, _| {}).expect_err("a stream that cannot be read")
}

#[track_caller]
fn refused(block: &str, reason: ReadErrorKind, message: &str) {
    let error = error(&hex(&[HEAD, block].join("\n")));
    assert_eq!((error.offset, error.reason), (HEAD_LENGTH, reason));
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_empty_stream_has_no_blocks() {
    assert_eq!(read(&[], &[1], |_, _, _, _| unreachable!("no block")), Ok(()));
}

#[test]
fn a_stream_of_another_format() {
    let error = error(&hex("D4C3B2A1 02000400 00000000"));
    assert_eq!((error.offset, error.block, error.reason), (0, 0xA1B2_C3D4, ReadErrorKind::NoSection));
    let message = "the block of type 0xa1b2c3d4 at offset 0 cannot be read: the stream does not begin with a section \
                   header, so it is not PCAP-NG";
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_stream_that_ends_early() {
    for (kept, block) in [(2, 0), (4, 0x0A0D_0D0A), (27, 0x0A0D_0D0A)] {
        let error = error(&hex(HEAD)[..kept]);
        assert_eq!(error, ReadError { offset: 0, block, reason: ReadErrorKind::Truncated });
    }
    let mut stream = hex(HEAD);
    stream.push(1);
    let error = error(&stream);
    assert_eq!(error, ReadError { offset: HEAD_LENGTH, block: 0, reason: ReadErrorKind::Truncated });
    assert_eq!(error.to_string(), "the block at offset 48 cannot be read: the stream ends inside it");
}

#[test]
fn a_section_of_another_kind() {
    let magic = error(&hex("0A0D0D0A 1C000000 01020304 0100 0000 FFFFFFFF FFFFFFFF 1C000000"));
    assert_eq!(magic.reason, ReadErrorKind::ByteOrderMagic(0x0403_0201));
    let version = error(&hex("0A0D0D0A 1C000000 4D3C2B1A 0200 0100 FFFFFFFF FFFFFFFF 1C000000"));
    assert_eq!(version.reason, ReadErrorKind::Version { major: 2, minor: 1 });
    // The draft has readers take 1.2 for 1.0.
    let stream = hex("0A0D0D0A 1C000000 4D3C2B1A 0100 0200 FFFFFFFF FFFFFFFF 1C000000");
    assert_eq!(read(&stream, &[5], |_, _, _, _| {}), Ok(()));
}

#[test]
fn lengths_that_cannot_be() {
    let differ = ReadErrorKind::LengthsDiffer { leading: 12, trailing: 16 };
    let message = "the block of type 0x00000007 at offset 48 cannot be read: it says 12 bytes at its beginning and 16 \
                   bytes at its end";
    refused("07000000 0C000000 10000000", differ, message);
    let message = "the block of type 0x00000007 at offset 48 cannot be read: its length is 14, which is not a multiple \
                   of 4 of at least 12";
    refused("07000000 0E000000 10000000", ReadErrorKind::Length(14), message);
    let message = "the block of type 0x00000007 at offset 48 cannot be read: its length is 8, which is not a multiple \
                   of 4 of at least 12";
    refused("07000000 08000000", ReadErrorKind::Length(8), message);
    let over = ReadErrorKind::OverLimit { length: u32::MAX - 3, limit: MAX_LENGTH };
    let message = "the block of type 0x00000007 at offset 48 cannot be read: it is 4294967292 bytes long, which is over \
                   the limit of 16777216";
    refused("07000000 FCFFFFFF", over, message);
}

#[test]
fn packets_that_cannot_be() {
    let message = "the packet at offset 48 cannot be read: its body has 4 bytes and needs at least 20";
    refused(
        "06000000 10000000 00000000 10000000",
        ReadErrorKind::BodyTooShort { length: 4, minimum: 20 },
        message,
    );
    let message =
        "the packet at offset 48 cannot be read: it claims 4294967295 captured bytes and has room for 0";
    refused(
        "06000000 20000000 00000000 00000000 00000000 FFFFFFFF 00000000 20000000",
        ReadErrorKind::CapturedLength { captured: u32::MAX, available: 0 },
        message,
    );
    let message = "the packet at offset 48 cannot be read: its section has not described interface 1";
    refused(
        "06000000 20000000 01000000 00000000 00000000 00000000 00000000 20000000",
        ReadErrorKind::UndescribedInterface(1),
        message,
    );
}

#[test]
fn simple_and_obsolete_packets_that_cannot_be() {
    let message =
        "the simple packet at offset 48 cannot be read: it claims 5 captured bytes and has room for 4";
    refused(
        "03000000 14000000 05000000 45001122 14000000",
        ReadErrorKind::CapturedLength { captured: 5, available: 4 },
        message,
    );
    let message =
        "the obsolete packet at offset 48 cannot be read: its section has not described interface 1";
    refused(
        "02000000 20000000 0100 FFFF 00000000 00000000 00000000 00000000 20000000",
        ReadErrorKind::UndescribedInterface(1),
        message,
    );
    let message =
        "the obsolete packet at offset 48 cannot be read: it claims 9 captured bytes and has room for 0";
    refused(
        "02000000 20000000 0000 FFFF 00000000 00000000 09000000 00000000 20000000",
        ReadErrorKind::CapturedLength { captured: 9, available: 0 },
        message,
    );
}

#[test]
fn a_simple_packet_needs_an_interface_of_its_own_section() {
    let section = &HEAD[..HEAD.find("01000000").unwrap()];
    let simple = "03000000 14000000 04000000 45001122 14000000";
    let reason = ReadErrorKind::UndescribedInterface(0);
    let alone = error(&hex(&[section, simple].join("\n")));
    assert_eq!((alone.offset, alone.reason), (28, reason));
    let after_another = error(&hex(&[HEAD, simple, section, simple].join("\n")));
    assert_eq!((after_another.offset, after_another.reason), (48 + 20 + 28, reason));
    let message = "the simple packet at offset 28 cannot be read: its section has not described interface 0";
    assert_eq!(alone.to_string(), message);
}

#[test]
fn a_simple_packet_is_cut_at_the_snap_length_of_the_first_interface() {
    let simple = || SimplePacket { original_length: 9, data: Cow::Borrowed(b"three") };
    let limited = |snap_length| Block::Interface(Interface { snap_length, ..interface() });
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let head = [Block::Section(Section::default()), limited(5), limited(1)];
        let stream = [emit(&head, order), emit(&[Block::SimplePacket(simple())], order)].concat();
        let mut packets = 0;
        read(&stream, &[7], |_, block, _, nanos| {
            if let Block::SimplePacket(packet) = block {
                assert_eq!((packet, nanos), (&simple(), None), "it has no time");
                packets += 1;
            }
        })
        .unwrap();
        assert_eq!(packets, 1);
    }
}

#[test]
fn options_that_cannot_be() {
    let message = "the process event at offset 48 cannot be read: option 5 at byte 24 of the block cannot be 3 bytes \
                   long";
    refused(
        "01010000 24000000 01000000 00000000 00000000
            0C00 0000 0500 0300 AABBCC00 24000000",
        ReadErrorKind::OptionLength { code: 5, at: 24, length: 3 },
        message,
    );
    let message = "the connection event at offset 48 cannot be read: option 1 at byte 24 of the block runs past its end";
    refused(
        "02010000 28000000 01000000 02000000 00000000 00000000
            0100 FFFF 00000000 00000000 28000000",
        ReadErrorKind::OptionOverrun { code: 1, at: 24 },
        message,
    );
}

#[test]
fn options_need_no_end_and_may_repeat() {
    let stream = hex(&[
        HEAD,
        "01010000 3C000000 01000000 00000000 00000000
            0500 0400 07000000    ; parent 7
            0500 0100 08000000    ; again, with a length that the first could not have
            0300 0100 2F000000    ; path, in two parts
            0300 0300 78797A00
            0400 0000             ; no arguments
            3C000000",
    ]
    .join("\n"));
    let mut events = 0;
    read(&stream, &[9], |_, block, _, _| {
        if let Block::Process(event) = block {
            events += 1;
            assert_eq!(event.parent, Some(7));
            assert_eq!(event.path.as_deref(), Some(&b"/xyz"[..]));
            assert_eq!(event.arguments.as_deref(), Some(&b""[..]));
            assert_eq!(event.other, [RawOption { code: 5, value: Cow::Borrowed(&[8]) }]);
        }
    })
    .unwrap();
    assert_eq!(events, 1);
}

#[test]
fn the_windows_original_does_not_know_a_process() {
    let stream = hex(&[
        HEAD,
        "06000000 2C000000 00000000 00000000 00000000 00000000 00000000 0201 0400 FFFFFFFF 0000 0000 2C000000",
    ]
    .join("\n"));
    read(&stream, &[64], |_, block, _, _| {
        if let Block::Packet(packet) = block {
            assert_eq!(packet, &Packet::default());
        }
    })
    .unwrap();
}

#[test]
fn each_block_has_the_time_of_its_interface() {
    let packet = |interface| Packet { interface, timestamp: 5, ..Default::default() };
    let nanos = Interface { resolution: Resolution::NANOS, offset_seconds: 1, ..interface() };
    let stream = emit(
        &[
            Block::Section(Section::default()),
            Block::Process(ProcessEvent { timestamp: 5, ..Default::default() }),
            Block::Interface(interface()),
            Block::Interface(nanos),
            Block::Packet(packet(0)),
            Block::Packet(packet(1)),
            Block::ObsoletePacket(ObsoletePacket { interface: 1, timestamp: 5, ..Default::default() }),
            Block::Statistics(Statistics { interface: 1, timestamp: 5, ..Default::default() }),
            Block::Statistics(Statistics { interface: 2, timestamp: 5, ..Default::default() }),
            Block::Section(Section::default()),
            Block::Interface(Interface { resolution: Resolution::NANOS, ..interface() }),
            Block::Process(ProcessEvent { timestamp: 5, ..Default::default() }),
        ],
        ByteOrder::Big,
    );
    let mut times = vec![];
    read(&stream, &[3], |_, _, _, nanos| times.push(nanos)).unwrap();
    let second = Some(1_000_000_005);
    assert_eq!(
        times,
        [None, Some(5_000), None, None, Some(5_000), second, second, second, None, None, None, Some(5)]
    );
}

#[test]
fn a_block_of_the_limit_is_read_and_a_longer_one_is_not() {
    let mut stream = hex(HEAD);
    let block = Block::Unknown { kind: 7, body: Cow::Owned(vec![0; 88]) };
    block.emit(ByteOrder::Little, &mut stream).unwrap();
    for (limit, result) in [(100, Ok(3)), (99, Err(ReadErrorKind::OverLimit { length: 100, limit: 99 }))] {
        let mut reader = Reader::with_limit(limit);
        reader.feed(&stream).unwrap();
        let mut blocks = 0;
        let read = loop {
            match reader.next_block() {
                Ok(Some(_)) => blocks += 1,
                Ok(None) => break Ok(blocks),
                Err(error) => break Err(error.reason),
            }
        };
        assert_eq!(read, result);
    }
}

#[test]
fn what_is_too_long_leaves_the_output_as_it_was() {
    let long = || Some(Cow::Owned(vec![b'a'; 65_536]));
    let huge = || Some(Cow::Owned(vec![b'a'; MAX_LENGTH as usize]));
    let raw = |code, length| vec![RawOption { code, value: Cow::Owned(vec![0; length]) }];
    let too_long = |what| EmitError::TooLong { what };
    let cases = [
        (Block::Section(Section { os: long(), ..Default::default() }), too_long("operating system")),
        (
            Block::Interface(Interface { description: long(), ..interface() }),
            too_long("interface description"),
        ),
        (
            Block::Process(ProcessEvent { command_line: long(), ..Default::default() }),
            too_long("command line"),
        ),
        (Block::Process(ProcessEvent { path: huge(), ..Default::default() }), too_long("block")),
        (Block::Packet(Packet { data: huge().unwrap(), ..Default::default() }), too_long("block")),
        (Block::Packet(Packet { other: raw(1, 65_536), ..Default::default() }), too_long("option")),
        (Block::Packet(Packet { other: raw(0, 0), ..Default::default() }), EmitError::EndOfOptions),
    ];
    for (block, error) in cases {
        let mut out = vec![1, 2, 3];
        assert_eq!(block.emit(ByteOrder::Little, &mut out), Err(error));
        assert_eq!(out, [1, 2, 3]);
        assert!(!error.to_string().is_empty());
    }
    let named = ProcessEvent { arguments: huge(), ..Default::default() }.emit(ByteOrder::Big, &mut vec![]);
    assert_eq!(named, Err(too_long("process event")));
    assert_eq!(too_long("command line").to_string(), "the command line is too long for a block");
}

#[test]
fn the_longest_option_and_the_longest_block_are_emitted() {
    let event = ProcessEvent { command_line: Some(Cow::Owned(vec![b'a'; 65_535])), ..Default::default() };
    let body = vec![0; MAX_LENGTH as usize - 12];
    let stream = emit(
        &[
            Block::Section(Section::default()),
            Block::Process(event),
            Block::Unknown { kind: 7, body: Cow::Owned(body) },
        ],
        ByteOrder::Little,
    );
    let mut lengths = vec![];
    read(&stream, &[1 << 20], |_, _, raw, _| lengths.push(raw.len())).unwrap();
    assert_eq!(lengths, [28, 12 + 12 + 4 + 65_536 + 4, MAX_LENGTH as usize]);
}
