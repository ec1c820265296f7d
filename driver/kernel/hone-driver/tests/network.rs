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
    FakeBuffer, FakeIndication, START, before_lock, connect, control, driver, indicate, messages, open, read,
    set_now, start, tell, times, v6, values, words,
};
use hone_api::Operation;
use hone_driver::Value;
use hone_driver::callouts::{Family, Layer};
use hone_packet::{Addresses, IpHeader, packet_checksums, protocol};

/// A segment with a wrong checksum, as the network stack passes it on before the network card computes the checksum.
fn segment(protocol: u8, payload: usize) -> Vec<u8> {
    let header: &[u8] = match protocol {
        protocol::TCP => &[0x9C, 0x40, 1, 0xBB, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0xAB, 0xCD, 0, 0],
        protocol::UDP => &[0x9C, 0x40, 0, 53, 0, 0, 0xAB, 0xCD],
        protocol::ICMP => &[8, 0, 0xAB, 0xCD, 0, 1, 0, 2],
        _ => &[128, 0, 0xAB, 0xCD, 0, 1, 0, 2],
    };
    let mut segment = header.to_vec();
    segment.extend((0..payload).map(|index| u8::try_from(index % 251).unwrap_or(0)));
    if protocol == protocol::UDP {
        let length = u16::try_from(segment.len()).unwrap_or(0);
        segment[4..6].copy_from_slice(&length.to_be_bytes());
    }
    segment
}

fn outbound(family: Family, protocol: u8, buffers: Vec<FakeBuffer>) -> FakeIndication {
    let values = values(Layer::OutboundTransport, family, protocol);
    FakeIndication { endpoint: Some(5), values, buffers, ..FakeIndication::default() }
}

/// Families and protocols that have checksums.
const CHECKED: [(Family, u8); 6] = [
    (Family::V4, protocol::TCP),
    (Family::V4, protocol::UDP),
    (Family::V4, protocol::ICMP),
    (Family::V6, protocol::TCP),
    (Family::V6, protocol::UDP),
    (Family::V6, protocol::ICMPV6),
];

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
fn what_arrives_is_recorded_from_its_own_header_on() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    let packet = [&[0x45; 20][..], &segment(protocol::TCP, 30)].concat();
    for piece in [1, 33, 1000] {
        let mut indication = FakeIndication {
            endpoint: Some(5),
            ip: Some(20),
            transport: Some(20),
            values: values(Layer::InboundTransport, Family::V4, protocol::TCP),
            buffers: vec![FakeBuffer::new(&packet, 40, piece)],
            ..FakeIndication::default()
        };
        indicate(&driver, Layer::InboundTransport, Family::V4, &indication);
        let [.., (words, data)] = &tell(&read(&driver, reader))[..] else { panic!("a packet is queued") };
        assert_eq!((words.as_str(), data), ("packet in (Some(5), Some(9)) 70", &packet));

        // The IP header is no longer in the buffer, so the driver makes one.
        indication.buffers = vec![FakeBuffer::new(&packet[20..], 20, piece)];
        indicate(&driver, Layer::InboundTransport, Family::V4, &indication);
        let [.., (words, data)] = &tell(&read(&driver, reader))[..] else { panic!("a packet is queued") };
        assert_eq!(words, "packet in (Some(5), Some(9)) 70");
        assert_eq!(data[12..20], [10, 0, 0, 2, 10, 0, 0, 1], "from the remote end to the local one");
        assert_eq!(data[20..], packet[20..], "its checksum stays as it arrived");
    }
}

/// A packet without any checksum, as a loopback packet arrives.
fn unfinished(family: Family, protocol: u8) -> Vec<u8> {
    let addresses = match family {
        Family::V4 => Addresses::V4 { source: [10, 0, 0, 2].into(), destination: [10, 0, 0, 1].into() },
        Family::V6 => Addresses::V6 { source: v6(2).into(), destination: v6(1).into() },
    };
    let segment = segment(protocol, 31);
    let header = IpHeader::new(addresses, protocol).emit(segment.len()).expect("it is short");
    let mut packet = [&header[..], &segment].concat();
    if family == Family::V4 {
        packet[10..12].fill(0);
    }
    packet
}

#[test]
fn what_arrives_over_loopback_gets_every_checksum() {
    let driver = driver();
    let reader = open(&driver);
    start(&driver, 9);
    connect(&driver, 5, 9);
    read(&driver, reader);
    for (family, protocol) in CHECKED {
        let packet = unfinished(family, protocol);
        let ip = if family == Family::V4 { 20 } else { 40 };
        for piece in [1, 33, 1000] {
            let mut indication = FakeIndication {
                endpoint: Some(5),
                ip: Some(ip),
                transport: Some(8),
                values: values(Layer::InboundTransport, family, protocol),
                buffers: vec![FakeBuffer::new(&packet, ip + 8, piece)],
                ..FakeIndication::default()
            };
            let recorded = |indication: &FakeIndication| {
                indicate(&driver, Layer::InboundTransport, family, indication);
                tell(&read(&driver, reader)).pop().expect("a packet is queued").1
            };
            assert_eq!(recorded(&indication), packet, "what comes from elsewhere stays as it is");

            // The flags are the tenth value. Flags other than loopback have no meaning here.
            indication.values.resize(9, None);
            indication.values.push(Some(Value::U32(!1)));
            assert_eq!(recorded(&indication), packet);
            indication.values[9] = Some(Value::U32(1));
            let finished = recorded(&indication);
            let checksums = packet_checksums([finished.as_slice()]).expect("it is whole");
            for checksum in [checksums.header, checksums.transport].into_iter().flatten() {
                assert_eq!(checksum.found, checksum.correct, "{family:?} {protocol}");
            }
            let changed = finished.iter().zip(&packet).filter(|(one, other)| one != other).count();
            assert!(changed > 0 && changed <= 4, "nothing else is changed: {changed}");

            // The IP header is no longer in the buffer, so the driver makes one.
            indication.buffers = vec![FakeBuffer::new(&packet[ip..], 8, piece)];
            let made = recorded(&indication);
            assert_eq!(made[ip..], finished[ip..]);
        }
    }
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
    let reply = control(&driver, reader, Operation::GetStatistics2, &[], 4096).expect("there is room");
    let statistics = hone_api::Statistics::parse(&reply).expect("it is sound");
    assert_eq!(statistics.dropped_by_source.packets, 3);
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
    driver.tick();
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
        timer.tick();
    });
    let owned = FakeIndication { endpoint: Some(1), process: Some(9), ..FakeIndication::default() };
    indicate(&driver, Layer::ResourceAssignment, Family::V4, &owned);
    let blocks = read(&driver, reader);
    assert_eq!(words(&blocks), ["packet out (Some(1), None) 40", "connection 0x1 of 9 opens"]);
    let ticked = START + 1_000_000_000;
    assert_eq!(times(&blocks), [START, ticked], "the packet was given up for all that happened until then");
}
