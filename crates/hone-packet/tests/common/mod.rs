//! What the tests share: an independent checksum, and packets.
#![allow(dead_code, reason = "each test file uses a part")]

use std::net::{Ipv4Addr, Ipv6Addr};

use hone_packet::{Addresses, IpHeader, protocol, transport_checksum};

/// RFC 1071 to the letter, over one buffer: words added one by one, each carry added at once.
pub(crate) fn plain_checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u16;
    for word in bytes.chunks(2) {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        let (next, carry) = sum.overflowing_add(word);
        sum = next + u16::from(carry);
    }
    (!sum).to_be_bytes()
}

/// The pseudo headers as the RFCs draw them.
pub(crate) fn pseudo_header(addresses: &Addresses, protocol: u8, length: usize) -> Vec<u8> {
    match addresses {
        Addresses::V4 { source, destination } => {
            let length = u16::try_from(length).unwrap().to_be_bytes();
            [&source.octets()[..], &destination.octets(), &[0, protocol], &length].concat()
        }
        Addresses::V6 { source, destination } => {
            let length = u32::try_from(length).unwrap().to_be_bytes();
            [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, protocol]].concat()
        }
    }
}

/// Where the checksum is.
pub(crate) fn offset(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => 2,
    }
}

pub(crate) fn v4() -> Addresses {
    Addresses::V4 { source: Ipv4Addr::new(192, 0, 2, 1), destination: Ipv4Addr::new(192, 0, 2, 2) }
}

pub(crate) fn v6() -> Addresses {
    let [source, destination] = [1, 2].map(|last| Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, last));
    Addresses::V6 { source, destination }
}

/// A sound segment with this body, its checksum field not filled.
pub(crate) fn segment(protocol: u8, body: &[u8]) -> Vec<u8> {
    let head: Vec<u8> = match protocol {
        protocol::TCP => {
            let mut head = vec![0; 20];
            head[..8].copy_from_slice(&[0x14, 0xE9, 0x00, 0x50, 1, 2, 3, 4]);
            head[12..16].copy_from_slice(&[0x50, 0x18, 0x20, 0x00]);
            head
        }
        protocol::UDP => {
            let [high, low] = u16::try_from(8 + body.len()).unwrap().to_be_bytes();
            vec![0x14, 0xE9, 0x14, 0xEA, high, low, 0, 0]
        }
        protocol::ICMP => vec![8, 0, 0, 0, 0x12, 0x34, 0, 1],
        _ => vec![128, 0, 0, 0, 0x12, 0x34, 0, 1],
    };
    [&head, body].concat()
}

/// A whole packet as a network monitor would record it, made from pieces of this size.
pub(crate) fn packet(addresses: Addresses, protocol: u8, body: &[u8], piece: usize) -> Vec<u8> {
    let mut segment = segment(protocol, body);
    let field = transport_checksum(&addresses, protocol, segment.chunks(piece)).unwrap().unwrap();
    field.write(segment.chunks_mut(piece));
    let header = IpHeader { identification: 0x1234, ..IpHeader::new(addresses, protocol) };
    [&*header.emit(segment.len()).unwrap(), &segment].concat()
}
