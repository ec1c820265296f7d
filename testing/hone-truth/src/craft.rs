//! Packets made by hand, for raw sockets.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

/// An ICMP echo request that contains a message. The kernel computes the `ICMPv6` checksum.
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

/// A TCP segment (RFC 9293, section 3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
}

impl Segment<'_> {
    /// The whole packet, with its IP header.
    ///
    /// # Errors
    /// The packet is too long.
    pub(crate) fn packet(&self) -> Result<Vec<u8>> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledged.to_be_bytes());
        // Header of 20 bytes, flags, window, checksum, urgent pointer.
        tcp.extend([0x50, self.flags, 0x10, 0, 0, 0, 0, 0]);
        tcp.extend(self.payload);
        let length = u16::try_from(tcp.len())?.to_be_bytes();
        let (mut header, pseudo) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let ends = [from.octets(), to.octets()].concat();
                // The kernel fills in length, identification and checksum.
                let header = [&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0][..], &ends].concat();
                (header, [&ends[..], &[0, 6], &length].concat())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let ends = [from.octets(), to.octets()].concat();
                let header = [&[0x60, 0, 0, 0], &length[..], &[6, 64], &ends].concat();
                (header, [&ends[..], &[0, 0], &length, &[0, 0, 0, 6]].concat())
            }
            _ => unreachable!("both ends of a scenario are of one family"),
        };
        let sum = checksum(&[&pseudo[..], &tcp].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        header.extend(tcp);
        Ok(header)
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}
