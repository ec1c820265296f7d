//! `honeutil read` with words that select.

use std::collections::HashSet;

use hone_testing::wait_for;
use rustix::process::Signal;

use crate::files::datagrams;
use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::Ip;
use crate::recorder::{Recorder, directory};
use crate::recording::Recording;
use crate::service::Service;
use crate::traffic::{Traffic, generator};

/// The packets between the ends of this network, by process.
fn of_network(recording: &Recording, network: &Network) -> Vec<Option<u32>> {
    let own = |data: &[u8]| Ip::parse(data).is_some_and(|ip| network.has(ip.source));
    recording.packets().filter(|packet| own(&packet.data)).map(|packet| packet.process).collect()
}

#[test]
fn a_program_that_starts_later_is_recorded_whole_and_nothing_else_is() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let chatter = place.path().join("chatter");
    std::fs::copy(generator(), &chatter).expect("the directory is ours");
    let (service, network) = (Service::start(), Network::new());
    let words = ["--name", "chatter", "--not-port", "1"];
    let starts: [&dyn Fn() -> Recorder; 2] =
        [&|| Recorder::start(&words), &|| Recorder::start_through(&service, &words)];
    for start in starts {
        let recorder = start();
        let noise = datagrams(&network, 50, 100);
        let (a, b) = (network.v4(End::A), network.v4(End::B));
        let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 50 echo"));
        let client = format!("udp-client {a}:0 {address} 50 100 connected");
        let client = Traffic::spawn(network.command(End::A, &chatter).args(client.split(' ')));
        let pid = client.pid();
        for traffic in noise.into_iter().chain([server, client]) {
            traffic.finish();
        }
        let recording = recorder.stop();
        assert_eq!(
            of_network(&recording, &network),
            vec![Some(pid); 100],
            "50 datagrams out, their echoes in"
        );
        let told: HashSet<u32> = recording.processes().map(|event| event.pid).collect();
        let parents: HashSet<u32> = recording.processes().filter_map(|event| event.parent).collect();
        let is_needed = |told: &u32| *told == pid || parents.contains(told);
        assert!(
            told.contains(&pid) && told.iter().all(is_needed),
            "{told:?}: only the process and its ancestors"
        );
        let connections: HashSet<u64> = recording.connections().map(|event| event.id).collect();
        assert_eq!(connections.len(), 1, "{connections:?}: only the one of the packets");
        let pids: HashSet<_> = recording.packets().map(|packet| packet.process).collect();
        assert_eq!(pids, HashSet::from([Some(pid)]));
    }
}

#[test]
fn readers_of_one_honed_disagree() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let (b, port) = (network.v4(End::B), 7_777_u16);
    let other = (port + 1).to_string();
    let with = Recorder::start_through(&service, &["--port", "7777"]);
    let without = Recorder::start_through(&service, &["--not-port", "7777", "--host", &b.to_string()]);
    let by_expression =
        Recorder::start_through(&service, &["--filter", "udp and not port 7777", "--host", &b.to_string()]);
    let mut all = Vec::new();
    for port in ["7777", &other] {
        let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:{port} 50 echo"));
        let a = network.v4(End::A);
        all.push(Traffic::start(&network, End::A, &format!("udp-client {a}:0 {address} 50 100 connected")));
        all.push(server);
    }
    all.into_iter().for_each(|traffic| drop(traffic.finish()));
    for recorder in [with, without, by_expression] {
        // Two packets of each datagram, at each end: 50 out and 50 echoes.
        assert_eq!(of_network(&recorder.stop(), &network).len(), 200);
    }
}

#[test]
fn a_selection_holds_in_the_next_file_and_when_honed_is_back() {
    if !ready(&[]) {
        return;
    }
    let (mut service, network) = (Service::start(), Network::new());
    let b = network.v4(End::B).to_string();
    let recorder = Recorder::start_through(&service, &["--follow", "--host", &b]);
    let file = recorder.files().remove(0);
    let exchange = || datagrams(&network, 50, 100).map(Traffic::finish);
    exchange();
    service.end(Signal::TERM);
    let length = file.metadata().expect("it is there").len();
    service.start_again();
    wait_for("the next section", || (file.metadata().expect("it is there").len() > length).then_some(()));
    exchange();
    recorder.signal(Signal::INT);
    let ended = recorder.wait();
    ended.assert_success();
    let sections = Recording::read_sections(&file);
    assert_eq!(sections.len(), 2);
    for section in sections {
        assert_eq!(of_network(&section, &network).len(), 200);
        assert_eq!(section.packets().count(), 200, "packets of others are not in it");
    }
}

/// What is selected by name is not copied for the others, and nothing of it is missing, however short a process lives.
#[test]
fn by_name_the_kernel_leaves_out_others_and_no_packet_of_a_process_that_has_just_started() {
    if !ready(&[]) {
        return;
    }
    let place = directory();
    let chatter = place.path().join("chatter");
    std::fs::copy(generator(), &chatter).expect("the directory is ours");
    let (service, network) = (Service::start(), Network::new());
    let words = ["--name", "chatter"];
    let starts: [&dyn Fn() -> Recorder; 2] =
        [&|| Recorder::start(&words), &|| Recorder::start_through(&service, &words)];
    for start in starts {
        let recorder = start();
        let noise = datagrams(&network, 2000, 100);
        let (a, b) = (network.v4(End::A), network.v4(End::B));
        let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 200 echo"));
        for _ in 0..100 {
            let client = format!("udp-client {a}:0 {address} 2 100 connected");
            Traffic::spawn(network.command(End::A, &chatter).args(client.split(' '))).finish();
        }
        noise.into_iter().chain([server]).for_each(|traffic| drop(traffic.finish()));
        recorder.signal(Signal::INT);
        let ended = recorder.wait();
        ended.assert_success();
        let said = &ended.stderr;
        let in_kernel = said
            .split_once(" of them filtered in the kernel")
            .and_then(|(before, _)| before.rsplit(' ').next()?.replace(',', "").parse::<u64>().ok());
        // Of 8,400. Those of the first moments are left out by the recorder: the kernel is told of a process after it has sent.
        assert!(
            in_kernel.is_some_and(|packets| packets >= 1000),
            "others' packets stay in the kernel: {said}"
        );
        assert!(said.contains("to 100 processes"), "{said}");
        assert!(said.contains("Recorded    400 packets"), "two datagrams and their echoes of each: {said}");
    }
}

/// A reader that wants all gets all from when it is attached, and the other one goes on as before.
#[test]
fn a_reader_attached_in_the_midst_gets_what_the_kernel_left_out_before() {
    if !ready(&[]) {
        return;
    }
    let (service, network) = (Service::start(), Network::new());
    let selects = Recorder::start_through(&service, &["--port", "7777"]);
    let exchange = |port: u16| {
        let (a, b) = (network.v4(End::A), network.v4(End::B));
        let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:{port} 50 echo"));
        let client =
            Traffic::start(&network, End::A, &format!("udp-client {a}:0 {address} 50 100 connected"));
        [client, server].into_iter().for_each(|traffic| drop(traffic.finish()));
    };
    exchange(7778);
    let all = Recorder::start_through(&service, &[]);
    exchange(7778);
    let recording = all.stop();
    assert_eq!(of_network(&recording, &network).len(), 200, "all since it was attached");
    exchange(7777);
    exchange(7778);
    assert_eq!(of_network(&selects.stop(), &network).len(), 200, "what it selects");
}
