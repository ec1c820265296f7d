//! What is behind each link layer, also where it is malformed, as tshark says it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hone_pcapng::ByteOrder;
use serde_json::Value;

use crate::fixture::{Stream, classic, udp, v4, v6};
use crate::tools::{file, honeutil, show_stdin, shown};

/// Not a port that tshark takes for another protocol's.
const PORTS: [u16; 2] = [40_001, 40_002];

fn four() -> Vec<u8> {
    v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(PORTS[0], PORTS[1], 4))
}

fn six() -> Vec<u8> {
    v6(17, 1, 2, &udp(PORTS[0], PORTS[1], 4))
}

/// IPv4, with this first byte and total length.
fn broken(first: u8, total: u16) -> Vec<u8> {
    let mut packet = four();
    packet[0] = first;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet
}

/// IPv6 with one extension header of this number.
fn extended(number: u8) -> Vec<u8> {
    v6(number, 1, 2, &[&[17, 0, 0, 0, 0, 0, 0, 0][..], &udp(PORTS[0], PORTS[1], 4)].concat())
}

/// Link type, its header, packet.
fn cases() -> Vec<(u32, &'static [u8], Vec<u8>)> {
    let mut cases: Vec<(u32, &'static [u8], Vec<u8>)> = vec![
        (0, &[2, 0, 0, 0], four()),
        (0, &[0, 0, 0, 2], four()),
        (0, &[24, 0, 0, 0], six()),
        (0, &[0, 0, 0, 28], six()),
        (0, &[30, 0, 0, 0], six()),
        (0, &[24, 0, 0, 0], four()),
        (108, &[0, 0, 0, 2], four()),
        (108, &[0, 0, 0, 30], six()),
        (108, &[2, 0, 0, 0], four()),
        (9, &[0xFF, 3, 0, 0x21], four()),
        (9, &[0, 0x21], four()),
        (9, &[0x21], four()),
        (9, &[0xFF, 3, 0x57], six()),
        (9, &[0x0F, 0, 8, 0], four()),
        (50, &[0xFF, 3, 0, 0x57], six()),
        (104, &[0x0F, 0, 8, 0], four()),
        (12, &[], four()),
        (14, &[], six()),
        (101, &[], four()),
        (101, &[], six()),
        (228, &[], four()),
        (228, &[], six()),
        (229, &[], six()),
        (229, &[], four()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], four()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0], four()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xDD], six()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0x64, 0x11, 0, 0, 1, 0, 34, 0, 0x21], four()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xDD], four()),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], six()),
        (113, &[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], four()),
        (113, &[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 5, 0x86, 0xDD], six()),
        (276, &[8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], four()),
        (276, &[0x81, 0, 0, 0, 0, 0, 0, 1, 3, 4, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0x86, 0xDD], six()),
        // Header lengths that cannot be, and a packet that ends before its frame does.
        (101, &[], broken(0x40, 32)),
        (101, &[], broken(0x44, 32)),
        (101, &[], broken(0x4F, 32)),
        (101, &[], broken(0x45, 19)),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], broken(0x45, 22)),
        (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], broken(0x44, 32)),
    ];
    cases.extend([0, 43, 44, 51, 60].map(|number| (101, &[][..], extended(number))));
    cases
}

fn packet_objects(bytes: &[u8]) -> Vec<Value> {
    let lines = shown(&["--json"], bytes);
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tshark(path: &Path) -> Option<Vec<String>> {
    let fields = ["ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "udp.srcport", "udp.dstport"];
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields"]).args(fields.iter().flat_map(|field| ["-e", field]));
    let Ok(output) = command.arg("-r").arg(path).output() else {
        println!("skipped: comparison with tshark: it is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let joined =
        |line: &str| line.split('\t').filter(|field| !field.is_empty()).collect::<Vec<_>>().join(" ");
    Some(text.lines().map(joined).collect())
}

#[test]
fn addresses_and_ports_of_each_link_type_are_those_of_tshark() {
    let directory = tempfile::tempdir().unwrap();
    let mut by_type: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for (link_type, header, packet) in cases() {
        by_type.entry(link_type).or_default().push([header, &packet].concat());
    }
    for (link_type, packets) in by_type {
        let bytes = classic(0xA1B2_C3D4, ByteOrder::Little, link_type, 0, &packets);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let ends = |object: &Value| {
            let fields = ["ip", "port"]
                .into_iter()
                .flat_map(|field| ["source", "destination"].map(|end| object[end].get(field).map(text)));
            fields.flatten().collect::<Vec<_>>().join(" ")
        };
        let shown: Vec<_> = packet_objects(&bytes).iter().map(ends).collect();
        let Some(expected) = tshark(&file(&directory, "a.pcap", &bytes)) else { return };
        assert_eq!(shown, expected, "link type {link_type}");
        assert!(shown.iter().any(|ends| ends.contains("40001")), "link type {link_type}");
    }
}

#[test]
fn filters_match_in_each_link_type_and_in_pcapng_too() {
    for (link_type, header, packet) in cases() {
        let data = [header, &packet].concat();
        let link_type = u16::try_from(link_type).unwrap();
        let mut stream = Stream::with_link_type(ByteOrder::Big, link_type);
        stream.packet(&data, 0, None, None);
        let object = &packet_objects(&stream.bytes)[1];
        let has_ports = usize::from(object["source"].get("port").is_some());
        for options in [["--port", "40002"], ["--filter", "udp port 40002"]] {
            assert_eq!(shown(&options, &stream.bytes).len(), has_ports, "{link_type} {header:x?}");
        }
        let host = if object["network"]["type"] == "ipv6" { "fe80::2" } else { "10.0.0.2" };
        let has_addresses = usize::from(object.get("source").is_some());
        assert_eq!(shown(&["--host", host], &stream.bytes).len(), has_addresses, "{link_type} {header:x?}");
    }
}

#[test]
fn a_malformed_packet_is_shown_as_such() {
    let malformed = |link_type, packet: &[u8]| {
        let mut stream = Stream::with_link_type(ByteOrder::Little, link_type);
        stream.packet(packet, 1, None, None);
        let object = &packet_objects(&stream.bytes)[1];
        let line = shown(&[], &stream.bytes).remove(1);
        let words = object["hone"]["packet"].get("malformed").map(|words| words.as_str().unwrap().to_owned());
        assert_eq!((object.get("source"), object.get("destination")), (None, None));
        let said = words
            .as_ref()
            .map_or_else(String::new, |words| format!(" malformed={}", words.replace(' ', "-")));
        assert!(line.ends_with(&format!(" in  - len={}{said} how=kernel", packet.len())), "{line}");
        words
    };
    for (first, total) in [(0x40, 32), (0x44, 32), (0x4F, 32), (0x45, 19)] {
        assert_eq!(malformed(101, &broken(first, total)).as_deref(), Some("header length"));
    }
    assert_eq!(malformed(229, &four()).as_deref(), Some("ip version"));
    assert_eq!(malformed(101, &[0x55; 40]).as_deref(), Some("ip version"));
    assert_eq!(malformed(101, &four()[..19]), None, "cut, which is no fault of the packet");
    assert_eq!(malformed(101, &[]), None);
}

#[test]
fn a_cooked_capture_says_the_direction() {
    let sent = [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &four()].concat();
    let received = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &four()].concat();
    let bytes = classic(0xA1B2_C3D4, ByteOrder::Little, 113, 0, &[sent, received]);
    let lines = shown(&[], &bytes);
    assert!(lines[0].contains(" out udp ") && lines[1].contains(" in  udp "), "{lines:?}");
    assert_eq!(shown(&["--filter", "inbound"], &bytes), lines[1..]);
}

#[test]
fn a_link_type_that_is_not_decoded_is_noted_once_and_matches_no_filter() {
    let mut stream = Stream::with_link_type(ByteOrder::Little, 147);
    for _ in 0..3 {
        stream.packet(&four(), 1, None, None);
    }
    let show = |options: &[&str]| {
        let output = show_stdin(options, &stream.bytes);
        assert_eq!(output.status.code(), Some(0));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let note = "honeutil: standard input: link type 147 is not decoded: its packets have no addresses and ports, and \
                --host, --port, --direction and --filter cannot match them\n";
    let (lines, said) = show(&[]);
    assert_eq!((lines.lines().count(), &*said), (4, note));
    assert!(lines.lines().skip(1).all(|line| line.ends_with(" in  - len=32 link=147 how=kernel")), "{lines}");
    for options in [
        ["--port", "40001"],
        ["--host", "0.0.0.0/0"],
        ["--filter", "udp"],
        ["--filter", "not udp"],
        ["--filter", "not port 40001"],
        ["--filter", "len < 100"],
    ] {
        assert_eq!(show(&options), (String::new(), note.to_owned()), "{options:?}");
    }
    let object: Value = serde_json::from_str(show(&["--json"]).0.lines().nth(1).unwrap()).unwrap();
    assert_eq!(object["hone"]["packet"]["link_type"], 147);
}

#[test]
fn each_input_has_its_own_note() {
    let directory = tempfile::tempdir().unwrap();
    let packets = [four()];
    let paths = [147, 148, 101].map(|link_type| {
        let bytes = classic(0xA1B2_C3D4, ByteOrder::Big, link_type, 0, &packets);
        file(&directory, &format!("{link_type}.pcap"), &bytes)
    });
    let output = honeutil(["show"]).args(&paths).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    let notes: Vec<_> = notes.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("147.pcap: link type 147 ") && notes[1].contains("148.pcap: link type 148 "));
}
