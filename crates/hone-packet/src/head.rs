//! The IP header of a packet in pieces, with its extension headers.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::header::{V4_CHECKSUM, V4_LENGTH, V6_LENGTH};
use crate::packet::too_short;
use crate::{Addresses, ChecksumField, PacketError, cursor::Cursor, extension, sum::Sum};

const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset's bits of its IPv4 field, which counts in units of 8 bytes.
pub(crate) const V4_FRAGMENT: u16 = 0x1FFF;
/// The fragment offset's bits of its IPv6 field, which then is in bytes.
pub(crate) const V6_FRAGMENT: u16 = 0xFFF8;

/// What the IP header of a whole packet and its IPv6 extension headers state. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHead {
    /// Sender and receiver.
    pub addresses: Addresses,
    /// The transport protocol's number.
    pub protocol: u8,
    /// Length of the header, with its options or extension headers. The transport segment follows it.
    pub length: usize,
    /// Length of the packet. At least `length`.
    pub total: usize,
    /// The IPv4 header's checksum; IPv6 has none.
    pub checksum: Option<ChecksumField>,
}

impl PacketHead {
    /// Parses the header of a packet in pieces, which begin with its IP header. Bytes after the header do not matter.
    ///
    /// # Errors
    /// The header is incomplete, or its fields contradict each other, or the packet is a fragment, or it is not at its
    /// last address yet. [`PacketError`] explains which.
    pub fn parse<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PacketError> {
        Self::read(&mut Cursor::new(segments.into_iter()))
    }

    /// As [`parse`](Self::parse), and leaves the cursor behind the header.
    pub(crate) fn read<'a>(
        cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>,
    ) -> Result<Self, PacketError> {
        let first = cursor.take::<1>().map_err(|length| too_short("packet", length, V4_LENGTH))?;
        match first[0] >> 4 {
            4 => v4(first[0], cursor),
            6 => v6(cursor),
            version => Err(PacketError::Version(version)),
        }
    }

    /// The packet, in words.
    pub(crate) const fn what(&self) -> &'static str {
        match self.addresses {
            Addresses::V4 { .. } => "IPv4 packet",
            Addresses::V6 { .. } => "IPv6 packet",
        }
    }
}

fn v4<'a>(
    first: u8,
    cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>,
) -> Result<PacketHead, PacketError> {
    let rest: [u8; V4_LENGTH - 1] =
        cursor.take().map_err(|length| too_short("IPv4 header", 1 + length, V4_LENGTH))?;
    let mut head = [0; V4_LENGTH];
    head[0] = first;
    head[1..].copy_from_slice(&rest);
    let says = usize::from(first & 0xF) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if says < V4_LENGTH || says > total {
        return Err(PacketError::HeaderLength { what: "IPv4", says, minimum: V4_LENGTH, maximum: total });
    }
    let found = [head[V4_CHECKSUM], head[V4_CHECKSUM + 1]];
    head[V4_CHECKSUM..][..2].fill(0);
    let mut sum = Sum::default();
    sum.add(&head);
    let mut length = V4_LENGTH;
    while let Some(piece) = cursor.piece(says - length) {
        sum.add(piece);
        length += piece.len();
    }
    if length < says {
        return Err(too_short("IPv4 header", length, says));
    }
    let checksum = ChecksumField { offset: V4_CHECKSUM, found, correct: sum.checksum() };

    let fragment = u16::from_be_bytes([head[6], head[7]]);
    if fragment & (MORE_FRAGMENTS | V4_FRAGMENT) != 0 {
        let more = fragment & MORE_FRAGMENTS != 0;
        return Err(PacketError::Fragment { offset: (fragment & V4_FRAGMENT) << 3, more });
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    let addresses = Addresses::V4 { source: address(12), destination: address(16) };
    Ok(PacketHead { addresses, protocol: head[9], length: says, total, checksum: Some(checksum) })
}

fn v6<'a>(cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>) -> Result<PacketHead, PacketError> {
    let short = |length: usize| too_short("IPv6 header", length, V6_LENGTH);
    let head: [u8; 7] = cursor.take().map_err(|length| short(1 + length))?;
    let source: [u8; 16] = cursor.take().map_err(|length| short(8 + length))?;
    let destination: [u8; 16] = cursor.take().map_err(|length| short(24 + length))?;
    let addresses =
        Addresses::V6 { source: Ipv6Addr::from(source), destination: Ipv6Addr::from(destination) };
    let end = V6_LENGTH + usize::from(u16::from_be_bytes([head[3], head[4]]));

    let mut next = head[5];
    let mut at = V6_LENGTH;
    while extension::is_one(next) {
        let protocol = next;
        let what = "IPv6 extension header";
        let start: [u8; 8] = cursor.take().map_err(|length| too_short(what, length, 8))?;
        next = start[0];
        let length = extension::length(protocol, start[1]);
        if at + length > end {
            return Err(PacketError::HeaderLength { what, says: length, minimum: 8, maximum: end - at });
        }
        if protocol == extension::FRAGMENT {
            // A packet may say that it is the only fragment of itself (RFC 6946), which is whole.
            let fragment = u16::from_be_bytes([start[2], start[3]]);
            if fragment & (V6_FRAGMENT | 1) != 0 {
                return Err(PacketError::Fragment {
                    offset: fragment & V6_FRAGMENT,
                    more: fragment & 1 != 0,
                });
            }
        }
        if protocol == extension::ROUTING && start[3] != 0 {
            return Err(PacketError::Routed { segments_left: start[3] });
        }
        let mut passed = 8;
        while let Some(piece) = cursor.piece(length - passed) {
            passed += piece.len();
        }
        if passed < length {
            return Err(too_short(what, passed, length));
        }
        at += length;
    }
    Ok(PacketHead { addresses, protocol: next, length: at, total: end, checksum: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_extension_headers_belong_to_the_header() {
        let mut packet = [0; 30];
        (packet[0], packet[3], packet[9]) = (0x46, 30, 17);
        (packet[15], packet[19]) = (1, 2);
        for piece in [1, 7, 30] {
            let head = PacketHead::parse(packet.chunks(piece)).unwrap();
            assert_eq!((head.protocol, head.length, head.total), (17, 24, 30));
            let ends = Addresses::V4 { source: [0, 0, 0, 1].into(), destination: [0, 0, 0, 2].into() };
            assert_eq!(head.addresses, ends);
            assert!(head.checksum.is_some_and(|checksum| checksum.found != checksum.correct));
        }
        // Hop-by-hop options, then an authentication header.
        let mut packet = [0; 70];
        (packet[0], packet[5], packet[40], packet[48], packet[49]) = (0x60, 30, 51, 6, 1);
        for piece in [1, 7, 70] {
            let head = PacketHead::parse(packet.chunks(piece)).unwrap();
            assert_eq!((head.protocol, head.length, head.total), (6, 60, 70));
            assert_eq!(head.checksum, None);
        }
    }
}
