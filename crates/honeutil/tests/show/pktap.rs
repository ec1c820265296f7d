//! Packets of macOS with the header PKTAP: shown, and converted.

use hone_pcapng::{Block, ByteOrder, Packet, RawOption, Reader};
use serde_json::Value;

use crate::fixture::{Stream, classic, everyday, hostile, udp, v4};
use crate::tools::{file, honeutil, show_stdin, shown, with_input};

const MICROS: u32 = 0xA1B2_C3D4;
const NANOS: u32 = 0xA1B2_3C4D;
const FORMS: [&str; 6] = ["hone", "wireshark", "darwin", "comments", "pktap", "pcap"];
const OUT: u32 = 2;
const IN: u32 = 1;

/// A packet with such a header of this length: for a packet of this DLT, of an interface, with a direction, a process and
/// the one that it acts for.
struct Header<'a> {
    length: usize,
    link_type: u32,
    flags: u32,
    process: (u32, &'a str),
    effective: (u32, &'a str),
}

impl Header<'_> {
    fn before(&self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let words = [(0, u32::try_from(self.length).unwrap()), (4, 1), (8, self.link_type), (36, self.flags)];
        for (at, word) in words.into_iter().chain([(52, self.process.0), (84, self.effective.0)]) {
            set(at, &word.to_le_bytes());
        }
        set(12, b"en0");
        set(56, self.process.1.as_bytes());
        set(88, self.effective.1.as_bytes());
        if self.length >= 156 {
            set(124, b"uuid-of-one-prog");
        }
        bytes.extend(packet);
        bytes
    }
}

fn query() -> Vec<u8> {
    v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(1234, 53, 4))
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &[8, 0], packet].concat()
}

/// Four packets: of a process that acts for another one; of the same; of none; of one with the id of the first.
fn packets() -> Vec<Vec<u8>> {
    let none = (u32::MAX, "");
    let first = Header {
        length: 156,
        link_type: 1,
        flags: OUT,
        process: (77, "mDNSResponder"),
        effective: (9, "Safari"),
    };
    let same = Header { length: 156, effective: none, flags: IN, ..first };
    let kernel = Header { length: 108, link_type: 12, flags: IN, process: none, effective: none };
    let reused = Header { process: (77, "reused"), length: 108, ..same };
    let frame = ethernet(&query());
    vec![first.before(&frame), same.before(&frame), kernel.before(&query()), reused.before(&frame)]
}

/// Converts through pipes; returns the result and what was said.
#[track_caller]
fn convert(form: &str, recording: &[u8]) -> (Vec<u8>, String) {
    let output = with_input(&mut honeutil(["convert", "-", "-", "--to", form]), recording);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{form}: {said}");
    (output.stdout, said)
}

/// Of each packet: time, addresses, length; then process id, name and direction.
fn facts(recording: &[u8]) -> Vec<([String; 3], [String; 3])> {
    let objects = shown(&["--json"], recording);
    let objects = objects.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let packets = objects.filter(|object| object["event"]["action"] == "packet");
    packets
        .map(|packet| {
            let text = |value: &Value| value.to_string();
            let network = &packet["network"];
            let process = [&packet["process"]["pid"], &packet["process"]["name"], &network["direction"]];
            let ends = format!("{} {}", packet["source"], packet["destination"]);
            ([text(&packet["@timestamp"]), ends, text(&network["bytes"])], process.map(text))
        })
        .collect()
}

#[test]
fn the_process_of_each_header_is_shown() {
    let expected = [
        "77 -        mDNSResponder   out udp 10.0.0.1:1234 > 10.0.0.2:53",
        "77 -        mDNSResponder   in  udp 10.0.0.1:1234 > 10.0.0.2:53",
        "- -        -               in  udp 10.0.0.1:1234 > 10.0.0.2:53",
        "77 -        reused          in  udp 10.0.0.1:1234 > 10.0.0.2:53",
    ];
    let mut blocks = Stream::with_link_type(ByteOrder::Big, 258);
    for packet in packets() {
        blocks.packet(&packet, 0, None, None);
    }
    // An interface of PCAP-NG, and both byte orders of libpcap.
    let files = [ByteOrder::Little, ByteOrder::Big].map(|order| classic(MICROS, order, 258, 5, &packets()));
    for recording in files.iter().chain([&without_how(&blocks.bytes)]) {
        let lines = shown(&["--port", "53"], recording);
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{line}");
        }
        assert_eq!(lines.len(), 4);
        let named = show_stdin(&["--name", "reused", "--direction", "in"], recording);
        assert_eq!(String::from_utf8(named.stdout).unwrap().lines().count(), 1);
        assert_eq!(String::from_utf8(named.stderr).unwrap(), "", "it has processes");
    }
}

/// The same blocks, of packets of which Hone has said nothing.
fn without_how(recording: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new();
    reader.feed(recording).unwrap();
    let mut out = Vec::new();
    while let Some(mut item) = reader.next_block().unwrap() {
        if let Block::Packet(packet) = &mut item.block {
            (packet.how, packet.flags) = (None, None);
        }
        item.block.emit(item.order, &mut out).unwrap();
    }
    out
}

#[test]
fn json_has_the_uuid_and_the_process_that_another_one_acts_for() {
    let lines = shown(&["--json"], &classic(NANOS, ByteOrder::Little, 258, 5, &packets()));
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["hone"]["effective_process"], serde_json::json!({ "pid": 9, "name": "Safari" }));
    assert_eq!(objects[0]["hone"]["executable_uuid"], "75756964-2d6f-662d-6f6e-652d70726f67");
    assert!(objects[1]["hone"].get("effective_process").is_none());
    assert!(objects[3]["hone"].get("executable_uuid").is_none(), "it is another program");
}

#[test]
fn libpcap_files_become_recordings_of_hone() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for magic in [MICROS, NANOS] {
            let file = classic(magic, order, 258, 5, &packets());
            let (made, said) = convert("hone", &file);
            assert!(said.contains("not in this form: 1 process id and 1 UUID"), "{said}");
            assert_eq!(facts(&made)[0].1, ["77", "\"mDNSResponder\"", "\"egress\""].map(str::to_owned));
            assert_eq!(facts(&made), facts(&file));
            assert_eq!(shown(&["--name", "mDNSResponder"], &made).len(), 3, "its event and two packets");
            let mut reader = Reader::new();
            reader.feed(&made).unwrap();
            let mut kinds = Vec::new();
            while let Some(item) = reader.next_block().unwrap() {
                kinds.push(item.block.kind());
                if let Block::Interface(interface) = &item.block {
                    assert_eq!(&interface.other[0].value[..], b"en0", "the interface keeps its name");
                }
                if let Block::Packet(Packet { data, original_length, .. }) = &item.block {
                    assert_eq!(u32::try_from(data.len()).unwrap(), *original_length);
                }
            }
            assert_eq!(
                kinds,
                [0x0A0D_0D0A, 1, 0x101, 6, 6, 1, 6, 0x101, 6],
                "each kind of packets has its interface"
            );
        }
        let plain = classic(MICROS, order, 1, 5, &[ethernet(&query())]);
        for form in ["hone", "wireshark", "darwin", "comments"] {
            let (made, said) = convert(form, &plain);
            assert_eq!((facts(&made), said.as_str()), (facts(&plain), "1 packet: standard output\n"));
        }
    }
}

#[test]
fn each_form_comes_back_from_each_other_one() {
    for recording in [everyday(ByteOrder::Big), hostile()] {
        let whole = facts(&recording);
        for first in FORMS {
            let (once, _) = convert(first, &recording);
            for second in FORMS {
                let found = facts(&convert(second, &once).0);
                let plain = [first, second].contains(&"pcap");
                let cuts = [first, second].contains(&"pktap");
                assert_eq!(found.len(), whole.len(), "{first}, {second}");
                for ((packet, process), (packet_then, mut then)) in found.into_iter().zip(whole.clone()) {
                    if plain {
                        then = [const { Value::Null }; 3].map(|null| null.to_string());
                    } else if cuts && then[1].len() > 21 {
                        let cut = process[1].trim_matches('"');
                        assert!(cut.len() > 10 && then[1].trim_matches('"').starts_with(cut), "{cut}");
                        then[1].clone_from(&process[1]);
                    }
                    assert_eq!((packet, process), (packet_then, then), "{first}, {second}");
                }
            }
        }
    }
}

#[test]
fn a_header_that_is_there_already_stays_as_it_is() {
    let file = classic(NANOS, ByteOrder::Little, 258, 5, &packets());
    let (same, said) = convert("pktap", &file);
    assert_eq!((same, said.as_str()), (file, "4 packets: standard output\n"));
    let mut odd = packets();
    odd[0][0] = 0;
    odd[3][4] = 0;
    let file = classic(NANOS, ByteOrder::Little, 258, 5, &odd);
    let (made, _) = convert("hone", &file);
    let mut reader = Reader::new();
    reader.feed(&made).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next_block().unwrap() {
        if let Block::Packet(packet) = &item.block {
            found.push(packet.data.to_vec());
        }
    }
    assert_eq!((&found[0], &found[3]), (&odd[0], &odd[3]), "what cannot be read is kept");
    assert_eq!((&found[1], &found[2]), (&ethernet(&query()), &query()));
}

#[test]
fn a_libpcap_file_without_a_packet_is_a_recording_without_one() {
    for link_type in [1, 258] {
        let empty = classic(MICROS, ByteOrder::Big, link_type, 0, &[]);
        // No packet says what is behind the headers of PKTAP.
        for form in FORMS.into_iter().filter(|form| (link_type, *form) != (258, "pcap")) {
            let (made, _) = convert(form, &empty);
            assert_eq!(facts(&made), facts(&empty), "{form}");
            assert!(!made.is_empty());
        }
    }
}

#[test]
fn the_process_that_another_one_acts_for_stays_where_a_form_has_it() {
    let mut stream = Stream::with_link_type(ByteOrder::Little, 1);
    for (pid, name) in [(5_u32, b"mail"), (6, b"peer")] {
        let body = [&pid.to_le_bytes()[..], b"\x02\0\x04\0", name, &[0; 4]].concat();
        stream.block(&Block::Unknown { kind: 0x8000_0001, body: body.into() });
    }
    let option = |code, index: u8| RawOption { code, value: vec![index, 0, 0, 0].into() };
    let other = vec![option(0x8001, 0), option(0x8003, 1)];
    let frame = ethernet(&query());
    stream.block(&Block::Packet(Packet {
        data: (&frame[..]).into(),
        original_length: 46,
        other,
        ..Packet::default()
    }));
    let expected = serde_json::json!({ "pid": 6, "name": "peer" });
    let effective = |recording: &[u8]| {
        let lines = shown(&["--json"], recording);
        serde_json::from_str::<Value>(lines.last().unwrap()).unwrap()["hone"]["effective_process"].clone()
    };
    assert_eq!(effective(&stream.bytes), expected);
    for form in ["wireshark", "darwin", "comments", "pktap"] {
        assert_eq!(effective(&convert(form, &stream.bytes).0), expected, "{form}");
    }
    for form in ["hone", "pcap"] {
        let (made, said) = convert(form, &stream.bytes);
        assert!(effective(&made).is_null() && said.contains("process id"), "{form}: {said}");
    }
}

#[test]
fn plain_packets_come_out_of_headers_in_pcapng() {
    let mut blocks = Stream::with_link_type(ByteOrder::Little, 258);
    for packet in &packets()[..2] {
        blocks.packet(packet, 0, None, None);
    }
    let blocks = without_how(&blocks.bytes);
    let (plain, said) = convert("pcap", &blocks);
    assert!(said.contains("not in this form: 3 process ids"), "{said}");
    assert_eq!(plain[20..24], [1, 0, 0, 0], "the link type behind the header");
    assert!(plain.ends_with(&ethernet(&query())));
    let (hone, _) = convert("hone", &blocks);
    assert_eq!(facts(&hone), facts(&blocks));
    assert_eq!(shown(&["--name", "mDNSResponder"], &hone).len(), 3, "its event and two packets");
}

#[test]
fn what_comes_before_the_torn_end_of_a_libpcap_file_is_converted() {
    let directory = tempfile::TempDir::new().unwrap();
    let whole = classic(MICROS, ByteOrder::Big, 258, 0, &packets());
    let torn = file(&directory, "torn.pcap", &whole[..whole.len() - 3]);
    let out = directory.path().join("out.pcapng.gz");
    let output = honeutil(["convert", "--to", "hone"]).args([&torn, &out]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("torn.pcap") && said.contains("the file ends inside it"), "{said}");
    let shown = honeutil(["show", "--port", "53"]).arg(&out).output().unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap().lines().count(), 3);
}
