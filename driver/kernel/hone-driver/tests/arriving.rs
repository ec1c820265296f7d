//! Which packet is recorded when one arrives: the packet itself, or one with a header that the driver made, or none, which
//! is counted.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]

mod common;

use common::{
    CHECKED, Fake, FakeBuffer, FakeIndication, LINK, arriving, connect, driver, indicate, lost_packets, open,
    read, segment, start, tell, whole,
};
use hone_documented::Field;
use hone_driver::callouts::{Family, Layer};
use hone_driver::{Driver, Handle, Value};
use hone_packet::{packet_checksums, protocol};

/// Eight bytes of IPv4 options: no operation.
const OPTIONS: [u8; 8] = [1; 8];
/// Hop-by-hop options, destination options and an authentication header: 8 bytes each, the last with 16.
const EXTENSIONS: [u8; 32] = [
    60, 0, 1, 4, 0, 0, 0, 0, // hop by hop; destination options follow
    51, 0, 1, 4, 0, 0, 0, 0, // destination options; an authentication header follows
    0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0xAA, 0xAA, 0xAA, 0xAA,
];

/// Length of the segment's own header.
fn header_of(protocol: u8) -> usize {
    if protocol == protocol::TCP { 20 } else { 8 }
}

/// Packets with and without options or extension headers, and the length of their IP headers.
fn packets(family: Family, protocol: u8) -> [(Vec<u8>, usize); 2] {
    let segment = segment(protocol, 30);
    match family {
        Family::V4 => {
            [(whole(family, protocol, &[], &segment), 20), (whole(family, protocol, &OPTIONS, &segment), 28)]
        }
        Family::V6 => {
            let mut extensions = EXTENSIONS;
            extensions[16] = protocol;
            [
                (whole(family, protocol, &[], &segment), 40),
                (whole(family, protocol, &extensions, &segment), 72),
            ]
        }
    }
}

struct Recorder {
    driver: Driver<Fake>,
    reader: Handle,
}

impl Recorder {
    fn new() -> Self {
        let driver = driver();
        let reader = open(&driver);
        start(&driver, 9);
        connect(&driver, 5, 9);
        read(&driver, reader);
        Self { driver, reader }
    }

    /// The packets that are recorded of an indication.
    fn all(&self, family: Family, indication: &FakeIndication) -> Vec<Vec<u8>> {
        indicate(&self.driver, Layer::InboundTransport, family, indication);
        let told = tell(&read(&self.driver, self.reader));
        for (words, packet) in &told {
            assert_eq!(*words, format!("packet in (Some(5), Some(9)) {}", packet.len()));
        }
        told.into_iter().map(|(_, packet)| packet).collect()
    }

    /// The one packet that is recorded of an indication.
    fn one(&self, family: Family, indication: &FakeIndication) -> Vec<u8> {
        let [packet] = &self.all(family, indication)[..] else { panic!("one packet is recorded") };
        packet.clone()
    }
}

/// Asserts that a packet is this segment behind a header that the driver made.
fn assert_made(packet: &[u8], family: Family, protocol: u8, segment: &[u8]) {
    let made = whole(family, protocol, &[], segment);
    let header = made.len() - segment.len();
    assert_eq!(packet[header..], *segment, "{family:?} {protocol}");
    let ends = if family == Family::V4 { 12..20 } else { 8..40 };
    assert_eq!(packet[ends.clone()], made[ends], "from the remote end to the local one");
    let length = if family == Family::V4 { 2..4 } else { 4..6 };
    assert_eq!(packet[length.clone()], made[length]);
    assert_eq!(packet[if family == Family::V4 { 9 } else { 6 }], protocol);
}

#[test]
fn what_arrives_is_recorded_unchanged_with_options_and_extension_headers() {
    let recorder = Recorder::new();
    for (family, protocol) in CHECKED {
        for (packet, ip) in packets(family, protocol) {
            for piece in [1, 7, 33, 1000] {
                let indication = arriving(family, protocol, &packet, (ip, header_of(protocol)), piece);
                assert_eq!(recorder.one(family, &indication), packet, "{family:?} {protocol} {piece}");
            }
        }
    }
}

/// Finding 1: the data of ICMP begins at its header, and no page says what the transport header's size is.
#[test]
fn icmp_is_recorded_unchanged_whatever_the_transport_header_size_says() {
    let recorder = Recorder::new();
    for (family, protocol) in [(Family::V4, protocol::ICMP), (Family::V6, protocol::ICMPV6)] {
        for (packet, ip) in packets(family, protocol) {
            let mut indication = arriving(family, protocol, &packet, (ip, 8), 9);
            for transport in [None, Some(0), Some(4), Some(8), Some(14), Some(20), Some(usize::MAX)] {
                indication.transport = transport;
                assert_eq!(recorder.one(family, &indication), packet, "{transport:?}");
            }
            // The IP header is no longer in the buffer, so the driver makes one.
            for transport in [None, Some(0), Some(8)] {
                indication.transport = transport;
                for headroom in [0, 3, 8] {
                    let bytes = [&[0x45; 8][..headroom], &packet[ip..]].concat();
                    indication.buffers = vec![FakeBuffer::new(&bytes, headroom, 5)];
                    assert_made(&recorder.one(family, &indication), family, protocol, &packet[ip..]);
                }
            }
        }
    }
}

#[test]
fn a_header_is_found_also_where_only_the_ip_header_is_in_front() {
    let recorder = Recorder::new();
    let segment = segment(protocol::UDP, 30);
    let packet = whole(Family::V4, protocol::UDP, &[], &segment);
    let mut indication = arriving(Family::V4, protocol::UDP, &packet, (20, 8), 9);
    indication.buffers = vec![FakeBuffer::new(&[&LINK[..], &packet].concat(), LINK.len() + 20, 9)];
    assert_eq!(recorder.one(Family::V4, &indication), packet);
}

/// Findings 1 and 3: after IPsec or reassembly, what is in front of the segment is not this packet's header.
#[test]
fn a_header_that_contradicts_the_layer_is_not_believed() {
    let recorder = Recorder::new();
    for (family, protocol) in CHECKED {
        for (packet, ip) in packets(family, protocol) {
            let changes: &[(usize, u8)] = match family {
                // Version; a shorter header; the total length; more fragments; a later fragment; AH, ESP; both addresses.
                Family::V4 => &[
                    (0, 0x65),
                    (0, 0x4F),
                    (3, 0xFE),
                    (3, 0),
                    (2, 1),
                    (6, 0x20),
                    (7, 1),
                    (9, 51),
                    (9, 50),
                    (9, 132),
                    (12, 11),
                    (15, 3),
                    (16, 11),
                    (19, 3),
                ],
                Family::V6 => &[
                    (0, 0x45),
                    (0, 0),
                    (4, 1),
                    (5, 0xFE),
                    (5, 0),
                    (6, 50),
                    (6, 44),
                    (6, 132),
                    (8, 0xFE),
                    (23, 3),
                    (24, 0xFE),
                    (39, 3),
                ],
            };
            for &(at, byte) in changes {
                let mut changed = packet.clone();
                assert_ne!(changed[at], byte);
                changed[at] = byte;
                let headers = (ip, header_of(protocol));
                let mut indication = arriving(family, protocol, &changed, headers, 11);
                assert_made(&recorder.one(family, &indication), family, protocol, &packet[ip..]);
                // A size of the IP header that is not known, or that counts what IPsec left behind.
                indication = arriving(family, protocol, &packet, headers, 11);
                indication.ip = None;
                assert_made(&recorder.one(family, &indication), family, protocol, &packet[ip..]);
                indication.ip = Some(ip - 8);
                assert_made(&recorder.one(family, &indication), family, protocol, &packet[ip..]);
            }
        }
    }
}

/// Finding 3: an encapsulating header (ESP) between both headers, and the trailer cut off.
#[test]
fn a_decrypted_packet_gets_a_header_without_what_ipsec_added() {
    let recorder = Recorder::new();
    for (family, protocol) in CHECKED {
        const ESP: u8 = 50;
        let segment = segment(protocol, 30);
        let behind = [&[0; 8][..], &segment, &[1, 2, 3, 4]].concat();
        let mut packet = whole(family, ESP, &[], &behind);
        packet.truncate(packet.len() - 4);
        let ip = packet.len() - segment.len();
        let indication = arriving(family, protocol, &packet, (ip, header_of(protocol)), 13);
        assert_made(&recorder.one(family, &indication), family, protocol, &segment);
    }
}

/// Finding 3: the stack verified the checksum when the packet arrived, so it changed the header itself.
#[test]
fn the_header_of_a_reassembled_packet_gets_its_checksum() {
    let recorder = Recorder::new();
    for (packet, ip) in packets(Family::V4, protocol::UDP) {
        let mut changed = packet.clone();
        changed[10] ^= 0x55;
        let indication = arriving(Family::V4, protocol::UDP, &changed, (ip, 8), 6);
        assert_eq!(recorder.one(Family::V4, &indication), packet, "and nothing else is changed");
    }
}

/// Finding 1: never half a header.
#[test]
fn without_its_transport_header_a_packet_is_counted_and_not_recorded() {
    let recorder = Recorder::new();
    for (protocol, wrong) in [(protocol::TCP, [0, 8, 16, 24]), (protocol::UDP, [0, 4, 12, 20])] {
        let length = header_of(protocol);
        let segment = segment(protocol, 30);
        let packet = whole(Family::V4, protocol, &[], &segment);
        let without = |transport, headroom: usize, bytes: &[u8]| FakeIndication {
            transport,
            buffers: vec![FakeBuffer::new(bytes, headroom, 3)],
            ..arriving(Family::V4, protocol, &packet, (20, length), 3)
        };
        let mut indications = vec![without(None, length, &segment)];
        for headroom in 0..length {
            indications.push(without(Some(length), headroom, &segment[length - headroom..]));
        }
        indications.extend(wrong.map(|transport| without(Some(transport), length, &segment)));
        // The ports are not the layer's.
        let mut other = without(Some(length), length, &segment);
        other.set(Layer::InboundTransport, Field::IpLocalPort, Value::U16(1));
        indications.push(other);
        let before = lost_packets(&recorder.driver, recorder.reader);
        for indication in &indications {
            assert_eq!(recorder.all(Family::V4, indication), [] as [Vec<u8>; 0], "{protocol}");
        }
        let lost = lost_packets(&recorder.driver, recorder.reader) - before;
        assert_eq!(lost, indications.len() as u64, "each is counted");
        // With all of it, the driver makes the header that is missing.
        let made = recorder.one(Family::V4, &without(Some(length), length, &segment));
        assert_made(&made, Family::V4, protocol, &segment);
    }
}

#[test]
fn memory_that_cannot_be_mapped_costs_only_what_is_in_it() {
    let recorder = Recorder::new();
    let segment = segment(protocol::TCP, 30);
    let packet = whole(Family::V4, protocol::TCP, &[], &segment);
    let mut indication = arriving(Family::V4, protocol::TCP, &packet, (20, 20), 1000);
    let pieces = [&LINK[..], &packet[..20], &packet[20..40], &packet[40..]].map(<[u8]>::to_vec);
    let before = lost_packets(&recorder.driver, recorder.reader);
    for (unmappable, lost) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        let headroom = LINK.len() + 40;
        indication.buffers =
            vec![FakeBuffer { pieces: pieces.to_vec(), headroom, unmappable: Some(unmappable) }];
        let recorded = recorder.all(Family::V4, &indication);
        match unmappable {
            0 => assert_eq!(recorded, std::slice::from_ref(&packet), "what is in front does not matter"),
            1 => assert_made(&recorded[0], Family::V4, protocol::TCP, &segment),
            _ => assert_eq!(recorded, [] as [Vec<u8>; 0]),
        }
        assert_eq!(lost_packets(&recorder.driver, recorder.reader) - before, lost);
    }
}

/// Finding 3: such a packet comes again, without its tunnel.
#[test]
fn what_is_still_in_its_tunnel_is_left_out_and_not_counted() {
    let recorder = Recorder::new();
    let packet = whole(Family::V4, protocol::TCP, &[], &segment(protocol::TCP, 30));
    let mut indication = arriving(Family::V4, protocol::TCP, &packet, (20, 20), 1000);
    indication.is_tunnelled = true;
    assert_eq!(recorder.all(Family::V4, &indication), [] as [Vec<u8>; 0]);
    assert_eq!(lost_packets(&recorder.driver, recorder.reader), 0);
    indication.is_tunnelled = false;
    assert_eq!(recorder.one(Family::V4, &indication), packet);
}

#[test]
fn what_arrives_over_loopback_gets_every_checksum() {
    let recorder = Recorder::new();
    for (family, protocol) in CHECKED {
        for (mut packet, ip) in packets(family, protocol) {
            if family == Family::V4 {
                packet[10..12].fill(0);
            }
            for piece in [1, 33, 1000] {
                let mut indication = arriving(family, protocol, &packet, (ip, header_of(protocol)), piece);
                // Flags other than loopback have no meaning here.
                indication.set(Layer::InboundTransport, Field::Flags, Value::U32(!1));
                let from_elsewhere = recorder.one(family, &indication);
                assert_eq!(from_elsewhere[ip..], packet[ip..], "what comes from elsewhere stays as it is");
                indication.set(Layer::InboundTransport, Field::Flags, Value::U32(1));
                let finished = recorder.one(family, &indication);
                let checksums = packet_checksums([finished.as_slice()]).expect("it is whole");
                assert!(checksums.transport.is_some());
                for checksum in [checksums.header, checksums.transport].into_iter().flatten() {
                    assert_eq!(checksum.found, checksum.correct, "{family:?} {protocol}");
                }
                let changed = finished.iter().zip(&packet).filter(|(one, other)| one != other).count();
                assert!(changed > 0 && changed <= 4, "nothing else is changed: {changed}");

                // The IP header is no longer in the buffer, so the driver makes one.
                indication.ip = None;
                assert_made(&recorder.one(family, &indication), family, protocol, &finished[ip..]);
            }
        }
    }
}
