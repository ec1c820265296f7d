//! Processes as other tools write them, byte for byte.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may abort")]

use std::borrow::Cow;

use hone_pcapng::foreign::{
    AppleProcess, WiresharkProcess, apple_effective_process, apple_process, process_threads,
};
use hone_pcapng::{ByteOrder, Packet, ProcessThread, RawOption, ReadErrorKind};

/// What follows the enterprise number in a block with every option, as Wireshark's own test file has it.
const FULL: &str = "0300000094000000d2040000020004006375726c03000d002f7573722f62696e2f6375726c000000040019006375726c00\
    68747470733a2f2f6578616d706c652e636f6d2f000000050004000100000006000400e803000007000500616c696365000000080010006b\
    8b4567327b23c6643c986966334873090008000000faed5172861801000d0066697273742070726f6365737300000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// A body whose enterprise number is in the section's order.
fn body(enterprise: [u8; 4], rest: &str) -> Vec<u8> {
    [&enterprise[..], &bytes(rest)].concat()
}

fn text(value: Option<&Cow<'_, [u8]>>) -> String {
    String::from_utf8(value.expect("the option is there").to_vec()).expect("UTF-8")
}

#[test]
fn a_process_of_wireshark_has_every_field_in_sections_of_both_orders() {
    for (order, number) in
        [(ByteOrder::Little, 32_622_u32.to_le_bytes()), (ByteOrder::Big, 32_622_u32.to_be_bytes())]
    {
        let body = body(number, FULL);
        let found = WiresharkProcess::parse(&body, order).expect("sound").expect("a process");
        assert_eq!(found.process, 1234);
        assert_eq!(text(found.name.as_ref()), "curl");
        assert_eq!(text(found.path.as_ref()), "/usr/bin/curl");
        assert_eq!(text(found.arguments.as_ref()), "curl\0https://example.com/");
        assert_eq!((found.parent, found.user), (Some(1), Some(1000)));
        assert_eq!(text(found.user_name.as_ref()), "alice");
        assert_eq!(found.uuid.map(|uuid| uuid[..4].to_vec()), Some(vec![0x6b, 0x8b, 0x45, 0x67]));
        assert_eq!(found.start, Some(0x1886_7251_edfa_0000));
        let [comment] = &found.other[..] else { panic!("one comment: {:?}", found.other) };
        assert_eq!((comment.code, &comment.value[..]), (1, &b"first process"[..]));
    }
}

#[test]
fn the_smallest_process_of_wireshark_has_only_an_id() {
    let body = body(32_622_u32.to_le_bytes(), "0300000004000000e1100000");
    let found = WiresharkProcess::parse(&body, ByteOrder::Little).expect("sound");
    assert_eq!(found, Some(WiresharkProcess { process: 4321, ..WiresharkProcess::default() }));
}

#[test]
fn other_custom_blocks_are_no_processes() {
    let other_enterprise = body(1_u32.to_le_bytes(), "0300000004000000e1100000");
    let other_entry = body(32_622_u32.to_le_bytes(), "0100000004000000e1100000");
    for body in [other_enterprise, other_entry] {
        assert_eq!(WiresharkProcess::parse(&body, ByteOrder::Little), Ok(None));
    }
}

#[test]
fn a_wrong_length_in_a_process_of_wireshark_is_an_error() {
    let number = 32_622_u32.to_le_bytes();
    for (code, length, at) in [(5, 8, 24), (6, 8, 24), (8, 8, 24), (9, 4, 24)] {
        let options = format!("{code:02x}00{length:02x}00{}", "00".repeat(length));
        let entry = format!("03000000{:02x}000000e1100000{options}", 8 + length);
        assert_eq!(
            WiresharkProcess::parse(&body(number, &entry), ByteOrder::Little),
            Err(ReadErrorKind::OptionLength { code, at, length })
        );
    }
    assert_eq!(
        WiresharkProcess::parse(&body(number, "0300000008000000e1100000"), ByteOrder::Little),
        Err(ReadErrorKind::BodyTooShort { length: 16, minimum: 20 })
    );
}

#[test]
fn a_process_of_wireshark_cut_anywhere_is_an_error() {
    let body = body(32_622_u32.to_le_bytes(), FULL);
    for length in 0..body.len() {
        let cut = WiresharkProcess::parse(&body[..length], ByteOrder::Little);
        assert!(cut.is_err(), "cut to {length} bytes: {cut:?}");
    }
}

#[test]
fn a_process_of_apple_has_its_name_and_uuid() {
    let body = bytes("d2040000020004006375726c04001000000102030405060708090a0b0c0d0e0f00000000");
    let found = AppleProcess::parse(&body, ByteOrder::Little).expect("sound");
    assert_eq!((found.process, text(found.name.as_ref())), (1234, "curl".to_owned()));
    assert_eq!(found.uuid, Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
    assert_eq!(
        AppleProcess::parse(&bytes("d20400000400040000000000"), ByteOrder::Little),
        Err(ReadErrorKind::OptionLength { code: 4, at: 12, length: 4 })
    );
}

#[test]
fn the_options_of_a_packet_name_processes_in_the_order_of_the_section() {
    let option = |code, hex| RawOption { code, value: Cow::Owned(bytes(hex)) };
    let packet = Packet {
        other: vec![
            option(8, "000004d200000005"),
            option(8, "000004d2"),
            option(8, "0000000700000000"),
            option(0x8001, "00000002"),
            option(0x8003, "00000003"),
        ],
        ..Packet::default()
    };
    let found: Vec<_> = process_threads(&packet, ByteOrder::Big).collect();
    let expected = [
        ProcessThread { process: Some(1234), thread: Some(5) },
        ProcessThread { process: Some(7), thread: None },
    ];
    assert_eq!(found, expected);
    assert_eq!(apple_process(&packet, ByteOrder::Big), Some(2));
    assert_eq!(apple_effective_process(&packet, ByteOrder::Big), Some(3));
}
