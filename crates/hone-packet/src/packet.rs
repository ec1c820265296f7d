//! Checksums of whole packets.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::header::{V4_CHECKSUM, V4_LENGTH, V6_LENGTH};
use crate::{Addresses, ChecksumField, PacketError, cursor::Cursor, extension, sum::Sum, transport_checksum};

const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset's bits of its IPv4 field, which counts in units of 8 bytes.
pub(crate) const V4_FRAGMENT: u16 = 0x1FFF;
/// The fragment offset's bits of its IPv6 field, which then is in bytes.
pub(crate) const V6_FRAGMENT: u16 = 0xFFF8;

/// The checksums of a packet; offsets count from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketChecksums {
    /// The IPv4 header's checksum; IPv6 has none.
    pub header: Option<ChecksumField>,
    /// The transport segment's checksum, if its protocol is known here.
    pub transport: Option<ChecksumField>,
}

/// The checksums of a packet in pieces. Together they are the whole packet, from its IP header on. Bytes after the end
/// that the header states, such as a frame's padding, do not matter.
///
/// Two rare cases that change an address for the checksum are not handled: source routes in IPv4 options, and home
/// addresses in IPv6 destination options.
///
/// # Errors
/// The packet is incomplete, or its fields contradict each other. [`PacketError`] explains which.
pub fn packet_checksums<'a>(
    segments: impl IntoIterator<Item = &'a [u8]>,
) -> Result<PacketChecksums, PacketError> {
    let mut cursor = Cursor::new(segments.into_iter());
    let first = cursor.take::<1>().map_err(|length| too_short("packet", length, V4_LENGTH))?;
    match first[0] >> 4 {
        4 => v4(first[0], &mut cursor),
        6 => v6(&mut cursor),
        version => Err(PacketError::Version(version)),
    }
}

fn v4<'a>(
    first: u8,
    cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>,
) -> Result<PacketChecksums, PacketError> {
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
    let header = ChecksumField { offset: V4_CHECKSUM, found, correct: sum.checksum() };

    let fragment = u16::from_be_bytes([head[6], head[7]]);
    if fragment & (MORE_FRAGMENTS | V4_FRAGMENT) != 0 {
        let more = fragment & MORE_FRAGMENTS != 0;
        return Err(PacketError::Fragment { offset: (fragment & V4_FRAGMENT) << 3, more });
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    let addresses = Addresses::V4 { source: address(12), destination: address(16) };
    let transport = transport(&addresses, head[9], cursor, says, total, "IPv4 packet")?;
    Ok(PacketChecksums { header: Some(header), transport })
}

fn v6<'a>(cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>) -> Result<PacketChecksums, PacketError> {
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
    let transport = transport(&addresses, next, cursor, at, end, "IPv6 packet")?;
    Ok(PacketChecksums { header: None, transport })
}

/// The segment from byte `at` to byte `end` of the packet. All of it must be there.
fn transport<'a>(
    addresses: &Addresses,
    protocol: u8,
    cursor: &mut Cursor<'a, impl Iterator<Item = &'a [u8]>>,
    at: usize,
    end: usize,
    what: &'static str,
) -> Result<Option<ChecksumField>, PacketError> {
    let mut missing = end - at;
    let mut segment = core::iter::from_fn(|| {
        let piece = cursor.piece(missing)?;
        missing -= piece.len();
        Some(piece)
    });
    let field = transport_checksum(addresses, protocol, &mut segment);
    // Where no checksum was computed, not all of the segment was looked at.
    segment.for_each(drop);
    if missing > 0 {
        return Err(too_short(what, end - missing, end));
    }
    Ok(field?.map(|field| field.moved(at)))
}

pub(crate) const fn too_short(what: &'static str, length: usize, minimum: usize) -> PacketError {
    PacketError::TooShort { what, length, minimum }
}
