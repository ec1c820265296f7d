//! Completes packets. At the transport layers, an outgoing packet has no IP header and no checksums yet; an incoming
//! packet has both headers in front of its data. The network monitor calls this without the lock, except
//! [`Prepared::copy`].

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use hone_engine::fallible;
use hone_packet::{Addresses, ChecksumField, HeaderBytes, IpHeader, packet_checksums, transport_checksum};

use crate::callouts::{Callout, Family, Layer};
use crate::network_monitor::{Buffer, Indication, PacketIndication, Value};

/// Indices of the fixed fields at one layer.
struct Fields {
    protocol: usize,
    local: usize,
    remote: usize,
}

/// `FWPS_FIELDS_INBOUND_TRANSPORT_V4` and `_V6` (fwpsk.h, learn.microsoft.com): protocol, local address, remote address.
const INBOUND: Fields = Fields { protocol: 0, local: 1, remote: 2 };
/// `FWPS_FIELDS_OUTBOUND_TRANSPORT_V4` and `_V6`: protocol, local address, its type, remote address.
const OUTBOUND: Fields = Fields { protocol: 0, local: 1, remote: 3 };

/// Index of the flags field at the inbound layers: `FWPS_FIELD_INBOUND_TRANSPORT_V4_FLAGS` and `_V6_`.
const INBOUND_FLAGS: usize = 9;
/// `FWP_CONDITION_FLAG_IS_LOOPBACK` (fwptypes.h).
const IS_LOOPBACK: u32 = 1;

/// Windows' default ("DefaultTTL"). The packet's real value is not known yet at this layer.
const HOP_LIMIT: u8 = 128;

/// The IP header at the beginning of a packet's copy.
enum Head<'a> {
    /// The header is already in front of the data.
    Present,
    /// The driver made the header.
    Made(HeaderBytes),
    /// The program made the header (raw socket).
    Included(&'a [u8]),
}

/// A packet with its headers, ready to be copied.
pub(crate) struct Prepared<'a, S> {
    head: Head<'a>,
    segments: S,
    /// Total length of the segments, in bytes.
    length: usize,
    /// Checksums to fill in; offsets count from the first segment.
    checksums: [Option<ChecksumField>; 2],
}

/// Finds the packet's headers, or makes them. Returns `None` if its bytes or addresses cannot be read.
pub(crate) fn prepare<'a>(
    callout: &Callout,
    indication: &'a impl PacketIndication,
    buffer: &'a impl Buffer,
) -> Option<Prepared<'a, impl Iterator<Item = &'a [u8]> + Clone>> {
    let (ip, transport) = indication.header_lengths();
    if callout.layer == Layer::OutboundTransport {
        let segments = buffer.segments(0)?;
        let length = buffer.length();
        if let Some(header) = indication.included_header() {
            return Some(Prepared { head: Head::Included(header), segments, length, checksums: [None; 2] });
        }
        let (protocol, local, remote) = ends(callout.family, &OUTBOUND, indication)?;
        let addresses = local.to(remote)?;
        let checksums = [checksum_of(addresses, protocol, segments.clone()), None];
        return Some(Prepared { head: made(addresses, protocol, length)?, segments, length, checksums });
    }
    // Loopback packets have no checksums: no network card was to compute them.
    let is_loopback =
        matches!(indication.value(INBOUND_FLAGS), Some(Value::U32(flags)) if flags & IS_LOOPBACK != 0);
    let transport = transport.unwrap_or(0);
    let whole = ip.filter(|&ip| ip > 0).map(|ip| ip.saturating_add(transport));
    if let Some(back) = whole.filter(|&back| back <= buffer.headroom()) {
        let segments = buffer.segments(back)?;
        if version(segments.clone()) == Some(callout.family) {
            let length = buffer.length() + back;
            let found = is_loopback.then(|| packet_checksums(segments.clone()).ok()).flatten();
            let checksums = found.map_or([None; 2], |found| [found.header, found.transport]);
            return Some(Prepared { head: Head::Present, segments, length, checksums });
        }
    }
    let back = transport.min(buffer.headroom());
    let (protocol, local, remote) = ends(callout.family, &INBOUND, indication)?;
    let (segments, length) = (buffer.segments(back)?, buffer.length() + back);
    let addresses = remote.to(local)?;
    let checksum = is_loopback.then(|| checksum_of(addresses, protocol, segments.clone())).flatten();
    let head = made(addresses, protocol, length)?;
    Some(Prepared { head, segments, length, checksums: [checksum, None] })
}

/// The position of a segment's checksum. `None` if the segment's own lengths do not agree: it is then recorded
/// unchanged.
fn checksum_of<'a>(
    addresses: Addresses,
    protocol: u8,
    segments: impl Iterator<Item = &'a [u8]>,
) -> Option<ChecksumField> {
    transport_checksum(&addresses, protocol, segments).ok().flatten()
}

impl<'a, S: Iterator<Item = &'a [u8]> + Clone> Prepared<'_, S> {
    /// Length of the whole packet, in bytes.
    pub(crate) fn length(&self) -> usize {
        self.head().len() + self.length
    }

    /// Replaces the content of `to` by the packet's first `most` bytes. `to` must have enough capacity.
    pub(crate) fn copy(&self, to: &mut Vec<u8>, most: usize) {
        to.clear();
        let most = most.min(to.capacity());
        let mut append = |bytes: &[u8]| {
            let room = most - to.len();
            let reserved = fallible::append(to, &bytes[..bytes.len().min(room)]);
            debug_assert!(reserved.is_ok());
        };
        append(self.head());
        self.segments.clone().for_each(append);
        if let Some(copied) = to.get_mut(self.head().len()..) {
            self.checksums.iter().flatten().for_each(|checksum| checksum.write([&mut *copied]));
        }
    }

    fn head(&self) -> &[u8] {
        match &self.head {
            Head::Present => &[],
            Head::Made(header) => header,
            Head::Included(header) => header,
        }
    }
}

/// Makes an IP header for a segment. If the segment is longer than the header's length field can express, the field
/// gets its largest value; the block's own length is still right.
fn made(addresses: Addresses, protocol: u8, segment: usize) -> Option<Head<'static>> {
    let header = IpHeader { hop_limit: HOP_LIMIT, ..IpHeader::new(addresses, protocol) };
    let most = match addresses {
        Addresses::V4 { .. } => usize::from(u16::MAX) - header.len(),
        Addresses::V6 { .. } => usize::from(u16::MAX),
    };
    header.emit(segment.min(most)).ok().map(Head::Made)
}

/// The IP version in the packet's first byte.
fn version<'a>(mut segments: impl Iterator<Item = &'a [u8]>) -> Option<Family> {
    match segments.find_map(|segment| segment.first())? >> 4 {
        4 => Some(Family::V4),
        6 => Some(Family::V6),
        _ => None,
    }
}

/// An IPv4 or IPv6 address.
#[derive(Clone, Copy)]
enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Address {
    fn of(family: Family, value: Value) -> Option<Self> {
        match (family, value) {
            (Family::V4, Value::U32(number)) => Some(Self::V4(number.into())),
            (Family::V6, Value::Bytes16(bytes)) => Some(Self::V6(bytes.into())),
            _ => None,
        }
    }

    fn to(self, destination: Self) -> Option<Addresses> {
        match (self, destination) {
            (Self::V4(source), Self::V4(destination)) => Some(Addresses::V4 { source, destination }),
            (Self::V6(source), Self::V6(destination)) => Some(Addresses::V6 { source, destination }),
            _ => None,
        }
    }
}

/// Protocol, local address and remote address of a packet.
fn ends(family: Family, fields: &Fields, indication: &impl Indication) -> Option<(u8, Address, Address)> {
    let Some(Value::U8(protocol)) = indication.value(fields.protocol) else { return None };
    let address = |index| Address::of(family, indication.value(index)?);
    Some((protocol, address(fields.local)?, address(fields.remote)?))
}
