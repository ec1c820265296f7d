//! Packets are shown with the process that a later correction names.

use std::borrow::Cow;

use hone_pcapng::{ByteOrder, ConnectionEventKind, Corrected, HostId, Method, NoOwner, ProcessEventKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{CONTAINER, Stream, tcp_from, udp, v4};
use crate::tools::{file, honeutil, shown};

const THERE: [u8; 4] = [192, 0, 2, 1];
const HERE: [u8; 4] = [10, 0, 0, 1];
const IN: u32 = 1;

/// A received segment with ten bytes, recorded as the server's.
fn segment(stream: &mut Stream, sequence: u32) {
    stream.packet(&v4(6, THERE, HERE, &tcp_from(sequence, 40_000, 80, 10)), IN, Some(5), Some(7));
}

/// Three segments that are recorded as the server's. The second and the last are read by its child, which then runs
/// another program; the sequence numbers begin anew in the last one. And two datagrams, of which the first was dropped.
pub(crate) fn handed_on() -> Vec<u8> {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.exec(7, b"/usr/sbin/server", 0, b"root");
    stream.connection(5, 7, ConnectionEventKind::Opened);
    let first = u32::MAX - 14;
    segment(&mut stream, first);
    segment(&mut stream, first + 10);
    segment(&mut stream, first.wrapping_add(20));
    stream.packet(&v4(6, THERE, HERE, &tcp_from(first + 10, 40_000, 80, 0)), IN, Some(5), Some(7));
    stream.packet(&v4(17, THERE, HERE, &udp(53, 1000, 5)), IN, Some(6), Some(7));
    let dropped = stream.now();
    stream.packet(&v4(17, THERE, HERE, &udp(53, 1000, 5)), IN, Some(6), Some(7));
    stream.correction(6, 0, Corrected::Time(dropped), Err(NoOwner::Filtered));
    stream.process(8, ProcessEventKind::Forked, |event| event.parent = Some(7));
    stream.process(8, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/opt/worker"));
        event.user = Some(1000);
        event.user_name = Some(Cow::Borrowed(b"alice"));
        event.container = Some(Cow::Borrowed(CONTAINER));
    });
    let (from, to) = (first + 10, first.wrapping_add(30));
    stream.correction(5, 8, Corrected::Bytes { from, to }, Ok(Method::Reader));
    // Received later: with bytes of the same numbers, but it is recorded as it is.
    segment(&mut stream, first + 10);
    stream.process(8, ProcessEventKind::Started, |event| event.path = Some(Cow::Borrowed(b"/opt/later")));
    stream.bytes
}

/// What is shown of files.
#[track_caller]
fn show(arguments: &[&str], recordings: &[&[u8]]) -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let files = recordings.iter().enumerate();
    let files = files.map(|(number, bytes)| file(&directory, &format!("{number}.pcapng"), bytes));
    let output = honeutil(["show"]).args(arguments).args(files).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The process ids of the packets shown; 0 is none.
fn pids(lines: &[String]) -> Vec<u32> {
    let words = lines.iter().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.filter(|words| words[1] == "PAKT").map(|words| words[2].parse().unwrap_or(0)).collect()
}

#[test]
fn a_file_is_shown_as_it_turned_out_to_be() {
    let recording = handed_on();
    let lines = show(&[], &[&recording]);
    insta::assert_snapshot!("corrected", lines.join("\n"));
    let compressed = zstd::stream::encode_all(&recording[..], 1).unwrap();
    assert_eq!(show(&[], &[&compressed]), lines, "compressed");
}

#[test]
fn a_pipe_is_shown_as_it_was_recorded() {
    let lines = shown(&[], &handed_on());
    assert_eq!(pids(&lines), [7; 7]);
    assert_eq!(lines.iter().filter(|line| line.contains(" correction ")).count(), 2);
}

#[test]
fn filters_go_by_what_is_right() {
    let recording = handed_on();
    let count = |arguments: &[&str]| pids(&show(arguments, &[&recording])).len();
    for arguments in [["--name", "worker"], ["--user", "alice"], ["--pid", "8"], ["--container", "3f4a"]] {
        assert_eq!(count(&arguments), 2, "{arguments:?}");
    }
    assert_eq!(count(&["--name", "later"]), 0);
    assert_eq!(count(&["--name", "server"]), 4);
    let corrections = |arguments: &[&str]| {
        show(arguments, &[&recording]).iter().filter(|line| line.contains(" correction ")).count()
    };
    assert_eq!(corrections(&["--conn", "5"]), 1);
    assert_eq!(corrections(&["--name", "worker"]), 1);
    assert_eq!(corrections(&["--port", "80"]), 0);
    assert_eq!(corrections(&["--pid", "0"]), 0, "nobody is not process 0");
}

#[test]
fn json_says_which_packets_are_corrected() {
    let lines = show(&["--json"], &[&handed_on()]);
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: &'static str| objects.iter().filter(move |object| object["event"]["action"] == action);
    let packets: Vec<_> = of("packet")
        .map(|packet| (packet["process"]["name"].as_str(), packet["hone"]["corrected"] == true))
        .collect();
    let server = (Some("server"), false);
    let worker = (Some("worker"), true);
    assert_eq!(packets, [server, worker, worker, server, (None, true), server, server]);
    let corrections: Vec<_> = of("packets-corrected").collect();
    assert_eq!(
        corrections[0]["hone"],
        serde_json::json!({
            "connection": {"id": 6},
            "correction": {"direction": "ingress", "time": "2026-07-30T12:00:00.000007000Z", "how": "firewall"},
        })
    );
    assert_eq!(corrections[0].get("process"), None);
    assert_eq!(
        corrections[1]["hone"],
        serde_json::json!({
            "connection": {"id": 5},
            "correction": {"direction": "ingress", "from": 4_294_967_291_u32, "to": 15, "how": "reader"},
        })
    );
    assert_eq!(corrections[1]["process"]["name"], "worker");
}

/// A recording in two files: a packet, and in the next one its correction.
pub(crate) fn rotated(hosts: [Option<HostId<'_>>; 2]) -> [Vec<u8>; 2] {
    let [one, two] = hosts;
    let mut first = Stream::new(ByteOrder::Little);
    first.bytes.clear();
    first.section_of(101, one);
    first.exec(7, b"/usr/sbin/server", 0, b"root");
    segment(&mut first, 100);
    let mut second = Stream::new(ByteOrder::Big);
    second.bytes.clear();
    second.section_of(101, two);
    second.exec(8, b"/opt/worker", 0, b"root");
    second.correction(5, 8, Corrected::Bytes { from: 100, to: 110 }, Ok(Method::Reader));
    segment(&mut second, 100);
    [first.bytes, second.bytes]
}

#[test]
fn a_correction_in_a_later_file_applies_to_an_earlier_one_of_the_same_host() {
    let name = |name: &'static str| Some(HostId::Name(Cow::Borrowed(name)));
    for (hosts, expected) in [
        ([name("here"), name("here")], [8, 7]),
        ([name("here"), name("there")], [7, 7]),
        // Who knows whether that is one host.
        ([None, None], [7, 7]),
    ] {
        let [first, second] = &rotated(hosts);
        assert_eq!(pids(&show(&[], &[first, second])), expected);
        assert_eq!(pids(&show(&[], &[second, first])), [7, 7], "not in their order");
        assert_eq!(pids(&show(&[], &[first])), [7], "alone");
    }
}

#[test]
fn what_cannot_be_read_to_its_end_is_corrected_up_to_there() {
    let mut recording = handed_on();
    let whole = show(&[], &[&recording]);
    recording.extend([0xFF; 40]);
    let directory = TempDir::new().unwrap();
    let output = honeutil(["show"]).arg(file(&directory, "a.pcapng", &recording)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "it is said once: {stderr}");
    let lines: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines, whole);
}
