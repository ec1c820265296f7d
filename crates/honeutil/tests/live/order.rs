//! The packets of a recording are in the order of time.

use crate::guard::ready;
use crate::network::{End, Network};
use crate::recorder::Recorder;
use crate::recording::Recording;
use crate::traffic::Traffic;

/// Several programs talk at once, on all processors.
#[test]
fn packets_of_a_busy_machine_are_in_the_order_of_time() {
    if !ready(&[]) {
        return;
    }
    const PAIRS: usize = 3;
    const DATAGRAMS: usize = 10_000;
    let network = Network::new();
    let (a, b) = (network.v4(End::A), network.v4(End::B));
    let recorder = Recorder::start(&["-s", "96"]);
    let pairs: [_; PAIRS] = std::array::from_fn(|_| {
        let server = format!("udp-server {b}:0 {DATAGRAMS} echo");
        let (server, address) = Traffic::server(&network, End::B, &server);
        let client = format!("udp-client {a}:0 {address} {DATAGRAMS} 64 connected");
        [Traffic::start(&network, End::A, &client), server]
    });
    for traffic in pairs.into_iter().flatten() {
        traffic.finish();
    }
    let recording = recorder.stop();
    // Each datagram and its answer is sent and received.
    assert!(recording.packets().count() >= 4 * PAIRS * DATAGRAMS);
    // Where the processor was taken away between taking the time and sending the record, a packet is late by milliseconds, and
    // what came meanwhile has been read. How often that happens depends on what else the machine does.
    let late: Vec<u64> = late(&recording).into_iter().filter(|&nanos| nanos < 1_000_000).collect();
    // As they come from two processors, one in 20,000 or 8,000 is late. Few of them are behind what was read before.
    assert!(late.len() <= recording.packets().count() / 40_000, "packets came late by ns: {late:?}");
}

/// By how much each packet is behind the latest before it, where it is.
fn late(recording: &Recording) -> Vec<u64> {
    let mut latest = 0;
    let late = recording.packets().filter_map(|packet| {
        let late = u64::checked_sub(latest, packet.nanos).filter(|&late| late > 0);
        latest = latest.max(packet.nanos);
        late
    });
    late.collect()
}
