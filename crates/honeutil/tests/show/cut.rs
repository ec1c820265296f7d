//! `show -w`: what is cut out of recordings.

mod joined;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hone_pcapng::{
    Block, ByteOrder, ConnectionEventKind, HostId, Interface, ObsoletePacket, ProcessEventKind, Reader,
    Resolution, SimplePacket, Statistics,
};
use tempfile::TempDir;

use self::joined::of_host;
use crate::corrections::{handed_on, rotated};
use crate::fixture::{NOON, Stream, WIDE, classic, everyday, hashed, hostile, tcp, v4};
use crate::tools::{file, honeutil, show_stdin};

const HERE: [u8; 4] = [10, 0, 0, 1];
const THERE: [u8; 4] = [192, 0, 2, 1];

/// What was written, what was said, and the exit status.
struct Cut {
    bytes: Vec<u8>,
    said: String,
    status: Option<i32>,
}

/// Cuts files.
fn run(arguments: &[&str], recordings: &[&[u8]]) -> Cut {
    let directory = TempDir::new().unwrap();
    let files = recordings.iter().enumerate();
    let files: Vec<_> =
        files.map(|(number, bytes)| file(&directory, &format!("{number}.pcapng"), bytes)).collect();
    let out = directory.path().join("out.pcapng");
    let output = honeutil(["show", "-w"]).arg(&out).args(arguments).args(&files).output().unwrap();
    assert!(output.stdout.is_empty(), "nothing is shown");
    for (file, bytes) in files.iter().zip(recordings) {
        assert_eq!(std::fs::read(file).unwrap(), *bytes, "the input stays");
    }
    let left = std::fs::read_dir(&directory).unwrap().count() - recordings.len();
    assert_eq!(left, usize::from(out.exists()), "no unfinished file is left");
    Cut {
        bytes: std::fs::read(&out).unwrap_or_default(),
        said: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code(),
    }
}

/// The same; it must succeed.
#[track_caller]
fn cut(arguments: &[&str], recordings: &[&[u8]]) -> Cut {
    let cut = run(arguments, recordings);
    assert_eq!(cut.status, Some(0), "{arguments:?}: {}", cut.said);
    assert_eq!(cut.said.lines().count(), 1, "{}", cut.said);
    cut
}

/// The lines that a file is shown as.
fn lines(arguments: &[&str], recordings: &[&[u8]]) -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let files = recordings.iter().enumerate();
    let files = files.map(|(number, bytes)| file(&directory, &format!("{number}.pcapng"), bytes));
    let output = honeutil(["show"]).args(arguments).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Those of packets.
fn packets(arguments: &[&str], recordings: &[&[u8]]) -> Vec<String> {
    let mut lines = lines(arguments, recordings);
    lines.retain(|line| line.contains(" PAKT "));
    lines
}

/// Each block, as what it is about and its bytes.
fn blocks(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = Reader::new();
    reader.feed(bytes).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next_block().unwrap() {
        let what = match &item.block {
            Block::Section(_) => "section".to_owned(),
            Block::Interface(_) => "interface".to_owned(),
            Block::Process(event) => format!("{:?} {}", event.kind, event.process),
            Block::Connection(event) => format!("{:?} c{:x}", event.kind, event.connection),
            Block::Packet(_) | Block::SimplePacket(_) | Block::ObsoletePacket(_) => "packet".to_owned(),
            Block::Statistics(_) => "statistics".to_owned(),
            Block::Unknown { kind, .. } => format!("block {kind}"),
        };
        found.push((what, item.raw.to_vec()));
    }
    reader.finish().unwrap();
    found
}

/// What the blocks are about, without sections and interfaces.
fn story(bytes: &[u8]) -> Vec<String> {
    let is_told = |what: &String| !["section", "interface"].contains(&what.as_str());
    blocks(bytes).into_iter().map(|(what, _)| what).filter(is_told).collect()
}

/// The bytes of the packets.
fn packet_bytes(bytes: &[u8]) -> Vec<Vec<u8>> {
    blocks(bytes).into_iter().filter(|(what, _)| what == "packet").map(|(_, raw)| raw).collect()
}

/// Checks what holds for every cut of one recording.
#[track_caller]
fn check(arguments: &[&str], recording: &[u8]) -> Vec<u8> {
    let Cut { bytes, .. } = cut(arguments, &[recording]);
    let filters: Vec<_> = arguments.iter().copied().filter(|argument| *argument != "--all-events").collect();
    assert_eq!(packets(&[], &[&bytes]), packets(&filters, &[recording]), "{arguments:?}");
    let originals = packet_bytes(recording);
    let mut rest = originals.iter();
    for packet in packet_bytes(&bytes) {
        assert!(
            rest.any(|original| *original == packet),
            "{arguments:?}: each packet, byte for byte, in its order"
        );
    }
    assert_eq!(cut(arguments, &[&bytes]).bytes, bytes, "{arguments:?}: a cut of a cut");
    bytes
}

#[test]
fn a_cut_has_the_packets_that_show_selects() {
    for recording in [everyday(ByteOrder::Little), everyday(ByteOrder::Big), handed_on(), hostile()] {
        for arguments in [
            &[][..],
            &["--pid", "8"],
            &["--name", "curl"],
            &["--not-name", "curl"],
            &["--name", "worker"],
            &["--name", "server"],
            &["--user", "alice"],
            &["--children", "--name", "bash"],
            &["--conn", "12"],
            &["--port", "443"],
            &["--host", "10.0.0.0/8"],
            &["--direction", "in"],
            &["--filter", "udp"],
            &["--name", "nobody"],
            &["--from", "2026-07-30T12:00:00.000012Z"],
            &["--to", "2026-07-30T12:00:00.000009Z", "--all-events"],
            &["--all-events", "--filter", "tcp"],
        ] {
            check(arguments, &recording);
        }
    }
}

#[test]
fn everything_is_as_it_was() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let recording = everyday(order);
        assert_eq!(cut(&["--all-events"], &[&recording]).bytes, recording);
    }
}

#[test]
fn a_packet_comes_after_its_process_its_ancestors_and_its_connection_and_nothing_else() {
    let recording = everyday(ByteOrder::Little);
    let Cut { bytes, said, .. } = cut(&["--name", "curl"], &[&recording]);
    let expected = [
        "block 7",
        "Started 7",
        "Forked 8",
        "Started 8",
        "Opened cc",
        "packet",
        "packet",
        "Closed cc",
        "Ended 8",
        "packet",
        "statistics",
    ];
    assert_eq!(story(&bytes), expected);
    assert!(
        said.starts_with("3 of 6 packets, 1 process, 1 connection: ") && said.contains("out.pcapng"),
        "{said}"
    );
    let wide = cut(&["--filter", "udp"], &[&recording]).bytes;
    assert_eq!(story(&wide), ["block 7", "Started 9", &format!("Opened c{WIDE:x}"), "packet", "statistics"]);
    let nobody = cut(&["--filter", "icmp"], &[&recording]).bytes;
    assert_eq!(story(&nobody), ["block 7", "packet", "statistics"]);
    let all = cut(&["--filter", "icmp", "--all-events"], &[&recording]).bytes;
    assert_eq!(story(&all).len(), story(&recording).len() - 5, "only the other packets are left out");
}

#[test]
fn an_ancestor_is_the_process_that_had_the_id_then() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(1, b"/sbin/init", 0, b"root");
    stream.exec(5, b"/bin/daemonizer", 0, b"root");
    stream.process(6, ProcessEventKind::Forked, |event| event.parent = Some(5));
    // What it runs now is not what its child runs.
    stream.exec(5, b"/bin/other", 0, b"root");
    stream.process(5, ProcessEventKind::Ended, |event| event.parent = Some(1));
    stream.exec(5, b"/bin/later", 1000, b"alice");
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(6));
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(5));
    let recording = stream.bytes;
    let bytes = check(&["--pid", "6"], &recording);
    assert_eq!(story(&bytes), ["Started 1", "Started 5", "Started 5", "Forked 6", "Ended 5", "packet"]);
    assert!(packets(&[], &[&bytes])[0].contains(" daemonizer "));
    let both = check(&[], &recording);
    assert_eq!(packets(&[], &[&both]), packets(&[], &[&recording]));

    // The later one is written first.
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(5, b"/bin/former", 0, b"root");
    stream.process(6, ProcessEventKind::Forked, |event| event.parent = Some(5));
    stream.process(5, ProcessEventKind::Ended, |_| {});
    stream.exec(5, b"/bin/later", 1000, b"alice");
    for pid in [5, 6, 5] {
        stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(pid));
    }
    let bytes = cut(&[], &[&stream.bytes]).bytes;
    assert_eq!(packets(&[], &[&bytes]), packets(&[], &[&stream.bytes]));
}

#[test]
fn descendants_stay_descendants() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(1, b"/sbin/init", 0, b"root");
    stream.exec(10, b"/bin/starter", 0, b"root");
    stream.process(11, ProcessEventKind::Forked, |event| event.parent = Some(10));
    stream.process(12, ProcessEventKind::Forked, |event| event.parent = Some(11));
    stream.process(11, ProcessEventKind::Ended, |_| {});
    // Its parents have ended: it belongs to init now.
    stream.exec(12, b"/bin/daemon", 0, b"root");
    stream.exec(13, b"/bin/other", 0, b"root");
    for pid in [12, 13] {
        stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(pid));
    }
    let bytes = check(&["--children", "--name", "starter"], &stream.bytes);
    let expected = ["Started 1", "Started 10", "Forked 11", "Forked 12", "Started 12", "Ended 11", "packet"];
    assert_eq!(story(&bytes), expected);
    check(&["--name", "daemon"], &stream.bytes);
}

#[test]
fn later_events_are_written_also_of_what_was_unknown_at_first() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, Some(5), Some(7));
    stream.connection(5, 7, ConnectionEventKind::Closed);
    stream.connection(6, 8, ConnectionEventKind::Closed);
    stream.exec(7, b"/bin/one", 0, b"root");
    stream.exec(8, b"/bin/two", 0, b"root");
    stream.process(7, ProcessEventKind::Ended, |_| {});
    let bytes = check(&[], &stream.bytes);
    assert_eq!(story(&bytes), ["packet", "Closed c5", "Started 7", "Ended 7"]);
}

#[test]
fn a_hash_goes_along_with_its_process_also_behind_its_end() {
    let recording = hashed().bytes;
    let bytes = check(&["--pid", "20"], &recording);
    assert_eq!(story(&bytes), ["Started 20", "Hashed 20", "Ended 20", "packet"]);
    // The hash comes after what was written already.
    let mut stream = Stream::new(ByteOrder::Big);
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(7));
    stream.exec(7, b"/bin/one", 0, b"root");
    stream.process(7, ProcessEventKind::Ended, |_| {});
    stream.process(7, ProcessEventKind::Hashed, |event| event.hash = Some(Ok([1; 32])));
    stream.process(8, ProcessEventKind::Hashed, |event| event.hash = Some(Ok([1; 32])));
    assert_eq!(story(&check(&[], &stream.bytes)), ["packet", "Started 7", "Ended 7", "Hashed 7"]);
    // What a child has from its parent is not what the hash's event leaves out.
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/bin/one", 0, b"root");
    stream.process(7, ProcessEventKind::Hashed, |event| event.hash = Some(Ok([1; 32])));
    stream.process(8, ProcessEventKind::Forked, |event| event.parent = Some(7));
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, None, Some(8));
    let bytes = check(&["--pid", "8"], &stream.bytes);
    assert_eq!(story(&bytes), ["Started 7", "Hashed 7", "Forked 8", "packet"]);
    assert_eq!(packets(&["--name", "one"], &[&bytes]).len(), 1);
}

#[test]
fn a_connection_has_all_its_owners() {
    let mut stream = Stream::new(ByteOrder::Big);
    stream.exec(7, b"/bin/server", 0, b"root");
    stream.connection(5, 7, ConnectionEventKind::Opened);
    stream.exec(8, b"/bin/worker", 0, b"root");
    stream.connection(5, 8, ConnectionEventKind::Opened);
    stream.connection(6, 8, ConnectionEventKind::Opened);
    stream.connection(5, 8, ConnectionEventKind::Closed);
    stream.packet(&v4(6, HERE, THERE, &tcp(1, 2, 3)), 2, Some(5), None);
    stream.connection(6, 8, ConnectionEventKind::Closed);
    let bytes = check(&[], &stream.bytes);
    let expected = ["Started 7", "Opened c5", "Started 8", "Opened c5", "Closed c5", "packet"];
    assert_eq!(story(&bytes), expected);
}

#[test]
fn a_correction_goes_along_with_its_packets() {
    let recording = handed_on();
    let worker = check(&["--name", "worker"], &recording);
    let expected =
        ["Started 7", "Opened c5", "packet", "packet", "Forked 8", "Started 8", "Correction c5", "Started 8"];
    assert_eq!(story(&worker), expected);
    let none = check(&["--port", "9"], &recording);
    assert_eq!(story(&none), [""; 0]);
    let udp = check(&["--filter", "udp"], &recording);
    assert_eq!(story(&udp), ["Started 7", "packet", "packet", "Correction c6"]);

    let host = || Some(HostId::Name(Cow::Borrowed("here")));
    let [first, second] = &rotated([host(), host()]);
    let both = cut(&["--name", "worker"], &[first, second]);
    assert_eq!(story(&both.bytes), ["Started 7", "packet", "Started 8", "Correction c5"]);
    assert_eq!(packets(&[], &[&both.bytes]), packets(&["--name", "worker"], &[first, second]));
    assert_eq!(packets(&[], &[&both.bytes]).len(), 1);
}

#[test]
fn of_a_pipe_packets_are_selected_as_they_were_recorded() {
    let recording = handed_on();
    let output = show_stdin(&["-w", "-", "--name", "server"], &recording);
    assert!(output.status.success());
    assert_eq!(packet_bytes(&output.stdout).len(), 7);
    let expected = story(&output.stdout).iter().filter(|what| what.starts_with("Correction")).count();
    assert_eq!(expected, 2);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("7 of 7 packets"));
}

#[test]
fn statistics_are_those_of_the_cut() {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/bin/one", 0, b"root");
    for port in 1..=5 {
        stream.packet(&v4(6, HERE, THERE, &tcp(port, 9, 3)), 2, None, Some(7));
    }
    stream.block(&Block::Statistics(Statistics {
        timestamp: stream.now(),
        received: Some(10),
        dropped_by_source: Some(2),
        accepted: Some(8),
        dropped_by_ring: Some(3),
        delivered: Some(5),
        ..Statistics::default()
    }));
    let bytes = check(&["--port", "1", "--port", "2"], &stream.bytes);
    let last = &blocks(&bytes).pop().unwrap().1;
    let found = Statistics::parse(&last[8..last.len() - 4], ByteOrder::Little).unwrap();
    assert_eq!((found.received, found.dropped_by_source), (Some(10), Some(2)));
    assert_eq!((found.accepted, found.dropped_by_ring, found.delivered), (Some(5), Some(3), Some(2)));
    assert_eq!(found.accepted.unwrap(), found.delivered.unwrap() + found.dropped_by_ring.unwrap());
    let shown = lines(&[], &[&bytes]).pop().unwrap();
    assert!(
        shown.contains(" packets.received=10 packets.filtered=5 packets.dropped_by_source=2 "),
        "{shown}"
    );
    assert!(lines(&["--json"], &[&bytes]).pop().unwrap().contains(r#""received":10,"filtered":5,"#));
}

#[test]
fn stock_programs_read_a_cut() {
    let directory = TempDir::new().unwrap();
    for (name, recordings) in [
        ("one", vec![everyday(ByteOrder::Little)]),
        ("two", vec![everyday(ByteOrder::Big), of_host("a", NOON, &[1, 2]), of_host("b", NOON, &[1, 2])]),
        ("merged", vec![of_host("a", NOON, &[1, 8]), of_host("a", NOON, &[3, 9])]),
    ] {
        let recordings: Vec<_> = recordings.iter().map(|bytes| &bytes[..]).collect();
        let bytes = cut(&["--direction", "out"], &recordings).bytes;
        let path = file(&directory, name, &bytes);
        let count = packet_bytes(&bytes).len();
        let stock = |program: &str, arguments: &[&str]| -> Option<String> {
            let Ok(output) = Command::new(program).args(arguments).arg(&path).output() else {
                eprintln!("skipped: {program} is not installed");
                return None;
            };
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        };
        if let Some(lines) = stock("tshark", &["-n", "-r"]) {
            assert_eq!(lines.lines().count(), count, "{lines}");
        }
        if let Some(told) = stock("capinfos", &["-c", "-M", "-T", "-r"]) {
            assert!(told.trim_end().ends_with(&format!("\t{count}")), "{told}");
        }
    }
}

#[test]
fn a_cut_of_nothing_is_a_recording_and_it_is_said() {
    let recording = everyday(ByteOrder::Little);
    let Cut { bytes, said, .. } = cut(&["--name", "nobody"], &[&recording]);
    assert_eq!(story(&bytes), ["block 7", "statistics"]);
    assert!(said.starts_with("No packet is selected of 6: "), "{said}");
    let Cut { bytes, said, status } = run(&[], &[b""]);
    assert_eq!((bytes.len(), status), (0, Some(1)));
    assert!(said.contains("there is nothing to write") && said.contains("was not made"), "{said}");
}

#[test]
fn of_a_torn_recording_what_is_whole_is_written() {
    let recording = everyday(ByteOrder::Little);
    let whole = blocks(&recording);
    for end in [30, 200, recording.len() - 200, recording.len() - 1] {
        let torn = &recording[..end];
        let Cut { bytes, said, status } = run(&["--all-events"], &[torn]);
        assert_eq!(status, Some(1), "{said}");
        let mut length = 0;
        let kept = whole.iter().map(|(_, raw)| raw.len()).take_while(|raw| {
            length += raw;
            length <= end
        });
        assert_eq!(bytes, torn[..kept.sum()]);
        assert!(said.contains("0.pcapng: the ") && said.contains("the stream ends inside it"), "{said}");
        assert_eq!(said.contains("is written; `honeutil repair FILE`"), !bytes.is_empty(), "{said}");
        // The other one is written nevertheless.
        let other = of_host("b", NOON + 3_600_000_000_000, &[1, 5]);
        let both = run(&["--all-events"], &[torn, &other]);
        assert_eq!((both.status, &both.bytes[bytes.len()..]), (Some(1), &other[..]));
    }
    let Cut { said, status, .. } = run(&[], &[b"something else"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("neither PCAP-NG nor libpcap"), "{said}");
}

#[test]
fn what_exists_is_never_overwritten() {
    let directory = TempDir::new().unwrap();
    let recording = everyday(ByteOrder::Little);
    let path = file(&directory, "a.pcapng", &recording);
    let output = honeutil(["show", "-w"]).arg(&path).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a.pcapng exists already: remove it, or name another"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), recording);
    let output = honeutil(["show", "-w"]).arg(directory.path()).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    for conflict in [["--json", "-wx"], ["--local-time", "-wx"], ["--all-events", "--json"]] {
        assert_eq!(honeutil(["show"]).args(conflict).arg(&path).output().unwrap().status.code(), Some(2));
    }
}

#[cfg(unix)]
#[test]
fn a_cut_is_private_and_what_is_no_file_is_written_to() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = TempDir::new().unwrap();
    let path = file(&directory, "a.pcapng", &everyday(ByteOrder::Little));
    let out = directory.path().join("out");
    assert!(honeutil(["show", "-w"]).arg(&out).arg(&path).output().unwrap().status.success());
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let output = honeutil(["show", "-w", "/dev/null"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(Path::new("/dev/null").exists());
    let output = honeutil(["show", "-w", "/dev/full"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write /dev/full"), "{output:?}");
}

#[test]
fn compressed_in_and_out() {
    let directory = TempDir::new().unwrap();
    let recording = everyday(ByteOrder::Little);
    let plain = file(&directory, "a.pcapng", &recording);
    let expected = cut(&["--port", "443"], &[&recording]).bytes;
    let run = |input: &PathBuf, name: &str| {
        let out = directory.path().join(name);
        let output = honeutil(["show", "--port", "443", "-w"]).arg(&out).arg(input).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        out
    };
    let zstd = run(&plain, "b.zst");
    assert_eq!(zstd::stream::decode_all(&std::fs::read(&zstd).unwrap()[..]).unwrap(), expected);
    let gzip = run(&zstd, "c.pcapng.gz");
    assert!(std::fs::read(&gzip).unwrap().starts_with(&[0x1F, 0x8B]));
    assert_eq!(std::fs::read(run(&gzip, "d.pcapng")).unwrap(), expected);
}

#[test]
fn captures_of_other_programs() {
    let data: Vec<_> = (1..=4).map(|port| v4(6, HERE, THERE, &tcp(port, 9, 3))).collect();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let capture = classic(0xA1B2_C3D4, order, 101, 5, &data);
        let Cut { bytes, said, .. } = run(&["--port", "2", "--port", "3"], &[&capture]);
        assert!(said.starts_with("2 of 4 packets, 0 processes, 0 connections: "), "{said}");
        assert_eq!(packets(&[], &[&bytes]), packets(&["--port", "2", "--port", "3"], &[&capture]));
        let Cut { bytes, .. } = run(&["--port", "9999"], &[&capture]);
        assert_eq!(blocks(&bytes).len(), 2, "a section and an interface");
    }
    let mut stream = Stream::new(ByteOrder::Big);
    for number in 0..3_u32 {
        let data = Cow::Borrowed(&data[0][..]);
        let original_length = u32::try_from(data.len()).unwrap();
        stream.block(&match number {
            0 => Block::SimplePacket(SimplePacket { original_length, data }),
            _ => Block::ObsoletePacket(ObsoletePacket { original_length, data, ..ObsoletePacket::default() }),
        });
    }
    assert_eq!(packet_bytes(&check(&["--port", "1"], &stream.bytes)).len(), 3);
    assert_eq!(packet_bytes(&check(&["--port", "5"], &stream.bytes)).len(), 0);
}

#[test]
fn a_live_stream_flows() {
    use std::io::{Read as _, Write as _};

    let recording = everyday(ByteOrder::Little);
    let mut child = honeutil(["show", "-w", "-", "--all-events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&recording).unwrap();
    let mut read = vec![0; recording.len()];
    child.stdout.as_mut().unwrap().read_exact(&mut read).unwrap();
    assert_eq!(read, recording, "before the stream ends");
    drop(stdin);
    let Output { status, .. } = child.wait_with_output().unwrap();
    assert!(status.success());
}
