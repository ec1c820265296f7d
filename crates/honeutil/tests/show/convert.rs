//! `convert`: what recordings become, what comes back, what is said of the rest.

use std::path::Path;
use std::process::Command;

use hone_pcapng::{Block, ByteOrder, Corrected, Method, Packet, ProcessEventKind, Reader};
use tempfile::TempDir;

use crate::fixture::{NOON, Stream, everyday, hostile, tcp, tcp_from, v4};
use crate::tools::{file, honeutil, shown, with_input};

const HERE: [u8; 4] = [10, 0, 0, 1];
const THERE: [u8; 4] = [192, 0, 2, 1];

/// Converts through pipes; returns the result and what was said.
#[track_caller]
fn convert(form: &str, recording: &[u8]) -> (Vec<u8>, String) {
    let output = with_input(&mut honeutil(["convert", "-", "-", "--to", form]), recording);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{form}: {said}");
    (output.stdout, said)
}

/// Each block as its type and its content.
fn blocks(bytes: &[u8]) -> Vec<(u32, String)> {
    let mut reader = Reader::new();
    reader.feed(bytes).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next_block().unwrap() {
        found.push((item.block.kind(), format!("{:?}", item.block)));
    }
    reader.finish().unwrap();
    found
}

/// What a program of Wireshark or tcpdump makes of it; `None` where there is none.
fn other_tool(tool: &str, arguments: &[&str], recording: &Path) -> Option<Vec<String>> {
    let output = match Command::new(tool).arg("-r").arg(recording).args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {tool}: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn what_a_form_with_hones_blocks_has_added_comes_out_again() {
    for recording in [everyday(ByteOrder::Little), everyday(ByteOrder::Big), hostile()] {
        let (clean, _) = convert("hone", &recording);
        assert_eq!(clean, recording, "nothing is to be taken out");
        for form in ["darwin", "comments"] {
            let (bytes, said) = convert(form, &recording);
            assert_ne!(bytes, recording);
            assert_eq!(said.lines().count(), 1, "nothing is lost: {said}");
            assert_eq!(convert("hone", &bytes).0, recording, "{form}");
            assert_eq!(shown(&[], &bytes).len(), shown(&[], &recording).len(), "{form}");
        }
        let (bytes, said) = convert("wireshark", &recording);
        assert_eq!(said.lines().count(), 1, "nothing is lost: {said}");
        assert_eq!(shown(&[], &convert("hone", &bytes).0), shown(&[], &recording));
    }
}

#[test]
fn each_conversion_twice_is_the_same_as_once() {
    let recording = everyday(ByteOrder::Big);
    let (once, _) = convert("comments", &recording);
    assert_eq!(convert("comments", &once).0, once);
}

#[test]
fn a_process_is_described_before_its_first_packet_and_again_after_an_exec() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(5, b"/bin/idle", 0, b"root");
    stream.exec(7, b"/bin/sh", 0, b"root");
    let packet = v4(6, HERE, THERE, &tcp(1, 2, 0));
    stream.packet(&packet, 2, None, Some(7));
    stream.packet(&packet, 2, None, Some(7));
    stream.exec(7, b"/bin/cat", 0, b"root");
    stream.packet(&packet, 2, None, Some(7));
    stream.process(7, ProcessEventKind::Ended, |_| ());
    stream.exec(7, b"/bin/reused", 0, b"root");
    stream.packet(&packet, 2, None, Some(7));
    for (form, kind, option) in
        [("wireshark", 0xBAD, "process_thread: Some"), ("darwin", 0x8000_0001, "code: 32769,")]
    {
        let found = blocks(&convert(form, &stream.bytes).0);
        let order: Vec<u32> = found.iter().map(|(kind, _)| *kind).filter(|kind| *kind != 0x101).collect();
        assert_eq!(order, [0x0A0D_0D0A, 1, kind, 6, 6, kind, 6, kind, 6], "{form}");
        let packets = found.iter().filter(|(kind, _)| *kind == 6);
        assert!(packets.clone().all(|(_, packet)| packet.matches(option).count() == 1), "{form}");
        if form == "darwin" {
            let number = |index: usize| format!("[{index}, 0, 0, 0]");
            let expected = [0, 0, 1, 2].map(number);
            assert!(packets.zip(expected).all(|((_, packet), number)| packet.contains(&number)), "{found:?}");
        }
    }
}

#[test]
fn a_later_correction_reaches_the_packets_of_a_file() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/bin/first", 0, b"root");
    stream.packet(&v4(6, THERE, HERE, &tcp_from(100, 443, 1, 10)), 1, Some(3), Some(7));
    stream.exec(8, b"/bin/second", 0, b"root");
    stream.correction(3, 8, Corrected::Bytes { from: 100, to: 110 }, Ok(Method::Reader));
    let directory = TempDir::new().unwrap();
    let input = file(&directory, "in.pcapng", &stream.bytes);
    let out = directory.path().join("out.pcapng.zst");
    let status = honeutil(["convert", "--to", "comments"]).args([&input, &out]).status().unwrap();
    assert!(status.success());
    let bytes = zstd::decode_all(&std::fs::read(&out).unwrap()[..]).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(
        text.contains("hone: process=second pid=8 user=root path=/bin/second connection=3 direction=in"),
        "{text}"
    );
    assert!(!text.contains("process=first"));
    let again = honeutil(["convert", "--to", "pcap"]).args([&input, &out]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "it exists");
    let before = honeutil(["convert", "--to", "pcap"]).args([&input, &input]).output().unwrap();
    assert_eq!((before.status.code(), std::fs::read(&input).unwrap()), (Some(1), stream.bytes));
}

#[test]
fn libpcap_files_have_the_packets_and_say_what_they_have_not() {
    let recording = everyday(ByteOrder::Big);
    let (plain, said) = convert("pcap", &recording);
    assert_eq!(
        said.lines().nth(1).unwrap(),
        "honeutil: not in this form: 6 process events, 3 connection events, 5 process ids, 4 paths, 4 users, 4 connection ids, \
         6 how-values, 6 directions, 1 statistics block and 1 other block"
    );
    assert_eq!(shown(&[], &plain).iter().filter(|line| line.contains(" PAKT ")).count(), 6);
    let mut expected = b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x65\0\0\0".to_vec();
    let mut reader = Reader::new();
    reader.feed(&recording).unwrap();
    while let Some(item) = reader.next_block().unwrap() {
        let Block::Packet(Packet { data, original_length, .. }) = &item.block else { continue };
        let nanos = item.nanos.unwrap();
        assert!(nanos > NOON);
        let time = [nanos / 1_000_000_000, nanos % 1_000_000_000].map(|part| u32::try_from(part).unwrap());
        let words = [time[0], time[1], u32::try_from(data.len()).unwrap(), *original_length];
        expected.extend(words.map(u32::to_le_bytes).concat());
        expected.extend(&data[..]);
    }
    assert_eq!(plain, expected);
    let (_, said) = convert("pktap", &recording);
    assert!(
        said.contains("4 paths") && !said.contains("process id") && !said.contains("direction"),
        "{said}"
    );
}

#[test]
fn what_a_form_cannot_hold_is_refused_and_leaves_nothing() {
    let mut mixed = Stream::with_link_type(ByteOrder::Little, 101);
    mixed.packet(&v4(17, HERE, THERE, &[0; 8]), 1, None, None);
    mixed.section(1);
    mixed.packet(&[0; 60], 1, None, None);
    let directory = TempDir::new().unwrap();
    let cases: [(&[u8], &str, &str); 3] = [
        (&mixed.bytes, "pcap", "link types 101 and 1,"),
        (b"", "wireshark", "nothing to write"),
        (b"no recording at all", "pcap", "neither PCAP-NG nor libpcap"),
    ];
    for (bytes, form, message) in cases {
        let out = directory.path().join("out");
        let arguments = [Path::new("convert"), Path::new("-"), &out, Path::new("--to"), Path::new(form)];
        let output = with_input(&mut honeutil(arguments), bytes);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message), "{said}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}

#[test]
fn what_comes_before_a_damaged_place_is_converted() {
    let recording = everyday(ByteOrder::Little);
    for form in ["hone", "wireshark", "darwin", "comments", "pktap", "pcap"] {
        let torn = &recording[..recording.len() - 6];
        let output = with_input(&mut honeutil(["convert", "-", "-", "--to", form]), torn);
        assert_eq!(output.status.code(), Some(1), "{form}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("standard input") && said.contains("6 packets"), "{said}");
        let whole = convert(form, &recording).0;
        assert!(whole.starts_with(&output.stdout) && !output.stdout.is_empty(), "{form}");
    }
}

#[test]
fn tshark_and_tcpdump_read_every_form() {
    let directory = TempDir::new().unwrap();
    let made =
        |form: &str, recording: &[u8]| file(&directory, &format!("{form}.cap"), &convert(form, recording).0);
    for recording in [everyday(ByteOrder::Little), everyday(ByteOrder::Big)] {
        for form in ["wireshark", "darwin", "comments", "pktap", "pcap"] {
            let path = made(form, &recording);
            if let Some(lines) = other_tool("tshark", &["-T", "fields", "-e", "frame.time_epoch"], &path) {
                let packets = lines.iter().filter(|line| !line.is_empty()).count();
                assert_eq!(packets, 6, "{form}: {lines:?}");
            }
            if form != "pktap"
                && let Some(lines) = other_tool("tcpdump", &["-nt"], &path)
            {
                assert!(
                    lines.iter().any(|line| line.starts_with("IP 10.0.0.1.40000 > 192.0.2.1.443")),
                    "{form}: {lines:?}"
                );
            }
        }
        let fields = ["-T", "fields", "-e", "pktap.pid", "-e", "pktap.cmdname", "-e", "ip.dst"];
        if let Some(lines) = other_tool("tshark", &fields, &made("pktap", &recording)) {
            assert_eq!(lines[0], "8\tcurl\t192.0.2.1");
        }
        let filter =
            ["-Y", "frame.comment contains \"process=dnsmasq pid=9\"", "-T", "fields", "-e", "frame.comment"];
        if let Some(lines) = other_tool("tshark", &filter, &made("comments", &recording)) {
            assert_eq!(lines.len(), 1, "{lines:?}");
        }
        newer_wireshark(&made("wireshark", &recording), "frame.process.name", "curl");
        newer_wireshark(&made("darwin", &recording), "frame.darwin.process_info.pname", "curl");
    }
}

/// Where Wireshark knows the field, it has this value for the first packet.
fn newer_wireshark(recording: &Path, field: &str, value: &str) {
    let Ok(output) = Command::new("tshark").args(["-G", "fields"]).output() else { return };
    if !String::from_utf8_lossy(&output.stdout).contains(field) {
        eprintln!("skipped: this tshark has no {field}");
        return;
    }
    let lines = other_tool("tshark", &["-T", "fields", "-e", field], recording).unwrap_or_default();
    assert!(lines.iter().any(|line| line == value), "{field}: {lines:?}");
}

#[test]
fn hostile_names_are_one_word_of_a_comment_and_other_comments_stay() {
    let (bytes, _) = convert("comments", &hostile());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(
        text.contains(
            r"process=\x1b[2J\x0aEXEC\x201\x20root\xff\u{202e}.exe pid=6 user=al\x20ice\x0d path=/tmp/"
        ),
        "{text}"
    );
    let mut stream = Stream::new(ByteOrder::Little);
    let data = v4(17, HERE, THERE, &[0; 8]);
    let other = vec![hone_pcapng::RawOption { code: 1, value: b"kept".to_vec().into() }];
    stream.block(&Block::Packet(Packet {
        original_length: 28,
        data: (&data[..]).into(),
        process: Some(4),
        other,
        ..Packet::default()
    }));
    let (bytes, _) = convert("comments", &stream.bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("kept") && text.contains("hone: process=- pid=4"), "{text}");
    assert_eq!(convert("hone", &bytes).0, stream.bytes);
    let (_, said) = convert("pcap", &stream.bytes);
    assert!(said.contains("1 comment"), "{said}");
}
