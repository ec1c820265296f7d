//! Completes packets. At the transport layers, an outgoing packet has no IP header and no checksums yet; an incoming
//! packet has both headers in front of its data. The network monitor calls this without the lock, except
//! [`Prepared::copy`].

mod arrived;
mod ends;

use alloc::vec::Vec;

use hone_engine::fallible;
use hone_packet::{Addresses, ChecksumField, HeaderBytes, IpHeader, packet_checksums, transport_checksum};

use crate::callouts::{Callout, Layer};
use crate::network_monitor::{Buffer, PacketIndication};
use arrived::Start;
use ends::{Ends, is_loopback};

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

/// Finds the packet's headers, or makes them. Returns `None` if its bytes, its transport header or its addresses cannot be
/// read.
pub(crate) fn prepare<'a>(
    callout: &Callout,
    indication: &'a impl PacketIndication,
    buffer: &'a impl Buffer,
) -> Option<Prepared<'a, impl Iterator<Item = &'a [u8]> + Clone + Sync>> {
    let is_outbound = callout.layer == Layer::OutboundTransport;
    if is_outbound && let Some(header) = indication.included_header() {
        let (segments, length) = (buffer.segments(0)?, buffer.length());
        return Some(Prepared { head: Head::Included(header), segments, length, checksums: [None; 2] });
    }
    let ends = Ends::of(callout, indication)?;
    // Loopback packets have no checksums: no network card was to compute them.
    let is_unfinished = is_outbound || is_loopback(indication);
    let back = if is_outbound {
        0
    } else {
        match arrived::start(&ends, indication, buffer)? {
            Start::Transport(back) => back,
            Start::Header(back, head) => {
                let (segments, length) = (buffer.segments(back)?, buffer.length() + back);
                let transport = is_unfinished.then(|| packet_checksums(segments.clone()).ok()?.transport);
                // A packet that arrives with a wrong checksum of its header is dropped (RFC 1122, section 3.2.1.2). So it is
                // wrong only if the stack itself has changed the header, or made it.
                let checksums = [head.checksum, transport.flatten()];
                return Some(Prepared { head: Head::Present, segments, length, checksums });
            }
        }
    };
    let (segments, length) = (buffer.segments(back)?, buffer.length() + back);
    let checksum =
        is_unfinished.then(|| checksum_of(ends.addresses, ends.protocol, segments.clone())).flatten();
    let head = made(ends.addresses, ends.protocol, length)?;
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
