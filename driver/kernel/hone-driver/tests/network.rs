//! Which events the network monitor makes from WFP's indications.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use std::rc::Rc;

use common::{
    CHECKED, FakeBuffer, FakeIndication, START, before_lock, connect, control, driver, indicate,
    lost_packets, messages, open, read, segment, set_now, start, tell, tick, times, values, words,
};
use hone_api::Operation;
use hone_driver::callouts::{Family, Layer};
use hone_packet::{packet_checksums, protocol};

fn outbound(family: Family, protocol: u8, buffers: Vec<FakeBuffer>) -> FakeIndication {
    let values = values(Layer::OutboundTransport, family, protocol);
    FakeIndication { endpoint: Some(5), values, buffers, ..FakeIndication::default() }
}

#[test]
fn what_leaves_gets_its_header_and_every_checksum() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    for (family, protocol) in CHECKED {
        let segment = segment(protocol, 101);
        for piece in [1, 7, 20, 1000] {
            let buffers = vec![FakeBuffer::new(&segment, 0, piece)];
            let indication = outbound(family, protocol, buffers);
            indicate(&driver, Layer::OutboundTransport, family, &indication);
        }
        let told = tell(&read(&driver, reader));
        let packets: Vec<_> = told.iter().filter(|(words, _)| words.starts_with("packet")).collect();
        assert_eq!(packets.len(), 4);
        for (words, packet) in packets {
            let header = if family == Family::V4 { 20 } else { 40 };
            assert_eq!(*words, format!("packet out (Some(5), Some(9)) {}", header + segment.len()));
            assert_eq!(packet.len(), header + segment.len());
            assert_eq!(packet[packet.len() - 101..], segment[segment.len() - 101..]);
            let checksums = packet_checksums([packet.as_slice()]).expect("it is whole");
            let transport = checksums.transport.expect("its protocol has one");
            assert_eq!(transport.found, transport.correct, "{family:?} {protocol}");
            assert!(checksums.header.is_none_or(|header| header.found == header.correct));
        }
    }
}

#[test]
fn a_snap_length_cuts_but_the_checksum_is_of_the_whole() {
    let driver = driver();
    let reader = open(&driver);
    control(&driver, reader, Operation::SetSnapLength, &40_u32.to_le_bytes(), 0).expect("it is in range");
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    let indication = outbound(Family::V4, protocol::TCP, vec![FakeBuffer::new(&segment(6, 500), 0, 11)]);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    let whole = open(&driver);
    read(&driver, whole);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    let short = tell(&read(&driver, reader));
    let [.., (words, long)] = &tell(&read(&driver, whole))[..] else { panic!("a packet is queued") };
    assert_eq!(words, "packet out (Some(5), Some(9)) 540");
    assert_eq!(long.len(), 540);
    for (words, packet) in &short[short.len() - 2..] {
        assert_eq!(words, "packet out (Some(5), Some(9)) 540");
        assert_eq!(packet[..], long[..40]);
    }
}

#[test]
fn each_net_buffer_is_a_packet() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    let buffers = (0..3).map(|index| FakeBuffer::new(&segment(6, index), 0, 64)).collect();
    let indication = outbound(Family::V4, protocol::TCP, buffers);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    assert_eq!(
        words(&read(&driver, reader)),
        [
            "packet out (Some(5), Some(9)) 40",
            "packet out (Some(5), Some(9)) 41",
            "packet out (Some(5), Some(9)) 42",
        ]
    );
}

#[test]
fn a_header_that_the_program_made_is_kept() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    let mut indication = outbound(Family::V4, 250, vec![FakeBuffer::new(b"payload", 0, 3)]);
    indication.included = Some(vec![0x46; 24]);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    let [.., (_, data)] = &tell(&read(&driver, reader))[..] else { panic!("a packet is queued") };
    assert_eq!(*data, [&[0x46; 24][..], b"payload"].concat());
}

#[test]
fn a_packet_that_cannot_be_read_is_counted_as_lost() {
    messages();
    let driver = driver();
    let reader = open(&driver);
    let unreadable = FakeBuffer::unreadable(&segment(6, 0));
    let mut indication = outbound(Family::V4, protocol::TCP, vec![unreadable]);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    indication.buffers = vec![FakeBuffer::new(&segment(6, 0), 0, 9)];
    indication.values.clear();
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    indicate(&driver, Layer::InboundTransport, Family::V6, &indication);
    assert_eq!(lost_packets(&driver, reader), 3);
    assert_eq!(messages().iter().filter(|message| message.starts_with("Warning")).count(), 3);
}

#[test]
fn an_endless_segment_is_recorded_with_its_length() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    for (family, header) in [(Family::V4, 20), (Family::V6, 40)] {
        let indication =
            outbound(family, protocol::TCP, vec![FakeBuffer::new(&segment(6, 300_000), 0, 4096)]);
        indicate(&driver, Layer::OutboundTransport, family, &indication);
        let [.., (words, data)] = &tell(&read(&driver, reader))[..] else { panic!("a packet is queued") };
        assert_eq!(*words, format!("packet out (Some(5), Some(9)) {}", 300_020 + header));
        assert_eq!(data.len(), 262_144);
    }
}

#[test]
fn connections_open_and_close_at_the_layers_that_say_so() {
    let driver = driver();
    let reader = open(&driver);
    read(&driver, reader);
    start(&driver, 9);
    for family in [Family::V4, Family::V6] {
        let layers = [Layer::AuthConnect, Layer::AuthRecvAccept, Layer::ResourceAssignment];
        for (connection, layer) in (0x1_0000_0000..).zip(layers) {
            let indication =
                FakeIndication { endpoint: Some(connection), process: Some(9), ..FakeIndication::default() };
            indicate(&driver, layer, family, &indication);
            indicate(&driver, layer, family, &indication);
        }
        for (layer, connection) in
            [(Layer::EndpointClosure, 0x1_0000_0000), (Layer::ResourceRelease, 0x1_0000_0001)]
        {
            let indication = FakeIndication { endpoint: Some(connection), ..FakeIndication::default() };
            indicate(&driver, layer, family, &indication);
            indicate(&driver, layer, family, &indication);
        }
        indicate(&driver, Layer::AuthConnect, family, &FakeIndication::default());
        let told = words(&read(&driver, reader));
        let told: Vec<_> = told.iter().filter(|words| words.starts_with("connection")).collect();
        let mut expected = vec![
            "connection 0x100000000 of 9 opens",
            "connection 0x100000001 of 9 opens",
            "connection 0x100000002 of 9 opens",
            "connection 0x100000000 of 9 closes",
            "connection 0x100000001 of 9 closes",
        ];
        if family == Family::V6 {
            expected.remove(2);
        }
        assert_eq!(told, expected);
    }
}

/// No page says in which order closure, release and the last packets come.
#[test]
fn closure_release_and_the_last_packets_may_come_in_any_order() {
    enum Last {
        At(Layer),
        Packet,
    }
    let what = [Last::At(Layer::EndpointClosure), Last::At(Layer::ResourceRelease), Last::Packet];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let driver = driver();
        start(&driver, 9);
        connect(&driver, 5, 9);
        let reader = open(&driver);
        read(&driver, reader);
        for last in order {
            match &what[last] {
                Last::Packet => {
                    let segment = segment(protocol::TCP, 0);
                    let buffers = vec![FakeBuffer::new(&segment, 0, 64)];
                    let indication = outbound(Family::V4, protocol::TCP, buffers);
                    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
                }
                Last::At(layer) => {
                    let indication = FakeIndication { endpoint: Some(5), ..FakeIndication::default() };
                    indicate(&driver, *layer, Family::V4, &indication);
                }
            }
        }
        let mut told = words(&read(&driver, reader));
        told.sort_unstable();
        let expected = ["connection 0x5 of 9 closes", "packet out (Some(5), Some(9)) 40"];
        assert_eq!(told, expected, "{order:?}");
    }
}

#[test]
fn a_packet_is_of_its_connections_owner_and_without_a_handle_of_nobody() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    start(&driver, 4);
    connect(&driver, 0x1_0000_0005, 9);
    // The System process stands for all drivers. It owns connections like every other process.
    connect(&driver, 5, 4);
    read(&driver, reader);
    let of = |endpoint, expected: &str| {
        let mut indication =
            outbound(Family::V4, protocol::ICMP, vec![FakeBuffer::new(&segment(1, 0), 0, 9)]);
        indication.endpoint = endpoint;
        indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
        assert_eq!(words(&read(&driver, reader)), [format!("packet out {expected} 28")]);
    };
    of(Some(0x1_0000_0005), "(Some(4294967301), Some(9))");
    of(Some(5), "(Some(5), Some(4))");
    of(None, "(None, None)");
}

#[test]
fn a_handle_of_0_is_no_connection() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    read(&driver, reader);
    connect(&driver, 0, 9);
    let mut indication = outbound(Family::V4, protocol::UDP, vec![FakeBuffer::new(&segment(17, 0), 0, 9)]);
    indication.endpoint = Some(0);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    let closed = FakeIndication { endpoint: Some(0), process: Some(9), ..FakeIndication::default() };
    indicate(&driver, Layer::EndpointClosure, Family::V4, &closed);
    assert_eq!(words(&read(&driver, reader)), ["packet out (None, None) 28"]);
}

#[test]
#[should_panic(expected = "OutboundTransport has no ProcessId")]
fn the_fake_refuses_what_is_not_documented() {
    let driver = driver();
    let indication = FakeIndication { process: Some(9), ..FakeIndication::default() };
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
}

#[test]
fn a_packet_waits_for_its_connections_owner_and_the_timer_lets_it_go() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    read(&driver, reader);
    let packet = |endpoint| {
        let mut indication =
            outbound(Family::V4, protocol::TCP, vec![FakeBuffer::new(&segment(6, 0), 0, 99)]);
        indication.endpoint = Some(endpoint);
        indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    };
    packet(1);
    packet(2);
    assert_eq!(words(&read(&driver, reader)), ["connection 0x1 of 0 opens", "connection 0x2 of 0 opens"]);
    let owned = FakeIndication { endpoint: Some(1), process: Some(9), ..FakeIndication::default() };
    indicate(&driver, Layer::ResourceAssignment, Family::V4, &owned);
    assert_eq!(
        words(&read(&driver, reader)),
        ["connection 0x1 of 9 opens", "packet out (Some(1), Some(9)) 40"]
    );
    set_now(1);
    tick(&driver);
    assert_eq!(words(&read(&driver, reader)), ["packet out (Some(2), None) 40"]);
}

#[test]
fn without_a_reader_no_packet_is_looked_at() {
    messages();
    let driver = driver();
    let indication = outbound(Family::V4, protocol::TCP, vec![FakeBuffer::unreadable(&segment(6, 0))]);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    assert!(messages().is_empty());
}

#[test]
fn who_waits_for_the_lock_tells_no_time_before_that_of_the_timer_which_came_first() {
    let driver = Rc::new(driver());
    let reader = open(&driver);
    start(&driver, 9);
    read(&driver, reader);
    let mut indication = outbound(Family::V4, protocol::TCP, vec![FakeBuffer::new(&segment(6, 0), 0, 99)]);
    indication.endpoint = Some(1);
    indicate(&driver, Layer::OutboundTransport, Family::V4, &indication);
    read(&driver, reader);

    // While this event reports the connection's owner, the timer on another processor takes the lock first.
    let timer = Rc::clone(&driver);
    before_lock(move || {
        set_now(1);
        tick(&timer);
    });
    let owned = FakeIndication { endpoint: Some(1), process: Some(9), ..FakeIndication::default() };
    indicate(&driver, Layer::ResourceAssignment, Family::V4, &owned);
    let blocks = read(&driver, reader);
    assert_eq!(words(&blocks), ["packet out (Some(1), None) 40", "connection 0x1 of 9 opens"]);
    let ticked = START + 1_000_000_000;
    assert_eq!(times(&blocks), [START, ticked], "the packet was given up for all that happened until then");
}
