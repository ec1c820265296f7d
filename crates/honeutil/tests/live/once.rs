//! `--loopback once`: a packet between two processes of one host is one block with both owners. Recorded at the same time
//! twice by another reader, so that both must say the same of each packet.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::corrections::hand_on;
use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::{HONEUTIL, Recorder};
use crate::service::Service;
use crate::tools::tshark;
use crate::traffic::Traffic;

/// The packets of an address as `show` prints them, without their times: how often each. A packet of two owners becomes one
/// line of each. And how many of these there are.
fn packets(file: &Path, address: &str) -> (BTreeMap<String, u64>, usize) {
    let output =
        Command::new(HONEUTIL).args(["show", "--host", address]).arg(file).output().expect("it runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let (mut lines, mut joined) = (BTreeMap::new(), 0);
    for line in String::from_utf8(output.stdout).expect("it is text").lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "PAKT", pid, _, name, direction, rest @ ..] = &words[..] else { continue };
        let is_own = |word: &&&str| !["to_", "conn=", "how="].iter().any(|key| word.starts_with(key));
        let what: Vec<_> = rest.iter().filter(is_own).copied().collect();
        let value = |key: &str| rest.iter().find_map(|word| word.strip_prefix(key)).unwrap_or("-");
        let mut note = |owner: [&str; 5]| {
            *lines.entry(format!("{} {}", owner.join(" "), what.join(" "))).or_default() += 1;
        };
        note([*direction, *pid, *name, value("conn="), value("how=")]);
        if value("to_how=") != "-" {
            joined += 1;
            note(["in", value("to_pid="), value("to_name="), value("to_conn="), value("to_how=")]);
        }
    }
    (lines, joined)
}

/// Records while `play` makes traffic on the loopback device of one end; the files.
fn both(service: &Service, play: impl FnOnce()) -> [crate::recorder::Ended; 2] {
    let recorders = ["once", "twice"].map(|times| Recorder::start_through(service, &["--loopback", times]));
    play();
    recorders.map(|recorder| {
        recorder.signal(rustix::process::Signal::INT);
        let ended = recorder.wait();
        ended.assert_success();
        ended
    })
}

#[test]
fn packets_with_both_owners_say_what_is_said_of_them_twice() {
    if !ready(&["tshark"]) {
        return;
    }
    let network = Network::new();
    let service = Service::start();
    let address = network.v4(End::A).to_string();
    let [once, twice] = both(&service, || {
        let start = |arguments: &str| Traffic::start(&network, End::A, arguments);
        let (tcp, tcp_at) = Traffic::server(&network, End::A, &format!("tcp-server {address}:0 3"));
        let (udp, udp_at) = Traffic::server(&network, End::A, &format!("udp-server {address}:0 100 echo"));
        let clients = [
            start(&format!("tcp-client {address}:0 {tcp_at} 3 5 30000")),
            start(&format!("udp-client {address}:0 {udp_at} 50 64 connected")),
            start(&format!("udp-client {address}:0 {udp_at} 50 4000 unconnected")),
        ];
        clients.into_iter().chain([tcp, udp]).for_each(|it| drop(it.finish()));
        // Data that is read long after it has come, by a child that another process hands its socket to.
        hand_on(&network, "tcp", "fork");
        hand_on(&network, "udp", "fork");
    });
    let (files, address) = ([&once.files[0], &twice.files[0]], address.as_str());
    let [(of_once, joined), (of_twice, none)] = files.map(|file| packets(file, address));
    assert_eq!(none, 0);
    let differences: Vec<_> = (of_once.iter().map(|it| ("once", it, of_twice.get(it.0))))
        .chain(of_twice.iter().map(|it| ("twice", it, of_once.get(it.0))))
        .filter(|(_, it, other)| *other != Some(it.1))
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let all: u64 = of_twice.values().sum();
    assert!(joined as u64 * 2 >= all * 9 / 10, "{joined} of {all} halves are joined");
}

/// To Wireshark, the second of two copies is a retransmission. Large buffers leave as one packet and arrive as several.
#[test]
fn wireshark_sees_no_retransmissions_in_a_large_transfer() {
    if !ready(&["tshark"]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&["--loopback", "once"]);
    let address = network.v4(End::A);
    let (server, at) = Traffic::server(&network, End::A, &format!("tcp-server {address}:0 2"));
    let client = Traffic::start(&network, End::A, &format!("tcp-client {address}:0 {at} 2 5 1000000"));
    [client, server].into_iter().for_each(|it| drop(it.finish()));
    recorder.signal(rustix::process::Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    let count = |what: &str| {
        tshark(&ended.files[0], &format!("{what} && ip.addr == {address} && tcp.len > 0"), "frame.number")
            .len()
    };
    let (all, again) = (count("tcp"), count("tcp.analysis.retransmission"));
    // The kernel may have sent one in truth.
    assert!(all > 20 && again <= 1, "{again} retransmissions of {all} packets");
}

#[test]
fn a_number_of_packets_is_of_blocks() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let service = Service::start();
    let recorder = Recorder::start_through(
        &service,
        &["--loopback", "once", "--count", "60", "--filter", "udp", "--json"],
    );
    let address = network.v4(End::A);
    let (server, at) = Traffic::server(&network, End::A, &format!("udp-server {address}:0 100 echo"));
    let client = Traffic::start(&network, End::A, &format!("udp-client {address}:0 {at} 100 64 connected"));
    [client, server].into_iter().for_each(|it| drop(it.finish()));
    let ended = recorder.wait();
    ended.assert_success();
    assert_eq!(tshark(&ended.files[0], "", "frame.number").len(), 60);
}
