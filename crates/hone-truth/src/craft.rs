//! Packets made by hand, for raw sockets.

use std::net::{IpAddr, SocketAddr};

/// An ICMP echo request around a message. `ICMPv6` checksums are the kernel's business.
pub(crate) fn echo_request(v4: bool, message: &[u8]) -> Vec<u8> {
    let kind = if v4 { 8 } else { 128 };
    let mut packet = vec![kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    packet.extend_from_slice(message);
    if v4 {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// A TCP acknowledgement without data, from its IP header on.
pub(crate) fn acknowledgement(from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    // Header of 20 bytes, ACK, window, checksum, urgent pointer.
    tcp.extend([0x50, 0x10, 0x10, 0, 0, 0, 0, 0]);
    let (mut header, pseudo) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            // The kernel fills in length, identification and checksum.
            let header = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0][..], &ends].concat();
            (header, [&ends[..], &[0, 6, 0, 20]].concat())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            let header = [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &ends].concat();
            (header, [&ends[..], &[0, 0, 0, 20, 0, 0, 0, 6]].concat())
        }
        _ => unreachable!("both ends of a scenario are of one family"),
    };
    let sum = checksum(&[&pseudo[..], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    header.extend(tcp);
    header
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}
