//! The same packets as tcpdump sees on the interface, no more and no less.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use hone_testing::{Guarded, wait_for};
use rustix::process::Signal;

use crate::guard::ready;
use crate::network::{End, INTERFACE, Network};
use crate::packet::{Ip, Transport};
use crate::recorder::{Recorder, directory};
use crate::recording::Direction;
use crate::traffic::Traffic;

/// The largest packet, in bytes: see below.
const LARGEST: u32 = 16_000;

#[test]
fn the_same_packets_as_tcpdump() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    for end in [End::A, End::B] {
        network.ip(end, &format!("link set {INTERFACE} gso_max_size {LARGEST}\n"));
    }
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let place = directory();
    let (pcap, words) = (place.path().join("tcpdump.pcap"), place.path().join("words"));
    let mut command = network.command(End::B, "tcpdump");
    // As root, for only root may write there; each packet at once, for the test ends soon. That takes a slot of its
    // buffer (in KiB) for each packet, as large as the snap length and rounded up to 32 KiB: there are more of them
    // than packets, so that none is lost however late tcpdump comes to run.
    let snap_length = (LARGEST + 1000).to_string();
    command.args(["-i", INTERFACE, "-n", "-Z", "root", "--immediate-mode", "-U"]);
    command.args(["-B", "65536", "-s", &snap_length, "-w"]).arg(&pcap);
    command.arg("tcp or udp").stdout(Stdio::null());
    let mut tcpdump = Guarded::spawn(command.stderr(File::create(&words).expect("the directory is ours")));
    let recorder = Recorder::start(&[]);
    wait_for("tcpdump listens", || {
        std::fs::read_to_string(&words).is_ok_and(|text| text.contains("listening on")).then_some(())
    });

    let (udp_server, udp) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 300 echo"));
    let (tcp_server, tcp) = Traffic::server(&network, End::B, &format!("tcp-server {b}:0 2"));
    let udp_client = Traffic::start(&network, End::A, &format!("udp-client {a}:0 {udp} 300 500 connected"));
    let tcp_client = Traffic::start(&network, End::A, &format!("tcp-client {a}:0 {tcp} 2 20 500000"));
    for traffic in [udp_client, tcp_client, udp_server, tcp_server] {
        traffic.finish();
    }
    let recording = recorder.stop();
    tcpdump.signal(Signal::INT);
    assert!(tcpdump.wait("tcpdump ends").success());
    let text = std::fs::read_to_string(&words).expect("the directory is ours");
    assert!(text.contains("\n0 packets dropped by kernel"), "tcpdump lost packets itself: {text}");

    let theirs = count(read_pcap(&pcap).iter().map(Vec::as_slice));
    // What B sends and receives: the same end of the wire.
    let at_b = recording.packets().filter(|packet| {
        let ends = Ip::parse(&packet.data).map(|ip| (ip.source, ip.destination, packet.direction));
        ends == Some((b, a, Direction::Outbound)) || ends == Some((a, b, Direction::Inbound))
    });
    let ours = count(at_b.map(|packet| packet.data.as_slice()));
    assert!(theirs.values().sum::<usize>() > 600, "tcpdump saw only {} packets", theirs.len());
    let surplus = |these: &HashMap<Vec<u8>, usize>, those: &HashMap<Vec<u8>, usize>| {
        let more = these.iter().filter(|(packet, count)| those.get(*packet) != Some(count));
        more.map(|(packet, count)| (*count, Ip::parse(packet).and_then(|ip| ip.endpoints()), packet.len()))
            .collect::<Vec<_>>()
    };
    let (missing, extra) = (surplus(&theirs, &ours), surplus(&ours, &theirs));
    assert!(missing.is_empty() && extra.is_empty(), "only tcpdump: {missing:?}; only honeutil: {extra:?}");
}

/// How often each packet occurs. The transport's checksum is left out: where it is filled in depends on the interface.
fn count<'a>(packets: impl Iterator<Item = &'a [u8]>) -> HashMap<Vec<u8>, usize> {
    let mut counts = HashMap::new();
    for packet in packets {
        let mut packet = packet.to_vec();
        let ip = Ip::parse(&packet).expect("only IP was asked for");
        // IPv4 without options, as the kernel sends it.
        let checksum = 20 + if matches!(ip.transport, Transport::Tcp { .. }) { 16 } else { 6 };
        packet[checksum..checksum + 2].fill(0);
        *counts.entry(packet).or_default() += 1;
    }
    counts
}

/// The IP packets in a classic capture file of this machine: a header, then time, captured and original length and
/// an Ethernet frame for each.
fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    const ETHERNET_HEADER: usize = 14;
    let bytes = std::fs::read(path).expect("tcpdump has written it");
    let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().expect("tcpdump ended well"));
    assert_eq!(word(0), MAGIC, "not a capture file of microseconds");
    let mut packets = Vec::new();
    let mut at = FILE_HEADER;
    while at < bytes.len() {
        let (captured, original) = (word(at + 8), word(at + 12));
        assert_eq!(captured, original, "tcpdump cut a packet");
        let frame = &bytes[at + PACKET_HEADER..][..captured.try_into().expect("usize has 32 bits at least")];
        packets.push(frame[ETHERNET_HEADER..].to_vec());
        at += PACKET_HEADER + frame.len();
    }
    packets
}
