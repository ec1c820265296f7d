//! Headers and checksums against known packets, against a simple implementation, and against what is not sound.

mod common;

use std::net::{Ipv4Addr, Ipv6Addr};

use common::{offset, packet, plain_checksum, pseudo_header, segment, v4, v6};
use hone_packet::{
    Addresses, ChecksumField, IpHeader, PacketError, packet_checksums, protocol, transport_checksum,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const COMBINATIONS: [(bool, u8); 6] = [
    (false, protocol::TCP),
    (false, protocol::UDP),
    (false, protocol::ICMP),
    (true, protocol::TCP),
    (true, protocol::UDP),
    (true, protocol::ICMPV6),
];

fn one(bytes: &[u8]) -> [&[u8]; 1] {
    [bytes]
}

fn correct(addresses: &Addresses, protocol: u8, segment: &[u8]) -> [u8; 2] {
    transport_checksum(addresses, protocol, one(segment)).unwrap().unwrap().correct
}

#[test]
fn a_known_ipv4_header() {
    // The header that the textbooks' worked example uses: 0xB861.
    let addresses =
        Addresses::V4 { source: Ipv4Addr::new(192, 168, 0, 1), destination: Ipv4Addr::new(192, 168, 0, 199) };
    let header = IpHeader { dont_fragment: true, ..IpHeader::new(addresses, protocol::UDP) };
    let expected = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB8, 0x61, 0xC0, 0xA8, 0x00, 0x01, 0xC0,
        0xA8, 0x00, 0xC7,
    ];
    assert_eq!(header.len(), 20);
    assert_eq!(*header.emit(0x73 - 20).unwrap(), expected);
}

#[test]
fn a_known_ipv6_header() {
    let header =
        IpHeader { traffic_class: 0xB8, flow_label: 0xABCDE, hop_limit: 255, ..IpHeader::new(v6(), 58) };
    let mut expected = vec![0x6B, 0x8A, 0xBC, 0xDE, 0x00, 0x08, 58, 255];
    for last in [1, 2] {
        expected.extend([0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    assert_eq!(header.len(), 40);
    assert_eq!(*header.emit(8).unwrap(), expected[..]);
}

#[test]
fn known_segments() {
    // Worked by hand. Addresses: C000 + 0201 + C000 + 0202 = 18403, folded 8404.
    // UDP: 8404 + 0011 + 0009 (length) + 14E9 + 0035 + 0009 + 4100 = DA45, complement 25BA.
    let udp = [0x14, 0xE9, 0x00, 0x35, 0x00, 0x09, 0x00, 0x00, 0x41];
    assert_eq!(correct(&v4(), protocol::UDP, &udp), [0x25, 0xBA]);
    // Over IPv6: 2001 + 0DB8 + 1 + 2001 + 0DB8 + 2 = 5B75; + 0011 + 0009 + 14E9 + 0035 + 0009 + 4100 = B1B6.
    assert_eq!(correct(&v6(), protocol::UDP, &udp), [0x4E, 0x49]);
    // TCP SYN: 8404 + 0006 + 0014 + 14E9 + 0050 + 0001 + 5002 + 2000 = 1095A, folded 095B, complement F6A4.
    let tcp = [0x14, 0xE9, 0, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0x00, 0xFF, 0xFF, 0, 0];
    assert_eq!(correct(&v4(), protocol::TCP, &tcp), [0xF6, 0xA4]);
    // ICMP echo: 0800 + 1234 + 0001 = 1A35; ICMPv6 echo: 5B75 + 003A + 0008 + 8000 + 1234 + 0001 = EDEC.
    assert_eq!(correct(&v4(), protocol::ICMP, &[8, 0, 0xAA, 0xAA, 0x12, 0x34, 0, 1]), [0xE5, 0xCA]);
    assert_eq!(correct(&v6(), protocol::ICMPV6, &[128, 0, 9, 9, 0x12, 0x34, 0, 1]), [0x12, 0x13]);
}

#[test]
fn a_udp_checksum_is_never_zero() {
    // 8404 + 0011 + 000A + 0000 + 0000 + 000A + x = FFFF.
    let datagram = |addresses: &Addresses| {
        let mut datagram = [0, 0, 0, 0, 0, 10, 0, 0, 0, 0];
        let [high, low] = correct(addresses, protocol::UDP, &datagram);
        datagram[8..].copy_from_slice(&[high, low]);
        datagram
    };
    assert_eq!(datagram(&v4())[8..], [0x7B, 0xD6]);
    for addresses in [v4(), v6()] {
        assert_eq!(correct(&addresses, protocol::UDP, &datagram(&addresses)), [0xFF, 0xFF]);
    }
    // In the other protocols zero is a checksum like any other.
    assert_eq!(correct(&v4(), protocol::ICMP, &[0xFF, 0xFF, 0, 0, 0, 0, 0, 0]), [0, 0]);
    assert_eq!(correct(&v4(), protocol::ICMP, &[0, 0, 0xFF, 0xFF, 0, 0, 0, 0]), [0xFF, 0xFF]);
}

#[test]
fn a_sender_that_computed_none_can_be_told() {
    let field =
        transport_checksum(&v4(), protocol::UDP, one(&segment(protocol::UDP, b"x"))).unwrap().unwrap();
    assert_eq!((field.offset, field.found), (6, [0, 0]));
}

#[test]
fn protocols_without_a_checksum_known_here() {
    for (addresses, protocol) in [(v4(), 132), (v4(), protocol::ICMPV6), (v6(), protocol::ICMP), (v6(), 59)] {
        assert_eq!(transport_checksum(&addresses, protocol, []), Ok(None));
        let packet = [&*IpHeader::new(addresses, protocol).emit(2).unwrap(), &[1, 2]].concat();
        assert_eq!(packet_checksums(one(&packet)).unwrap().transport, None);
    }
}

#[test]
fn what_is_too_short_says_so() {
    for (six, protocol) in COMBINATIONS {
        let addresses = if six { v6() } else { v4() };
        let minimum = match protocol {
            protocol::TCP => 20,
            protocol::ICMPV6 => 4,
            _ => 8,
        };
        let packet = packet(addresses, protocol, b"12345", 100);
        let head = IpHeader::new(addresses, protocol).len();
        for length in 0..minimum {
            let error =
                transport_checksum(&addresses, protocol, packet[head..][..length].chunks(3)).unwrap_err();
            let PacketError::TooShort { length: has, minimum: needs, .. } = error else { panic!("{error}") };
            assert_eq!((has, needs), (length, minimum));
        }
        for length in 0..packet.len() {
            let error = packet_checksums(packet[..length].chunks(7)).unwrap_err();
            let PacketError::TooShort { length: has, minimum: needs, .. } = error else { panic!("{error}") };
            assert_eq!(has, length);
            assert!(length < needs && needs <= packet.len(), "{error}");
        }
    }
    let error = packet_checksums([]).unwrap_err();
    assert_eq!(error.to_string(), "the packet has 0 bytes and needs at least 20");
}

#[test]
fn fragments_are_refused() {
    let mut whole = packet(v4(), protocol::UDP, b"12345678", 100);
    for (field, offset, more) in [(0x2000, 0, true), (0x0001, 8, false), (0x3FFF, 0xFFF8, true)] {
        whole[6..8].copy_from_slice(&u16::to_be_bytes(field));
        assert_eq!(packet_checksums(one(&whole)), Err(PacketError::Fragment { offset, more }));
    }
    // The reserved bit and "don't fragment" are not fragmentation.
    whole[6..8].copy_from_slice(&[0xC0, 0]);
    assert!(packet_checksums(one(&whole)).is_ok());
}

/// An IPv6 packet with extension headers in front of an ICMPv6 echo request.
fn extended(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut rest: Vec<u8> = extensions.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let mut echo = segment(protocol::ICMPV6, b"x");
    let correct = correct(&v6(), protocol::ICMPV6, &echo);
    echo[2..4].copy_from_slice(&correct);
    rest.extend(echo);
    let mut at = 0;
    for (index, (_, bytes)) in extensions.iter().enumerate() {
        rest[at] = extensions.get(index + 1).map_or(protocol::ICMPV6, |next| next.0);
        at += bytes.len();
    }
    let first = extensions.first().map_or(protocol::ICMPV6, |first| first.0);
    [&*IpHeader::new(v6(), first).emit(rest.len()).unwrap(), &rest].concat()
}

#[test]
fn extension_headers_are_passed_over() {
    let chain: [(u8, &[u8]); 6] = [
        (0, &[0, 0, 1, 4, 0, 0, 0, 0]),
        (60, &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (43, &[0, 0, 0, 0, 0, 0, 0, 0]),
        (44, &[0, 0, 0, 0, 9, 9, 9, 9]),
        (51, &[0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9]),
        (135, &[0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for length in 0..=chain.len() {
        let packet = extended(&chain[..length]);
        for piece in 1..=packet.len() {
            let field = packet_checksums(packet.chunks(piece)).unwrap().transport.unwrap();
            assert_eq!(field.found, field.correct);
            assert_eq!(field.offset, packet.len() - 9 + 2);
        }
        for kept in 0..packet.len() {
            let error = packet_checksums(packet[..kept].chunks(5)).unwrap_err();
            assert!(
                matches!(error, PacketError::TooShort { length, .. } if length <= kept),
                "{kept}: {error}"
            );
        }
    }
}

#[test]
fn extension_headers_that_hide_the_checksum() {
    let packet = extended(&[(44, &[0, 0, 0, 9, 0, 0, 0, 0])]);
    assert_eq!(packet_checksums(one(&packet)), Err(PacketError::Fragment { offset: 8, more: true }));
    let packet = extended(&[(43, &[0, 0, 0, 2, 0, 0, 0, 0])]);
    assert_eq!(packet_checksums(one(&packet)), Err(PacketError::Routed { segments_left: 2 }));
    let packet = extended(&[(60, &[0, 255, 0, 0, 0, 0, 0, 0])]);
    let error = packet_checksums(one(&packet)).unwrap_err();
    let what = "IPv6 extension header";
    assert_eq!(error, PacketError::HeaderLength { what, says: 2048, minimum: 8, maximum: 17 });
}

#[test]
fn lengths_that_contradict_each_other() {
    let mut udp = segment(protocol::UDP, b"12345");
    udp[5] = 12;
    let error = transport_checksum(&v4(), protocol::UDP, one(&udp)).unwrap_err();
    assert_eq!(error.to_string(), "the UDP datagram says that it has 12 bytes, but has 13");

    let mut tcp = segment(protocol::TCP, b"");
    for (nibble, says) in [(0x40, 16), (0x60, 24)] {
        tcp[12] = nibble;
        let error = transport_checksum(&v6(), protocol::TCP, one(&tcp)).unwrap_err();
        assert_eq!(error, PacketError::HeaderLength { what: "TCP", says, minimum: 20, maximum: 20 });
    }

    let mut whole = packet(v4(), protocol::UDP, b"", 100);
    whole[0] = 0x44;
    assert!(matches!(packet_checksums(one(&whole)), Err(PacketError::HeaderLength { says: 16, .. })));
    whole[0] = 0x4F;
    assert!(matches!(
        packet_checksums(one(&whole)),
        Err(PacketError::HeaderLength { says: 60, maximum: 28, .. })
    ));
    whole[0] = 0x55;
    assert_eq!(packet_checksums(one(&whole)), Err(PacketError::Version(5)));
}

#[test]
fn headers_that_cannot_be() {
    assert!(IpHeader::new(v4(), 6).emit(65_515).is_ok());
    let error = IpHeader::new(v4(), 6).emit(65_516).unwrap_err();
    assert_eq!(error.to_string(), "the IPv4 packet has 65536 bytes and may have at most 65535");
    assert!(IpHeader::new(v4(), 6).emit(usize::MAX).is_err());
    assert!(IpHeader::new(v6(), 6).emit(65_535).is_ok());
    let error = IpHeader::new(v6(), 6).emit(65_536).unwrap_err();
    assert_eq!(error, PacketError::TooLong { what: "IPv6 payload", length: 65_536, maximum: 65_535 });
    let error = IpHeader { flow_label: 1 << 20, ..IpHeader::new(v6(), 6) }.emit(0).unwrap_err();
    assert_eq!(error.to_string(), "the flow label 0x100000 has more than 20 bits");
}

#[test]
fn ipv4_options_and_padding_count_where_they_should() {
    let mut whole = packet(v4(), protocol::UDP, b"12345", 100);
    whole.splice(20..20, [0x01, 0x01, 0x94, 0x04]);
    whole[0] = 0x46;
    let length = u8::try_from(whole.len()).unwrap();
    whole[3] = length;
    whole.extend([0xEE; 9]);
    for piece in 1..=whole.len() {
        let sums = packet_checksums(whole.chunks(piece)).unwrap();
        let transport = sums.transport.unwrap();
        assert_eq!((transport.found, transport.offset), (transport.correct, 30));
        let mut head = whole[..24].to_vec();
        head[10..12].fill(0);
        assert_eq!(sums.header.unwrap().correct, plain_checksum(&head));
    }
}

#[test]
fn a_copy_gets_what_it_has_room_for() {
    let field = ChecksumField { offset: 5, found: [0; 2], correct: [0xAB, 0xCD] };
    for length in 0..9 {
        for piece in 1..=9 {
            let mut copy = vec![0; length];
            field.write(copy.chunks_mut(piece));
            let whole = [0, 0, 0, 0, 0, 0xAB, 0xCD, 0, 0];
            assert_eq!(copy, whole[..length], "in pieces of {piece}");
        }
    }
}

/// Cuts `bytes` at these places; some pieces are empty.
fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

fn addresses() -> impl Strategy<Value = Addresses> {
    prop_oneof![
        any::<[u32; 2]>().prop_map(|[source, destination]| Addresses::V4 {
            source: source.into(),
            destination: destination.into()
        }),
        any::<[u128; 2]>().prop_map(|[source, destination]| Addresses::V6 {
            source: Ipv6Addr::from(source),
            destination: Ipv6Addr::from(destination)
        }),
        Just(v4()),
        Just(Addresses::V4 { source: Ipv4Addr::UNSPECIFIED, destination: Ipv4Addr::UNSPECIFIED }),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..64),
        vec(prop_oneof![Just(0), Just(0xFF)], 0..64),
        vec(any::<u8>(), 1400..1600)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn checksums_are_those_of_the_simple_implementation(
        addresses in addresses(), which in 0..3_usize, body in body(), found in any::<[u8; 2]>(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let protocol = match (which, addresses) {
            (0, _) => protocol::TCP,
            (1, _) => protocol::UDP,
            (_, Addresses::V4 { .. }) => protocol::ICMP,
            (_, Addresses::V6 { .. }) => protocol::ICMPV6,
        };
        let offset = offset(protocol);
        let mut segment = segment(protocol, &body);
        let mut covered = if protocol == protocol::ICMP {
            vec![]
        } else {
            pseudo_header(&addresses, protocol, segment.len())
        };
        covered.extend(&segment);
        let mut expected = plain_checksum(&covered);
        if protocol == protocol::UDP && expected == [0, 0] {
            expected = [0xFF, 0xFF];
        }
        // Whatever the field holds.
        segment[offset..offset + 2].copy_from_slice(&found);
        let field = transport_checksum(&addresses, protocol, cut(&segment, &cuts)).unwrap().unwrap();
        prop_assert_eq!(field, ChecksumField { offset, found, correct: expected });

        // A packet made of header and segment agrees with itself, in any pieces.
        field.write([&mut segment[..]]);
        let header = IpHeader::new(addresses, protocol).emit(segment.len()).unwrap();
        let packet = [&*header, &segment].concat();
        let sums = packet_checksums(cut(&packet, &cuts)).unwrap();
        for field in [sums.header, sums.transport].into_iter().flatten() {
            prop_assert_eq!(field.found, field.correct);
        }
        prop_assert_eq!(sums.transport.unwrap().offset, header.len() + offset);
    }

    #[test]
    fn damaged_packets_are_an_error_or_a_value(
        six in any::<bool>(), protocol in prop_oneof![Just(6), Just(17), Just(58), Just(0), Just(43), any::<u8>()],
        bytes in vec(any::<u8>(), 0..120), length in any::<u8>(), cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut packet = bytes;
        let (version, length_at, protocol_at) = if six { (6, 5, 6) } else { (4, 3, 9) };
        for (at, byte) in [(0, version << 4 | 5), (length_at - 1, 0), (length_at, length), (protocol_at, protocol)] {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        let pieces = cut(&packet, &cuts);
        let result = packet_checksums(pieces);
        prop_assert_eq!(result, packet_checksums([&packet[..]]), "the pieces make no difference");
        if let Ok(sums) = result {
            for field in [sums.header, sums.transport].into_iter().flatten() {
                prop_assert_eq!(&packet[field.offset..field.offset + 2], &field.found);
            }
        }
    }
}
