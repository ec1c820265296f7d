//! A stream that grows: each event is shown when it is there, not when the stream ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use hone_pcapng::{ByteOrder, Reader};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{classic, everyday, udp, v4};
use crate::tools::{honeutil, shown};

#[test]
fn each_event_is_shown_as_soon_as_it_is_there() {
    let whole = everyday(ByteOrder::Little);
    let all = shown(&[], &whole);
    let mut child = honeutil(["show", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let mut expected = all.iter();
    let mut blocks = Reader::new();
    blocks.feed(&whole).unwrap();
    while let Some(item) = blocks.next_block().unwrap() {
        // All but the last byte first: half an event is none.
        let (part, last) = item.raw.split_at(item.raw.len() - 1);
        stdin.write_all(part).unwrap();
        stdin.flush().unwrap();
        assert!(lines.recv_timeout(Duration::from_millis(5)).is_err(), "half a block");
        stdin.write_all(last).unwrap();
        stdin.flush().unwrap();
        // Interfaces and what is not known have no line.
        if !matches!(item.block.kind(), 1 | 7) {
            let line = lines.recv_timeout(Duration::from_secs(20)).expect("a line for each event, at once");
            assert_eq!(Some(&line), expected.next());
        }
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let _ = reader.join().unwrap();
    assert_eq!(expected.next(), None);
}

/// As in `tcpdump -U -w - | honeutil show`.
#[test]
fn each_packet_of_a_libpcap_stream_is_shown_as_soon_as_it_is_there() {
    let packets = [1, 2, 3].map(|port| v4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(port, 53, 4)));
    let whole = classic(0xA1B2_C3D4, ByteOrder::Little, 101, 0, &packets);
    let (header, records) = whole.split_at(24);
    let mut child = honeutil(["show"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(header).unwrap();
    for (record, port) in records.chunks(records.len() / 3).zip(1..) {
        stdin.write_all(record).unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("10.0.0.1:{port} > ")), "{line}");
    }
    drop(stdin);
    assert!(lines.next().is_none() && child.wait().unwrap().success());
}

/// In a pipeline, Ctrl-C also goes to the recorder, and its last blocks must still be shown.
#[test]
fn one_interrupt_is_for_the_writer_and_a_second_one_ends_it() {
    let whole = everyday(ByteOrder::Little);
    let (first, rest) = whole.split_at(whole.len() / 2);
    for again in [false, true] {
        let mut child = honeutil(["show"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        stdin.write_all(first).unwrap();
        // It is up, and past the signal's registration.
        assert!(lines.next().is_some());
        let interrupt = || kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        interrupt();
        if again {
            std::thread::sleep(Duration::from_millis(200));
            interrupt();
            assert_eq!(child.wait().unwrap().code(), Some(130));
        } else {
            stdin.write_all(rest).unwrap();
            drop(stdin);
            assert_eq!(lines.count() + 1, shown(&[], &whole).len());
            assert!(child.wait().unwrap().success());
        }
    }
}
