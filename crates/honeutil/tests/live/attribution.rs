//! Every packet carries the process that it belongs to: the generator's traffic.

use std::net::SocketAddr;

use crate::guard::ready;
use crate::network::{End, Network};
use crate::packet::Ip;
use crate::recorder::{Recorder, directory};
use crate::recording::Direction;
use crate::traffic::{Traffic, generator};
use crate::truth::{Closing, Truth};

#[test]
fn udp_datagrams_of_connected_and_unconnected_sockets() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 400 echo"));
    let client = |mode, bytes| {
        Traffic::start(&network, End::A, &format!("udp-client {a}:0 {address} 200 {bytes} {mode}"))
    };
    // At the same time, so that packets of several processes mix; the longer ones also come in fragments.
    let clients = [client("connected", 64), client("unconnected", 4000)];
    let mut told: Vec<_> = clients.into_iter().map(Traffic::finish).collect();
    told.push(server.finish());
    Truth::told(told).check(&network, &recorder.stop(), Closing::ByOwner);
}

#[test]
fn tcp_exchanges_and_a_large_transfer() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("tcp-server {b}:0 3"));
    let client = Traffic::start(&network, End::A, &format!("tcp-client {a}:0 {address} 3 5 1000000"));
    let told = [client.finish(), server.finish()];
    Truth::told(told).check(&network, &recorder.stop(), Closing::ByOwner);
}

#[test]
fn tcp_and_udp_over_ipv6() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v6(End::A), network.v6(End::B));
    let (tcp_server, tcp) = Traffic::server(&network, End::B, &format!("tcp-server [{b}]:0 1"));
    let (udp_server, udp) = Traffic::server(&network, End::B, &format!("udp-server [{b}]:0 40 echo"));
    let tcp_client = Traffic::start(&network, End::A, &format!("tcp-client [{a}]:0 {tcp} 1 5 300000"));
    let connected = Traffic::start(&network, End::A, &format!("udp-client [{a}]:0 {udp} 20 64 connected"));
    let unconnected =
        Traffic::start(&network, End::A, &format!("udp-client [{a}]:0 {udp} 20 64 unconnected"));
    let told = [tcp_client, connected, unconnected, tcp_server, udp_server].map(Traffic::finish);
    Truth::told(told).check(&network, &recorder.stop(), Closing::ByOwner);
}

#[test]
fn five_hundred_processes_that_live_a_millisecond() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (sink, udp) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 500 sink"));
    let (server, tcp) = Traffic::server(&network, End::B, &format!("tcp-server {b}:0 500"));
    let client = Traffic::start(&network, End::A, &format!("oneshot {a}:20000 {udp} {tcp} 500"));
    let told = [client, sink, server].map(Traffic::finish);
    let truth = Truth::told(told.into_iter().map(|lines| {
        // What the server had to send to each: nothing, so there is no stream.
        lines.into_iter().filter(|line| !(line.starts_with("stream\t") && line.ends_with("\t0"))).collect()
    }));
    assert_eq!(truth.processes.len(), 503);
    truth.check(&network, &recorder.stop(), Closing::ByKernel);
}

#[test]
fn workers_that_accept_from_their_parents_listener() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("prefork {b}:0 4 3"));
    let client =
        |count| Traffic::start(&network, End::A, &format!("tcp-client {a}:0 {address} {count} 4 20000"));
    let clients = [client(6), client(6)];
    let mut told: Vec<_> = clients.into_iter().map(Traffic::finish).collect();
    told.push(server.finish());
    let workers: Vec<_> = told.iter().flatten().filter(|line| line.starts_with("connection\t")).collect();
    assert_eq!(workers.len(), 12, "each connection was accepted by a worker: {workers:?}");
    Truth::told(told).check(&network, &recorder.stop(), Closing::ByOwner);
}

/// From accept(2) on, what comes in is the worker's, not only once the worker has used the connection.
#[test]
fn a_worker_has_what_it_accepted_before_it_uses_it() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (udp_server, udp) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 5 echo"));
    let (mut server, tcp) = Traffic::server(&network, End::B, &format!("prefork {b}:0 1 1"));
    let mut client = Traffic::start(&network, End::A, &format!("hold {a}:0 {udp} {tcp} 5"));
    client.wait_for("holding");
    server.wait_for("connection");
    client.go_on();
    let mut truth = Truth::told([client, udp_server, server].map(Traffic::finish));
    truth.accepted_before_data = true;
    truth.check(&network, &recorder.stop(), Closing::ByOwner);
}

/// Accepted and closed without any use in between: it is still opened and closed, by its owners.
#[test]
fn connections_that_are_accepted_and_closed_at_once() {
    if !ready(&[]) {
        return;
    }
    const COUNT: usize = 20;
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("tcp-dismiss {b}:0 {COUNT}"));
    let client = Traffic::start(&network, End::A, &format!("tcp-await {a}:0 {address} {COUNT}"));
    let pids = [server.pid(), client.pid()];
    let truth = Truth::told([client.finish(), server.finish()]);
    let recording = recorder.stop();
    truth.check(&network, &recording, Closing::ByKernel);
    // The server has its listener too.
    assert_eq!(pids.map(|pid| recording.opened_and_closed_by(pid).1.len()), [COUNT + 1, COUNT]);
}

/// Their process has closed them, and the other end acknowledges that late: on a timer's tick, whatever runs then.
#[test]
fn connections_whose_end_is_acknowledged_late_are_closed() {
    if !ready(&[]) {
        return;
    }
    const COUNT: usize = 4000;
    let network = Network::new();
    let recorder = Recorder::start(&["--snap-length", "60"]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("tcp-late {b}:0 {COUNT}"));
    let client = Traffic::start(&network, End::A, &format!("tcp-leave {a}:0 {address} {COUNT}"));
    let pid = client.pid();
    client.finish();
    server.finish();
    let (opened, closed) = recorder.stop().opened_and_closed_by(pid);
    assert_eq!(opened.len(), COUNT);
    let open: Vec<_> = opened.difference(&closed).collect();
    assert!(open.is_empty(), "connections that stay open: {open:?}");
}

/// What comes in on a socket that several processes hold is the process's that read from it last.
#[test]
fn an_inherited_socket_is_its_readers() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let inherited = SocketAddr::new(b, 5000);
    let mut server = Traffic::start(&network, End::B, &format!("inherit {inherited} 10"));
    server.wait_for("endpoint");
    let parent = server.pid();
    let client = Traffic::start(&network, End::A, &format!("udp-client {a}:0 {inherited} 10 64 unconnected"));
    let truth = Truth::told([client.finish(), server.finish()]);
    let worker =
        truth.processes.iter().find(|process| process.parent == parent).expect("the worker was told").pid;
    let recording = recorder.stop();
    truth.check_payloads(&network, &[&recording]);
    truth.check_processes(&recording);
    let arrived = recording.packets().filter(|packet| {
        let to = Ip::parse(&packet.data).and_then(|ip| ip.endpoints()).map(|(_, to)| to);
        packet.direction == Direction::Inbound && to == Some(inherited)
    });
    let owners: Vec<Option<u32>> = arrived.map(|packet| packet.process).collect();
    // The first came before anybody had read.
    assert!([parent, worker].map(Some).contains(&owners[0]), "{owners:?} of {parent} and {worker}");
    assert_eq!(
        owners[1..],
        [Some(worker); 9],
        "the worker {worker} has read the first; {parent} made the socket"
    );
}

/// Over the loopback interface, where a packet may be as large as the kernel allows.
#[test]
fn packets_over_64_kib_are_whole() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    network.ip(End::A, "link set lo mtu 65536 gso_max_size 190000 gro_max_size 190000\n");
    let recorder = Recorder::start(&["-s", "0"]);
    let a = network.v6(End::A);
    let (server, address) = Traffic::server(&network, End::A, &format!("tcp-server [{a}]:0 1"));
    let client = Traffic::start(&network, End::A, &format!("tcp-client [{a}]:0 {address} 1 2 2000000"));
    let told = [client.finish(), server.finish()];
    let recording = recorder.stop();
    let ours =
        recording.packets().filter(|packet| Ip::parse(&packet.data).is_some_and(|ip| network.has(ip.source)));
    let largest = ours.map(|packet| packet.data.len()).max();
    assert!(largest > Some(65_576), "the largest packet has {largest:?} bytes, so this test tests nothing");
    Truth::told(told).check(&network, &recording, Closing::ByOwner);
}

/// The effective user and group are those of the process, by number and by name.
#[test]
fn processes_of_another_user() {
    if !ready(&["setpriv", "id"]) {
        return;
    }
    const NOBODY: u32 = 65_534;
    let name = |option: &str| {
        let mut command = std::process::Command::new("id");
        hone_testing::run(command.args([option, &NOBODY.to_string()])).trim_end().to_owned()
    };
    let network = Network::new();
    // Where cargo builds may be closed to other users.
    let open = directory();
    let program = open.path().join("traffic");
    std::fs::copy(generator(), &program).expect("the generator can be copied");
    hone_testing::run(std::process::Command::new("chmod").arg("755").args([open.path(), &program]));
    let recorder = Recorder::start(&[]);
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (server, address) = Traffic::server(&network, End::B, &format!("udp-server {b}:0 5 echo"));
    let identity = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()];
    let mut command = network.command(End::A, "setpriv");
    command.args(identity).arg("--").arg(&program);
    let local = format!("{a}:0");
    command.args(["udp-client", &local, &address.to_string(), "5", "64", "connected"]);
    let client = Traffic::spawn(&mut command);
    let pid = client.pid();
    let mut truth = Truth::told([client.finish(), server.finish()]);
    let process = truth.processes.iter_mut().find(|process| process.pid == pid).expect("it told of itself");
    (process.user, process.group) = ((NOBODY, name("-nu")), (NOBODY, name("-ng")));
    truth.check(&network, &recorder.stop(), Closing::ByOwner);
}
