//! Processes as other programs write them: Wireshark's blocks, Apple's, comments.

use std::borrow::Cow;

use hone_pcapng::foreign::{APPLE_PROCESS, CUSTOM};
use hone_pcapng::{Block, ByteOrder, Packet, ProcessEventKind, RawOption};
use serde_json::Value;

use crate::fixture::{NOON, Stream, everyday, udp, v4};
use crate::tools::{file, honeutil, show_stdin, shown, with_input};

const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];
/// The entry of Wireshark's own test file: curl, 1234, with every option.
const CURL: &str = "d2040000020004006375726c03000d002f7573722f62696e2f6375726c000000040019006375726c0068747470733a2f2f\
    6578616d706c652e636f6d2f000000050004000100000006000400e803000007000500616c696365000000080010006b8b4567327b23c6\
    643c986966334873090008000000faed5172861801000d0066697273742070726f6365737300000000000000";
/// When it started.
const CURL_START: &str = "2026-01-01T00:00:00.000000000Z";
const COMMENT: u16 = 1;
const THREAD: u16 = 8;
const APPLE: u16 = 0x8001;
const APPLE_FOR: u16 = 0x8003;

fn word(value: u32, order: ByteOrder) -> [u8; 4] {
    match order {
        ByteOrder::Little => value.to_le_bytes(),
        ByteOrder::Big => value.to_be_bytes(),
    }
}

fn words(values: &[u32], order: ByteOrder) -> Vec<u8> {
    values.iter().flat_map(|value| word(*value, order)).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A recording of another program.
struct Foreign(Stream, ByteOrder);

impl Foreign {
    fn new(order: ByteOrder) -> Self {
        Self(Stream::new(order), order)
    }

    /// Wireshark's block with this entry.
    fn entry(&mut self, entry: &[u8]) {
        let length = u32::try_from(entry.len()).unwrap();
        let head = [&word(32_622, self.1)[..], &3_u32.to_le_bytes(), &length.to_le_bytes()].concat();
        self.0.block(&Block::Unknown { kind: CUSTOM, body: Cow::Owned([&head, entry].concat()) });
    }

    /// A process with a name and a start.
    fn named(&mut self, pid: u32, name: &[u8; 4], start: u64) {
        let start = start.to_le_bytes();
        self.entry(
            &[&pid.to_le_bytes()[..], b"\x02\0\x04\0", name, b"\x09\0\x08\0", &start, &[0; 4]].concat(),
        );
    }

    /// Apple's block with a name of four bytes.
    fn apple(&mut self, pid: u32, name: &[u8; 4]) {
        let head = match self.1 {
            ByteOrder::Little => b"\x02\0\x04\0",
            ByteOrder::Big => b"\0\x02\0\x04",
        };
        let body = [&word(pid, self.1)[..], head, name, &[0; 4]].concat();
        self.0.block(&Block::Unknown { kind: APPLE_PROCESS, body: Cow::Owned(body) });
    }

    fn packet(&mut self, time: u64, options: &[(u16, Vec<u8>)]) {
        let data = v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(1234, 53, 4));
        let other = options.iter().map(|(code, value)| RawOption { code: *code, value: value.into() });
        self.0.block(&Block::Packet(Packet {
            timestamp: time,
            original_length: 32,
            data: Cow::Owned(data),
            other: other.collect(),
            ..Packet::default()
        }));
    }

    /// A packet with option 8.
    fn of(&mut self, pid: u32, thread: u32, time: u64) {
        self.packet(time, &[(THREAD, words(&[pid, thread], self.1))]);
    }

    fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The kind, the process id and the name of each line but the section's.
fn names(recording: &[u8]) -> Vec<String> {
    let lines = shown(&[], recording);
    lines[1..]
        .iter()
        .map(|line| line.split_whitespace().skip(1).take(4).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_process_of_wireshark_is_shown_with_all_that_its_block_says() {
    for order in ORDERS {
        let mut recording = Foreign::new(order);
        recording.entry(&bytes(CURL));
        recording.of(1234, 1240, NOON);
        recording.of(77, 0, NOON);
        recording.of(0, 0, NOON);
        let lines = shown(&[], recording.bytes());
        assert_eq!(
            lines[1],
            format!(
                "{CURL_START} EXEC    1234 alice    curl            ppid=1 uid=1000 uuid=6b8b4567-327b-23c6-643c-986966334873 \
                 path=/usr/bin/curl args=curl https://example.com/"
            )
        );
        let ends = "udp 10.0.0.1:1234 > 10.0.0.2:53 len=32";
        assert_eq!(
            lines[2..],
            [
                format!(
                    "2026-07-30T12:00:00.000000000Z PAKT    1234 alice    curl            -   {ends} tid=1240"
                ),
                format!("2026-07-30T12:00:00.000000000Z PAKT      77 -        -               -   {ends}"),
                format!("2026-07-30T12:00:00.000000000Z PAKT       - -        -               -   {ends}"),
            ]
        );
        for words in [["--name", "curl"], ["--user", "alice"], ["--pid", "1234"], ["--path", "/usr/bin/curl"]]
        {
            assert_eq!(shown(&words, recording.bytes()), lines[1..3], "{words:?}");
        }
        let objects: Vec<Value> = shown(&["--json", "--name", "curl"], recording.bytes())
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let process = &objects[0]["process"];
        assert_eq!((&objects[0]["@timestamp"], &process["name"]), (&CURL_START.into(), &"curl".into()));
        assert_eq!(process["args"], serde_json::json!(["curl", "https://example.com/"]));
        assert_eq!(process["parent"]["pid"], 1);
        assert_eq!(process["user"], serde_json::json!({"id": "1000", "name": "alice"}));
        assert_eq!(objects[0]["hone"]["executable_uuid"], "6b8b4567-327b-23c6-643c-986966334873");
        assert_eq!(objects[1]["process"]["executable"], "/usr/bin/curl");
        assert_eq!(objects[1]["process"]["thread"]["id"], 1240);
    }
}

#[test]
fn a_process_id_that_is_used_again_has_the_process_that_had_started_by_then() {
    let mut recording = Foreign::new(ByteOrder::Little);
    recording.named(5, b"left", NOON + 10);
    recording.named(5, b"next", NOON + 20);
    for time in [5, 10, 19, 20, 30] {
        recording.of(5, 0, NOON + time);
    }
    let names = names(recording.bytes());
    assert_eq!(names[..2], ["EXEC 5 - left", "EXEC 5 - next"]);
    assert_eq!(
        names[2..].iter().map(|line| &line[9..]).collect::<Vec<_>>(),
        ["left", "left", "left", "next", "next"]
    );
}

#[test]
fn what_hone_says_counts_more_than_what_other_programs_say() {
    let mut recording = Foreign::new(ByteOrder::Big);
    recording.0.exec(5, b"/usr/bin/wget", 1000, b"alice");
    recording.named(5, b"nope", NOON);
    let option = RawOption { code: THREAD, value: words(&[6, 7], ByteOrder::Big).into() };
    for process in [Some(5), None] {
        recording.0.block(&Block::Packet(Packet {
            timestamp: NOON,
            connection: Some(3),
            process,
            other: vec![RawOption { code: option.code, value: option.value.clone() }],
            ..Packet::default()
        }));
    }
    assert_eq!(names(recording.bytes()), ["EXEC 5 alice wget", "PAKT 5 alice wget", "PAKT - - -"]);
    for form in ["wireshark", "darwin"] {
        let everyday = everyday(ByteOrder::Little);
        let output = with_input(&mut honeutil(["convert", "-", "-", "--to", form]), &everyday);
        assert_eq!(shown(&[], &output.stdout), shown(&[], &everyday), "{form}");
    }
}

#[test]
fn packets_of_macos_have_the_process_of_the_block_that_they_name() {
    for order in ORDERS {
        let mut recording = Foreign::new(order);
        recording.apple(5, b"mail");
        recording.apple(0, b"kern");
        recording.apple(5, b"talk");
        for (code, index) in [(APPLE, 2), (APPLE, 0), (APPLE, 1), (APPLE_FOR, 1), (APPLE, 3)] {
            recording.packet(NOON, &[(code, words(&[index], order))]);
        }
        let expected = ["PAKT 5 - talk", "PAKT 5 - mail", "PAKT 0 - kern", "PAKT 0 - kern", "PAKT - - -"];
        let found = names(recording.bytes());
        assert_eq!(found[..3], ["EXEC 5 - mail", "EXEC 0 - kern", "EXEC 5 - talk"]);
        assert_eq!(found[3..], expected);
        assert_eq!(shown(&["--name", "mail"], recording.bytes()).len(), 2);
    }
}

#[test]
fn a_process_block_that_cannot_be_read_is_left_out_with_one_message() {
    let mut recording = Foreign::new(ByteOrder::Little);
    for _ in 0..2 {
        recording.entry(&[&5_u32.to_le_bytes()[..], b"\x05\0\x02\0\0\0\0\0"].concat());
        recording.0.block(&Block::Unknown { kind: APPLE_PROCESS, body: Cow::Borrowed(b"") });
    }
    recording.apple(7, b"mail");
    recording.of(5, 0, NOON);
    recording.packet(NOON, &[(APPLE, words(&[2], ByteOrder::Little))]);
    let output = show_stdin(&[], recording.bytes());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.starts_with("honeutil: standard input: block 3 describes a process (type 0x00000bad) but"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(
        lines.contains("PAKT       5 -        -  ") && lines.contains("PAKT       7 -        mail"),
        "{lines}"
    );
}

#[test]
fn comments_of_other_programs_name_the_process_of_their_packet() {
    let mut recording = Foreign::new(ByteOrder::Little);
    let comment = |text: &str| [(COMMENT, text.as_bytes().to_vec())];
    recording.packet(
        NOON,
        &comment(
            "PID: 12\nCmd: /usr/bin/curl\nArgs: curl -v x\nThreadId: 13\nUserId: 1000\n\
        ParentPID: 1\nParentCmd: /bin/sh\nContainerId: 3f4a0c1de2b5",
        ),
    );
    recording.packet(NOON, &comment("PID:14 Process:Web Content"));
    recording.packet(NOON, &comment("looks odd. PID: 3"));
    recording.packet(NOON, &comment("PID: what\nCmd: x"));
    assert_eq!(
        names(recording.bytes()),
        ["PAKT 12 1000 curl", "PAKT 14 - Web\\x20Content", "PAKT - - -", "PAKT - - -"]
    );
    let lines = shown(&["--user", "1000", "--container", "3f4a0c1de2b5"], recording.bytes());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(" tid=13"), "{lines:?}");
}

#[test]
fn a_part_of_a_foreign_recording_keeps_its_process_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let mut recording = Foreign::new(ByteOrder::Big);
    recording.named(5, b"left", NOON);
    recording.named(6, b"next", NOON);
    recording.of(5, 0, NOON);
    recording.of(6, 0, NOON);
    let (whole, part) = (file(&directory, "whole", recording.bytes()), directory.path().join("part"));
    let output = honeutil(["show", "--name", "next", "-w"]).arg(&part).arg(&whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = names(&std::fs::read(part).unwrap());
    assert_eq!(found, ["EXEC 5 - left", "EXEC 6 - next", "PAKT 6 - next"]);
}

#[test]
fn a_foreign_recording_is_converted_to_other_forms_with_its_processes() {
    for order in ORDERS {
        let mut recording = Foreign::new(order);
        recording.entry(&bytes(CURL));
        recording.of(1234, 1240, NOON);
        let convert = |form: &str, bytes: &[u8]| {
            let output = with_input(&mut honeutil(["convert", "-", "-", "--to", form]), bytes);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        assert_eq!(convert("wireshark", recording.bytes()), recording.bytes(), "nothing is to be added");
        let comments = String::from_utf8_lossy(&convert("comments", recording.bytes())).into_owned();
        assert!(comments.contains("hone: process=curl pid=1234 user=alice path=/usr/bin/curl"), "{comments}");
        let mut recording = Foreign::new(order);
        recording.apple(5, b"mail");
        recording.packet(NOON, &[(APPLE, words(&[0], order))]);
        assert_eq!(convert("darwin", recording.bytes()), recording.bytes());
        let native = convert("wireshark", recording.bytes());
        assert_eq!(names(&native).last().unwrap(), "PAKT 5 - mail");
        assert!(native.windows(4).any(|found| found == word(CUSTOM, order)), "a block of Wireshark");
    }
}

/// Converts to Hone's own form; also what was said.
fn to_hone(recording: &[u8]) -> (Vec<u8>, String) {
    let output = with_input(&mut honeutil(["convert", "-", "-", "--to", "hone"]), recording);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (output.stdout, said)
}

/// Whether a recording has a process block of another program.
fn has_native(recording: &[u8], order: ByteOrder) -> bool {
    let kinds = [CUSTOM, APPLE_PROCESS];
    hone_pcapng::view::blocks(recording, order).any(|block| kinds.contains(&block.kind()))
}

/// The packets of [`names`].
fn named_packets(recording: &[u8]) -> Vec<String> {
    names(recording).into_iter().filter(|line| line.starts_with("PAKT")).collect()
}

#[test]
fn processes_of_wireshark_become_events_of_hone() {
    for order in ORDERS {
        let mut recording = Foreign::new(order);
        recording.entry(&bytes(CURL));
        recording.of(1234, 1240, NOON);
        recording.of(77, 0, NOON);
        recording.packet(NOON, &[]);
        let (hone, said) = to_hone(recording.bytes());
        assert!(said.contains("not in this form: 1 UUID"), "{said}");
        assert!(!has_native(&hone, order));
        // All but the UUID is shown as before.
        let before: Vec<_> = shown(&[], recording.bytes())
            .into_iter()
            .map(|line| line.replace(" uuid=6b8b4567-327b-23c6-643c-986966334873", ""))
            .collect();
        assert_eq!(shown(&[], &hone), before);
        assert_eq!(to_hone(&hone).0, hone, "it is Hone's now");
        let output = with_input(&mut honeutil(["convert", "-", "-", "--to", "wireshark"]), &hone);
        assert!(has_native(&output.stdout, order) && output.status.success());
        assert_eq!(named_packets(&output.stdout), named_packets(recording.bytes()));
        assert_eq!(to_hone(&output.stdout).0, hone, "and back, byte for byte");
    }
}

#[test]
fn an_id_that_is_used_again_is_described_again_where_its_packets_begin() {
    let mut recording = Foreign::new(ByteOrder::Little);
    recording.named(5, b"next", NOON + 100);
    recording.named(5, b"prev", NOON - 100);
    for time in [NOON, NOON + 200, NOON + 50] {
        recording.of(5, 0, time);
    }
    let (hone, said) = to_hone(recording.bytes());
    assert!(!said.contains("not in this form"), "{said}");
    let expected = ["PAKT 5 - prev", "PAKT 5 - next", "PAKT 5 - prev"];
    assert_eq!(named_packets(recording.bytes()), expected);
    assert_eq!(named_packets(&hone), expected);
}

#[test]
fn processes_of_macos_and_of_comments_become_events_of_hone() {
    for order in ORDERS {
        let mut recording = Foreign::new(order);
        for (pid, name) in [(5, b"mail"), (0, b"kern"), (5, b"talk"), (9, b"idle")] {
            recording.apple(pid, name);
        }
        for index in [2, 0, 1] {
            recording.packet(NOON, &[(APPLE, words(&[index], order))]);
        }
        recording.packet(NOON, &[(APPLE, words(&[0], order)), (APPLE_FOR, words(&[1], order))]);
        let comment = b"PID: 12\nCmd: /usr/bin/curl\nUserId: 1000".to_vec();
        recording.packet(NOON, &[(COMMENT, comment)]);
        let (hone, said) = to_hone(recording.bytes());
        assert!(said.contains("not in this form: 1 process id"), "whom it was sent for: {said}");
        assert!(!has_native(&hone, order));
        assert_eq!(named_packets(&hone), named_packets(recording.bytes()));
        assert!(names(&hone).contains(&"EXEC 9 - idle".to_owned()), "also a process without a packet");
        assert!(hone.windows(7).any(|found| found == b"PID: 12"), "comments stay");
        assert_eq!(to_hone(&hone).0, hone);
    }
    // Nothing has a time.
    let mut recording = Foreign::new(ByteOrder::Little);
    recording.apple(5, b"mail");
    let (_, said) = to_hone(recording.bytes());
    assert!(said.contains("not in this form: 1 process event"), "{said}");
}

#[test]
fn no_byte_of_a_foreign_recording_is_a_reason_to_panic() {
    let mut whole = Foreign::new(ByteOrder::Little);
    whole.entry(&bytes(CURL));
    whole.apple(5, b"mail");
    whole.of(1234, 1, NOON);
    whole.packet(NOON, &[(APPLE, words(&[0], ByteOrder::Little)), (COMMENT, b"PID: 12\nCmd: x".to_vec())]);
    whole.packet(NOON, &[(COMMENT, b"PID: 12\nCmd: x".to_vec())]);
    whole.0.process(1, ProcessEventKind::Ended, |_| ());
    let mut seed = 7_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize
    };
    for _ in 0..2_000 {
        let mut broken = whole.bytes().to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() % broken.len();
            broken[at] = u8::try_from(random() % 256).unwrap();
        }
        // It asserts that a line is shown for each event, and that all of it prints.
        let _ = honeutil::show::fuzzing::show(&broken, 1 + random() % 60, &std::rc::Rc::default());
    }
}
