//! Files that other programs wrote: older kinds of packet blocks, libpcap's classic format, compressed with gzip.

use std::borrow::Cow;
use std::io::Write as _;

use hone_pcapng::{Block, ByteOrder, ObsoletePacket, Section, SimplePacket};
use serde_json::Value;

use crate::fixture::{NOON, Stream, classic, tcp, udp, v4, v6};
use crate::tools::{file, honeutil, show_stdin, shown};

const MICROS: u32 = 0xA1B2_C3D4;
const NANOS: u32 = 0xA1B2_3C4D;
const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

fn query() -> Vec<u8> {
    v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(1234, 53, 4))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A simple packet, an obsolete and an enhanced one.
fn mixed(order: ByteOrder) -> Vec<u8> {
    let (data, original_length) = (query(), 32);
    let mut stream = Stream::new(order);
    stream.block(&Block::SimplePacket(SimplePacket { original_length, data: Cow::Borrowed(&data) }));
    stream.block(&Block::ObsoletePacket(ObsoletePacket {
        timestamp: NOON + 1,
        original_length,
        data: Cow::Borrowed(&data),
        flags: Some(2),
        ..Default::default()
    }));
    stream.packet(&data, 1, None, None);
    stream.bytes
}

#[test]
fn a_packet_in_any_kind_of_block_is_shown() {
    for order in ORDERS {
        let lines = shown(&["--filter", "udp port 53"], &mixed(order));
        let ends = "udp 10.0.0.1:1234 > 10.0.0.2:53 len=32";
        let packet = "PAKT       - -        -              ";
        assert_eq!(
            lines,
            [
                format!("{:30} {packet} -   {ends}", "-"),
                format!("2026-07-30T12:00:00.000000001Z {packet} out {ends}"),
                format!("2026-07-30T12:00:00.000001000Z {packet} in  {ends} how=kernel"),
            ]
        );
        assert_eq!(shown(&[], &mixed(order)).len(), 4);
    }
}

#[test]
fn a_packet_without_a_time_has_no_timestamp_in_json() {
    let objects: Vec<Value> = shown(&["--json", "--port", "53"], &mixed(ByteOrder::Little))
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0].get("@timestamp"), None);
    assert_eq!(objects[1]["@timestamp"], "2026-07-30T12:00:00.000000001Z");
    for object in &objects {
        assert_eq!((&object["destination"]["port"], &object["network"]["bytes"]), (&53.into(), &32.into()));
    }
}

#[test]
fn a_simple_packet_without_an_interface_is_an_error_that_says_where() {
    for order in ORDERS {
        let mut bytes = Vec::new();
        Section::default().emit(order, &mut bytes).unwrap();
        let offset = bytes.len();
        let packet = SimplePacket { original_length: 32, data: Cow::Owned(query()) };
        packet.emit(order, &mut bytes).unwrap();
        let output = show_stdin(&[], &bytes);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains(&format!("the simple packet at offset {offset} cannot be read")),
            "{message}"
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1, "the section");
    }
}

#[test]
fn packets_of_another_interface_have_its_link_type_and_say_so() {
    let mut stream = Stream::new(ByteOrder::Little);
    let interface = hone_pcapng::Interface {
        link_type: 1,
        snap_length: 0,
        description: None,
        resolution: hone_pcapng::Resolution::MICROS,
        offset_seconds: 0,
        other: Vec::new(),
    };
    stream.block(&Block::Interface(interface));
    let data = [&[0; 12][..], &[8, 0], &query()].concat();
    stream.block(&Block::ObsoletePacket(ObsoletePacket {
        interface: 1,
        timestamp: NOON / 1000,
        original_length: 46,
        data: Cow::Owned(data),
        ..Default::default()
    }));
    let lines = shown(&[], &stream.bytes);
    assert!(lines[1].starts_with("2026-07-30T12:00:00.000000000Z"), "{lines:?}");
    assert!(lines[1].ends_with("udp 10.0.0.1:1234 > 10.0.0.2:53 len=46 interface=1"), "{lines:?}");
    let json: Value = serde_json::from_str(&shown(&["--json"], &stream.bytes)[1]).unwrap();
    assert_eq!(json["hone"]["packet"]["interface"], 1);
}

#[test]
fn libpcap_files_of_each_order_and_unit_are_read() {
    let packets = [query(), v6(6, 1, 2, &tcp(1000, 443, 10)), vec![]];
    for order in ORDERS {
        for (magic, time) in [(MICROS, "000123000"), (NANOS, "000000123")] {
            let file = classic(magic, order, 101, 123, &packets);
            let expected = [
                format!(
                    "2026-07-30T12:00:00.{time}Z PAKT       - -        -               -   udp 10.0.0.1:1234 > 10.0.0.2:53 len=32"
                ),
                format!(
                    "2026-07-30T12:00:01.{time}Z PAKT       - -        -               -   tcp [fe80::1]:1000 > [fe80::2]:443 len=70"
                ),
                format!("2026-07-30T12:00:02.{time}Z PAKT       - -        -               -   - len=0"),
            ];
            for bytes in [file.clone(), gzip(&file), zstd::stream::encode_all(&file[..], 1).unwrap()] {
                assert_eq!(shown(&[], &bytes), expected, "{magic:#x} {order:?}");
            }
            assert_eq!(shown(&["--filter", "ip6"], &file), expected[1..2]);
        }
    }
}

#[test]
fn a_recording_compressed_with_gzip_is_shown_like_the_plain_one() {
    let plain = mixed(ByteOrder::Little);
    assert_eq!(shown(&[], &gzip(&plain)), shown(&[], &plain));
    let cut = gzip(&plain.repeat(50));
    let output = show_stdin(&[], &cut[..cut.len() - 4]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with("honeutil: cannot read standard input after "), "{message}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 200, "all that was readable");
}

#[test]
fn a_libpcap_file_that_ends_early_is_shown_so_far() {
    let whole = classic(MICROS, ByteOrder::Little, 101, 0, &[query(), query()]);
    for (end, packets, words) in [
        (20, 0, "the file header at offset 0 cannot be read: the file ends inside it"),
        (30, 0, "the packet at offset 24 cannot be read: the file ends inside it"),
        (whole.len() - 1, 1, "the packet at offset 72 cannot be read: the file ends inside it"),
    ] {
        let output = show_stdin(&[], &whole[..end]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(message, format!("honeutil: standard input: {words}\n"));
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), packets, "{end}");
    }
}

#[test]
fn what_a_libpcap_file_cannot_have_is_said_when_it_is_asked_for() {
    let file = classic(MICROS, ByteOrder::Little, 101, 0, &[query(), query()]);
    for option in [["--pid", "1"], ["--name", "x"], ["--user", "x"], ["--container", "x"], ["--conn", "1"]] {
        let output = show_stdin(&option, &file);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b""[..]));
        assert!(message.contains("has no processes and connections"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn captures_in_other_formats_are_named_with_what_converts_them() {
    let directory = tempfile::tempdir().unwrap();
    for (begin, words) in [
        (&b"\xFD7zXZ\0"[..], "compressed with xz: xz -dc"),
        (b"BZh91AY", "compressed with bzip2: bzip2 -dc"),
        (b"\x04\"M\x18d", "compressed with lz4: lz4 -dc"),
        (b"snoop\0\0\0", "a snoop capture: editcap"),
        (b"\x34\xCD\xB2\xA1\x02\0\x04\0", "a variant of libpcap: editcap"),
        (b"text", "neither PCAP-NG nor libpcap"),
    ] {
        let path = file(&directory, "a", begin);
        for bytes in [begin.to_vec(), gzip(begin)] {
            std::fs::write(&path, bytes).unwrap();
            let output = honeutil(["show".as_ref(), path.as_os_str()]).output().unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(message.contains(words) && message.contains("/a: it is "), "{message}");
        }
    }
}

#[test]
fn no_byte_of_a_libpcap_file_is_a_reason_to_panic() {
    let whole = classic(NANOS, ByteOrder::Big, 1, 0, &[[&[0; 12][..], &[8, 0], &query()].concat()]);
    let mut seed = 7_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    for _ in 0..40 {
        let mut broken = whole.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % broken.len();
            broken[at] = u8::try_from(random() % 256).unwrap();
        }
        for bytes in [broken.clone(), gzip(&broken)] {
            let output = show_stdin(&["--json"], &bytes);
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{message}");
            assert!(!message.contains("panicked"), "{message}");
        }
    }
}
