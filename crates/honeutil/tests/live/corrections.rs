//! Packets that were recorded before their process was known: what is shown of them, and counted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hone_testing::Guarded;
use honeutil::traffic::tally::Tally;
use serde_json::Value;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::{Ip, Transport};
use crate::recorder::{HONEUTIL, Recorder, directory};
use crate::recording::{Direction, Recording};

/// A server that hands its socket with unread data to a child: it has read before, so the data is recorded as its own;
/// and it waits for longer than the recorder holds packets back. The child reads, as the same program or as another one.
/// Says `tcp` or `udp`, the server's and the child's process ids.
const SERVER: &str = r#"
import os, socket, sys, time
way, what, address, reader = sys.argv[1:]
kind = socket.SOCK_STREAM if way == "tcp" else socket.SOCK_DGRAM
listener = socket.socket(socket.AF_INET, kind)
listener.bind((address, 0))
client = socket.socket(socket.AF_INET, kind)
if way == "tcp":
    listener.listen()
    client.connect(listener.getsockname())
    server, _ = listener.accept()
else:
    client.connect(listener.getsockname())
    server = listener
client.send(b"first")
server.recv(100)
client.send(b"x" * 777)
time.sleep(0.3)
child = os.fork()
if child == 0:
    if what == "exec":
        os.dup2(server.fileno(), 0)
        os.execvp(reader, [reader, "bs=1000", "count=1", "of=/dev/null", "status=none"])
    server.recv(1000)
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.3)
print(way, os.getpid(), child, flush=True)
"#;

/// The lengths on the wire of the two packets with data.
const LENGTHS: [(&str, u64, u64); 2] = [("tcp", 57, 829), ("udp", 33, 805)];

/// Runs the server; its own process and its child.
pub(crate) fn hand_on(network: &Network, way: &str, what: &str) -> (u32, u32) {
    hand_on_to(network, way, what, "dd")
}

/// The same with another copy of dd.
fn hand_on_to(network: &Network, way: &str, what: &str, reader: &str) -> (u32, u32) {
    let address = network.v4(End::A).to_string();
    let mut command = network.command(End::A, "python3");
    command.args(["-c", SERVER, way, what, &address, reader]).stdout(Stdio::piped());
    let mut server = Guarded::spawn(&mut command);
    let mut said = String::new();
    let stdout = server.child().stdout.as_mut().expect("it is piped");
    std::io::Read::read_to_string(stdout, &mut said).expect("it says text");
    assert!(server.wait("the server ends").success());
    let words: Vec<_> = said.split_whitespace().collect();
    assert_eq!((words.len(), words[0]), (3, way), "{said}");
    (words[1].parse().expect("a process id"), words[2].parse().expect("a process id"))
}

/// What `honeutil show` prints of a file.
fn show(arguments: &[&str], file: &Path) -> Vec<String> {
    let output = Command::new(HONEUTIL).arg("show").args(arguments).arg(file).output().expect("it runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text").lines().map(str::to_owned).collect()
}

/// The owners of received packets of this length in the text output: process id, name and how it is known.
fn in_text(lines: &[String], length: u64) -> Vec<(u32, String, String)> {
    let packets =
        lines.iter().filter(|line| line.contains(" PAKT ") && line.contains(&format!(" len={length} ")));
    let received = packets.map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|it| it[5] == "in");
    received
        .map(|words| {
            let how = words.iter().find_map(|word| word.strip_prefix("how=")).unwrap_or_default();
            (words[2].parse().expect("a process id"), words[4].to_owned(), how.to_owned())
        })
        .collect()
}

/// The same in JSON, and whether it is said to be corrected.
fn in_json(lines: &[String], length: u64) -> Vec<(u64, String, bool)> {
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    let received = objects
        .filter(|object| object["network"]["bytes"] == length && object["network"]["direction"] == "ingress");
    received
        .map(|object| {
            let process = &object["process"];
            let name = process["name"].as_str().unwrap_or_default().to_owned();
            (process["pid"].as_u64().unwrap_or_default(), name, object["hone"]["corrected"] == true)
        })
        .collect()
}

/// The bytes that a process has received, as the summary counts them. It shows only the busiest of the machine.
fn counted(file: &Path, pid: u32) -> u64 {
    let mut tally = Tally::new();
    tally.add(&std::fs::read(file).expect("it was recorded"));
    assert_eq!(tally.missed_corrections, 0);
    let processes = tally.busiest(usize::MAX);
    processes.iter().find(|process| process.pid == pid).map_or(0, |process| process.traffic.bytes_in)
}

/// Records a server that hands on; checks what is said of the data that its child reads.
fn check(way: &str, what: &str) {
    if !ready(&["python3", "dd"]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (server, child) = hand_on(&network, way, what);
    std::thread::sleep(Duration::from_millis(200));
    recorder.signal(rustix::process::Signal::INT);
    let ended = recorder.wait();
    let recording = ended.recording();
    let file = &recording.path;

    let (_, first, second) = *LENGTHS.iter().find(|lengths| lengths.0 == way).expect("one of the two");
    let names = |lines: &[String]| (in_text(lines, first), in_text(lines, second));
    let lines = show(&["--pid", &server.to_string(), "--pid", &child.to_string()], file);
    let (before, after) = names(&lines);
    assert_eq!(before.len(), 1, "{lines:?}");
    assert_eq!(before[0].0, server, "the server has read the first");
    let name = if what == "exec" { "dd" } else { &*before[0].1 };
    assert_eq!(after, [(child, name.to_owned(), "reader".to_owned())], "{}", lines.join("\n"));
    let corrections: Vec<_> = lines.iter().filter(|line| line.contains(" correction in ")).collect();
    assert_eq!(corrections.len(), 1, "the packet had left: {}", lines.join("\n"));

    assert_eq!(
        in_json(&show(&["--json", "--pid", &child.to_string()], file), second),
        [(child.into(), name.to_owned(), true)]
    );
    assert_eq!(in_json(&show(&["--json", "--pid", &server.to_string()], file), second), []);
    if what == "exec" {
        assert_eq!(in_text(&show(&["--name", "dd"], file), second).len(), 1);
    }

    assert_eq!(owners(&network, &recording, 777), [Some(child)]);
    for pid in [server, child] {
        let lines = show(&["--pid", &pid.to_string(), "--filter", "inbound"], file);
        let lengths = lines.iter().filter_map(|line| line.split(" len=").nth(1)?.split(' ').next());
        let shown: u64 = lengths.map(|length| length.parse::<u64>().expect("a number")).sum();
        assert_eq!(counted(file, pid), shown, "of {pid}, as it is shown: {}", lines.join("\n"));
    }
    assert!(counted(file, child) >= second);
}

/// The owners of the received packets that carry so many bytes.
fn owners(network: &Network, recording: &Recording, length: usize) -> Vec<Option<u32>> {
    let received = recording.packets().filter(|packet| packet.direction == Direction::Inbound);
    let ours = received.filter(|packet| {
        Ip::parse(&packet.data).is_some_and(|ip| {
            network.has(ip.source)
                && !matches!(ip.transport, Transport::Icmp(_))
                && ip.payload().len() == length
        })
    });
    ours.map(|packet| packet.process).collect()
}

#[test]
fn a_child_that_reads_what_came_for_its_parent_is_named() {
    check("tcp", "read");
}

#[test]
fn a_child_that_reads_a_datagram_that_came_for_its_parent_is_named() {
    check("udp", "read");
}

#[test]
fn a_program_that_reads_what_came_for_the_one_before_is_named() {
    check("tcp", "exec");
}

/// A selection decides when a packet is recorded. What is found out later cannot bring it back, but is said. The reader has
/// a name that no other test uses.
#[test]
fn a_packet_that_was_left_out_before_its_reader_was_known_is_said_to_be_missing() {
    const SAID: &str = "1 time, a packet that is not recorded was found later to be of a selected process";
    if !ready(&["python3", "dd"]) {
        return;
    }
    let place = directory();
    let reader = place.path().join("late-reader");
    std::fs::copy("/usr/bin/dd", &reader).expect("the directory is ours");
    let reader = reader.to_str().expect("it is text");
    for (options, is_recorded) in
        [(&["--name", "late-reader"][..], false), (&["--not-name", "late-reader"], true)]
    {
        for (way, ..) in LENGTHS {
            let network = Network::new();
            let recorder = Recorder::start(options);
            hand_on_to(&network, way, "exec", reader);
            std::thread::sleep(Duration::from_millis(200));
            recorder.signal(rustix::process::Signal::INT);
            let ended = recorder.wait();
            assert_eq!(ended.stderr.contains(SAID), !is_recorded, "{way}, {options:?}: {}", ended.stderr);
            let found = owners(&network, &ended.recording(), 777);
            assert_eq!(found.len(), usize::from(is_recorded), "{way}, {options:?}");
        }
    }
}
