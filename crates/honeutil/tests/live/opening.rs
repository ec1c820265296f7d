//! The state when a recording begins: processes that run and sockets that are open already.

use std::collections::HashMap;

use hone_pcapng::{ConnectionEventKind, ProcessEventKind};

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::Recorder;
use crate::recording::{Entry, Recording};
use crate::traffic::Traffic;
use crate::truth::{Closing, Truth};

/// Two servers and a client whose sockets are open before anybody records.
fn holding(network: &Network) -> [Traffic; 3] {
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let (udp_server, udp) = Traffic::server(network, End::B, &format!("udp-server {b}:0 50 echo"));
    let (tcp_server, tcp) = Traffic::server(network, End::B, &format!("tcp-server {b}:0 1"));
    let mut client = Traffic::start(network, End::A, &format!("hold {a}:0 {udp} {tcp} 50"));
    client.wait_for("holding");
    [client, udp_server, tcp_server]
}

#[test]
fn sockets_that_were_open_before_the_sensor() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let mut held = holding(&network);
    let recorder = Recorder::start(&[]);
    held[0].go_on();
    let truth = Truth::told(held.map(Traffic::finish));
    truth.check(&network, &recorder.stop(), Closing::ByOwner);
}

#[test]
fn the_state_comes_first_and_sorted_by_time() {
    if !ready(&[]) {
        return;
    }
    let network = Network::new();
    let held = holding(&network);
    let pids = held.each_ref().map(Traffic::pid);
    // A process that runs before the sensor starts and after it ran all the time. Its start time distinguishes it from
    // another one with the same id.
    let before = running();
    let recorder = Recorder::start(&[]);
    let own = recorder.pid();
    let after = running();
    let recording = recorder.stop();
    drop(held);

    let state = state(&recording);
    let stated = |pid| {
        state.iter().any(|entry| {
            matches!(entry, Entry::Process(event) if event.pid == pid && event.kind != ProcessEventKind::Ended)
        })
    };
    let missing: Vec<_> = before
        .iter()
        .filter(|(pid, started)| after.get(*pid) == Some(*started) && !stated(**pid))
        .map(|(pid, _)| *pid)
        .collect();
    assert!(missing.is_empty(), "not in the state at the start: {missing:?}");
    assert!(stated(own), "honeutil itself ran when it began");
    let open = |pid| {
        let opened = state.iter().filter(|entry| {
            matches!(entry, Entry::Connection(event)
                if event.pid == pid && event.kind == ConnectionEventKind::Opened)
        });
        opened.count()
    };
    // The client has two sockets; the UDP server one; the TCP server listens and has accepted one.
    assert_eq!(pids.map(open), [2, 1, 2]);
    let kernel_thread = recording.processes().find(|event| event.kind == ProcessEventKind::KernelThread);
    if let Some(thread) = kernel_thread {
        let name = thread.path.as_deref().unwrap_or_default();
        assert!(name.starts_with('[') && name.ends_with(']'), "a kernel thread is named {name:?}");
    }
}

/// The state that a file begins with: up to the first packet, end or close, as far as it is in the order of time.
fn state(recording: &Recording) -> &[Entry] {
    let live = |entry: &Entry| match entry {
        Entry::Packet(_) => true,
        Entry::Process(event) => event.kind == ProcessEventKind::Ended,
        Entry::Connection(event) => event.kind != ConnectionEventKind::Opened,
    };
    let entries = &recording.entries;
    let end = entries.iter().position(live).unwrap_or(entries.len());
    let sorted = entries[..end].windows(2).position(|pair| pair[0].nanos() > pair[1].nanos());
    &entries[..sorted.map_or(end, |at| at + 1)]
}

/// The processes that run, with their start times in the kernel's ticks. Without those that a security policy hides
/// from root, as a container's or virtual machine's init may be: it hides them from the sensor too.
fn running() -> HashMap<u32, String> {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let executable = std::fs::read_link(format!("/proc/{pid}/exe"));
        let hidden = executable.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        // The second field, the name, may hold blanks; what follows it does not. See proc(5): state, ..., starttime.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let zombie = matches!(fields.next()?, "Z" | "X");
        let start = fields.nth(18)?.to_owned();
        (!zombie && !hidden).then_some((pid, start))
    });
    processes.collect()
}
