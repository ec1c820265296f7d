//! Packets that the kernel leaves out before it asks who owns them: the owners of the others stay exact.

use std::ops::RangeInclusive;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::{Ip, Transport};
use crate::recorder::Recorder;
use crate::recording::{Direction, Recording};
use crate::service::Service;
use crate::traffic::Traffic;

/// Two writers and two readers of one socket each, all forked, which take turns. Each message's length says who writes and
/// who reads it: 100 or 200, 1 more if the second one writes it, 2 more if the second one reads it. Does so 16 times for each
/// line that it reads, each length twice.
const SHARED: &str = r#"
import ctypes, os, socket, sys
way, address = sys.argv[1:]
kind = socket.SOCK_STREAM if way == "tcp" else socket.SOCK_DGRAM
server = socket.socket(socket.AF_INET, kind)
server.bind((address, 0))
client = socket.socket(socket.AF_INET, kind)
if way == "tcp":
    server.listen()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client.connect(server.getsockname())
if way == "tcp":
    server, _ = server.accept()

def child(work):
    orders, order = os.pipe()
    done, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, 9)  # ends with its parent
        while True:
            work(int(os.read(orders, 3)))
            os.write(say, b".")
    def ask(length):
        os.write(order, b"%03d" % length)
        assert os.read(done, 1) == b"."
    return pid, ask

writers = [child(lambda length: client.send(b"x" * length)) for _ in range(2)]
readers = [child(lambda length: server.recv(length, socket.MSG_WAITALL)) for _ in range(2)]
print("ready", *(pid for pid, _ in writers + readers), sep="\t", flush=True)
for _ in sys.stdin:
    for turn in range(16):
        length = 100 * (1 + turn // 4 % 2) + turn % 4
        writers[turn % 2][1](length)
        readers[turn // 2 % 2][1](length)
    print("done", flush=True)
"#;

/// A datagram that is read, and others that wait, when the parent gives its socket to a child, which reads them all. Every
/// second one is short.
const HANDED_ON: &str = r#"
import os, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 0))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(server.getsockname())
def send(lengths):
    for length in lengths:
        client.send(b"x" * length)
send([300, 10, 301, 11])
for _ in range(4):
    server.recv(1000)
send([12, 302, 13, 303, 304, 14])
child = os.fork()
if child == 0:
    os.dup2(server.fileno(), 0)
    os.execvp("python3", ["python3", "-c", "import socket; s = socket.socket(fileno=0); [s.recv(1000) for _ in range(6)]"])
os.waitpid(child, 0)
print("pids", os.getpid(), child, sep="\t", flush=True)
"#;

struct Message {
    length: usize,
    direction: Direction,
    process: Option<u32>,
}

/// The packets with a payload between the ends of the network.
fn messages(recording: &Recording, network: &Network) -> Vec<Message> {
    let of_packet = |data: &[u8]| {
        let ip = Ip::parse(data).filter(|ip| network.has(ip.source))?;
        (!matches!(ip.transport, Transport::Icmp(_))).then(|| ip.payload().len())
    };
    let messages = recording.packets().filter_map(|packet| {
        let length = of_packet(&packet.data).filter(|length| *length > 0)?;
        Some(Message { length, direction: packet.direction, process: packet.process })
    });
    messages.collect()
}

/// Each message has its owner. The messages of these lengths were recorded so often in each direction, and no others.
fn check(messages: &[Message], pids: &[u32], lengths: &[(usize, RangeInclusive<usize>)]) {
    for message in messages {
        let (who, end) = match message.direction {
            Direction::Outbound => (message.length & 1, &pids[..2]),
            Direction::Inbound => (message.length >> 1 & 1, &pids[2..]),
        };
        assert_eq!(message.process, Some(end[who]), "{} bytes, {:?}", message.length, message.direction);
        assert!(
            lengths.iter().any(|(hundred, _)| message.length / 100 * 100 == *hundred),
            "{}",
            message.length
        );
    }
    for (hundred, times) in lengths {
        for length in *hundred..hundred + 4 {
            for direction in [Direction::Outbound, Direction::Inbound] {
                let is_one = |message: &&Message| message.length == length && message.direction == direction;
                let count = messages.iter().filter(is_one).count();
                assert!(times.contains(&count), "{count} of {length} bytes, {direction:?}");
            }
        }
    }
}

/// While nobody reads; while some packets of the connection are wanted; while all are; and while some are again.
fn owners_while_selections_change(way: &str) {
    if !ready(&["python3"]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let address = network.v4(End::A).to_string();
    let mut traffic = Traffic::spawn(network.command(End::A, "python3").args(["-c", SHARED, way, &address]));
    let said = traffic.wait_for("ready");
    let pids: Vec<u32> = said.split('\t').skip(1).map(|pid| pid.parse().expect("a process id")).collect();
    let mut exchange = || {
        traffic.go_on();
        traffic.wait_for("done");
    };
    exchange();
    let some = Recorder::start_through(&service, &["--filter", "greater 220", "--host", &address]);
    exchange();
    let all = Recorder::start_through(&service, &[]);
    exchange();
    let all = messages(&all.stop(), &network);
    exchange();
    let some = messages(&some.stop(), &network);
    // Of the exchange before, a new reader gets what honed has not read out of the kernel yet.
    check(&all, &pids, &[(100, 2..=2), (200, 2..=4)]);
    check(&some, &pids, &[(200, 6..=6)]);
}

#[test]
fn writers_and_readers_of_a_stream_are_exact_while_selections_change() {
    owners_while_selections_change("tcp");
}

#[test]
fn readers_of_a_shared_socket_of_datagrams_are_exact_while_selections_change() {
    owners_while_selections_change("udp");
}

/// Datagrams that are left out lie between the others in the socket: what is read is counted with them.
#[test]
fn a_child_that_reads_is_named_for_the_datagrams_that_it_has_read_and_no_others() {
    if !ready(&["python3"]) {
        return;
    }
    let network = Network::new();
    let address = network.v4(End::A).to_string();
    let recorder = Recorder::start(&["--filter", "greater 200", "--host", &address]);
    let mut traffic = Traffic::spawn(network.command(End::A, "python3").args(["-c", HANDED_ON, &address]));
    let said = traffic.wait_for("pids");
    let pids: Vec<u32> = said.split('\t').skip(1).map(|pid| pid.parse().expect("a process id")).collect();
    traffic.finish();
    let received: Vec<_> = messages(&recorder.stop(), &network)
        .into_iter()
        .filter(|message| message.direction == Direction::Inbound)
        .map(|message| (message.length, message.process))
        .collect();
    let expected =
        [(300, 0), (301, 0), (302, 1), (303, 1), (304, 1)].map(|(length, who)| (length, Some(pids[who])));
    assert_eq!(received, expected);
}
