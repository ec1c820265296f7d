//! Packets that are recorded once for their sender and their receiver.

use std::borrow::Cow;

use hone_pcapng::packet::Receiver;
use hone_pcapng::{Block, ByteOrder, ConnectionEventKind, Corrected, Method, Packet};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Stream, udp, v4};
use crate::tools::{file, honeutil, shown};

/// A datagram from curl (7) to nginx (8), which is said to be of another (9) later; and one that only curl has.
pub(crate) fn once(order: ByteOrder) -> Vec<u8> {
    let mut stream = Stream::new(order);
    stream.exec(7, b"/usr/bin/curl", 0, b"root");
    stream.exec(8, b"/usr/sbin/nginx", 33, b"www");
    stream.exec(9, b"/usr/sbin/worker", 34, b"work");
    stream.exec(10, b"/usr/bin/idle", 34, b"work");
    stream.connection(70, 7, ConnectionEventKind::Opened);
    stream.connection(80, 8, ConnectionEventKind::Opened);
    let data = v4(17, [127, 0, 0, 1], [127, 0, 0, 1], &udp(5000, 53, 5));
    let mut times = Vec::new();
    for _ in 0..2 {
        let timestamp = stream.tick();
        times.push(timestamp);
        stream.block(&Block::Packet(Packet {
            timestamp,
            original_length: data.len().try_into().unwrap(),
            data: Cow::Borrowed(&data),
            flags: Some(2),
            connection: Some(70),
            process: Some(7),
            how: Some(Ok(Method::CurrentTask)),
            receiver: Some(Receiver {
                connection: Some(80),
                process: Some(8),
                how: Ok(Method::LastReceiver),
            }),
            ..Packet::default()
        }));
    }
    stream.packet(&data, 2, Some(70), Some(7));
    stream.correction(80, 9, Corrected::Time(times[1]), Ok(Method::Reader));
    stream.bytes
}

fn packets(arguments: &[&str]) -> Vec<String> {
    let lines = shown(arguments, &once(ByteOrder::Little));
    let packets = lines.into_iter().filter(|line| line.contains(" PAKT "));
    packets.map(|line| line.split_once(" PAKT ").unwrap().1.trim_start().to_owned()).collect()
}

#[test]
fn a_line_has_both_owners_and_corrections_change_the_receiver() {
    // A file: corrections are read first.
    let directory = TempDir::new().unwrap();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let path = file(&directory, "a.pcapng", &once(order));
        let output = honeutil(["show".as_ref(), path.as_os_str()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let ends: Vec<_> =
            text.lines().filter_map(|line| line.split_once(" conn=70 how=").map(|it| it.1)).collect();
        let [first, second, third] = &ends[..] else { panic!("{text}") };
        assert_eq!(*first, "current-task to_pid=8 to_user=www to_name=nginx to_conn=80 to_how=last-receiver");
        assert_eq!(*second, "current-task to_pid=9 to_user=work to_name=worker to_conn=80 to_how=reader");
        assert_eq!(*third, "current-task");
    }
}

#[test]
fn an_object_has_both_owners() {
    let lines = shown(&["--json", "--pid", "8"], &once(ByteOrder::Little));
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let packet = objects.into_iter().find(|object| object["event"]["action"] == "packet").unwrap();
    assert_eq!((&packet["process"]["pid"], &packet["hone"]["connection"]["id"]), (&json!(7), &json!(70)));
    let receiver = &packet["hone"]["receiver"];
    assert_eq!((&receiver["process"]["pid"], &receiver["process"]["name"]), (&json!(8), &json!("nginx")));
    assert_eq!((&receiver["connection"]["id"], &receiver["how"]), (&json!(80), &json!("last receiver")));
}

#[test]
fn words_match_either_owner() {
    for (words, expected) in [
        (&["--pid", "7"][..], 3),
        (&["--pid", "8"], 2),
        (&["--name", "nginx", "--direction", "in"], 2),
        (&["--name", "nginx", "--direction", "out"], 0),
        (&["--name", "curl", "--direction", "in"], 0),
        (&["--conn", "80"], 2),
        (&["--user", "work"], 0),
    ] {
        assert_eq!(packets(words).len(), expected, "{words:?}");
    }
}

#[test]
fn a_cut_has_the_events_of_both_owners() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "a.pcapng", &once(ByteOrder::Little));
    let cut = directory.path().join("cut.pcapng");
    let arguments = ["show", "--pid", "7", "--port", "53", "-w"];
    let output = honeutil(arguments).args([&cut, &path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = shown(&[], &std::fs::read(&cut).unwrap());
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count(" PAKT "), count(" EXEC "), count("open conn=")), (3, 3, 2), "{lines:#?}");
    assert_eq!(count("idle"), 0);
}
