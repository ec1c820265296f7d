//! A buffer of TCP that leaves as one packet and arrives as several: the kernel divides what is too long for the loopback device.

use std::net::IpAddr;

use hone_packet::Headers;
use hone_pcapng::view::PacketView;

/// epb_flags of the pcapng draft, bit 11: one buffer that leaves as several segments.
const SEGMENTED: u32 = 1 << 11;

/// Between which ends, in this direction.
pub(super) type Ends = (IpAddr, IpAddr, [u16; 2]);

/// A sent buffer, and the parts of it that have arrived, one behind the other.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) ends: Ends,
    /// The sequence number that the next part begins with, and the one behind the last.
    next: u32,
    end: u32,
    /// How many bytes of payload have arrived.
    arrived: usize,
    /// The numbers of their entries.
    pub(super) parts: Vec<u64>,
}

/// A TCP packet's ends, its sequence number, its acknowledgement, and its payload, which was captured whole.
struct Segment<'a> {
    ends: Ends,
    sequence: u32,
    acknowledged: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn of(data: &'a [u8], original_length: u32) -> Option<Self> {
        let headers = Headers::parse(data).ok()?;
        let (sequence, length) = headers.tcp_payload(original_length)?;
        let ends = (headers.source, headers.destination, headers.ports()?);
        let acknowledged = headers.transport.get(8..12)?;
        let length = usize::try_from(length).ok()?;
        let payload = data.get(data.len().checked_sub(length)?..)?;
        (data.len() == usize::try_from(original_length).ok()?).then_some(Self {
            ends,
            sequence,
            acknowledged,
            payload,
        })
    }
}

impl Segments {
    /// Of a packet that was sent.
    pub(super) fn of(packet: &PacketView<'_>) -> Option<Self> {
        packet.flags.filter(|flags| flags & SEGMENTED != 0 && packet.is_outbound())?;
        let sent = Segment::of(packet.data, packet.original_length)?;
        let end = sent.sequence.wrapping_add(u32::try_from(sent.payload.len()).ok()?);
        Some(Self { ends: sent.ends, next: sent.sequence, end, arrived: 0, parts: Vec::new() })
    }

    /// Takes a packet that is the next part of what was `sent`, as the entry of this number. Returns whether it is.
    pub(super) fn take(&mut self, sent: &PacketView<'_>, packet: &PacketView<'_>, number: u64) -> bool {
        let part = Segment::of(packet.data, packet.original_length).filter(|part| part.sequence == self.next);
        let Some(part) = part else { return false };
        let Some(sent) = Segment::of(sent.data, sent.original_length) else { return false };
        let rest = sent.payload.get(self.arrived..).unwrap_or_default();
        if part.ends != self.ends || part.acknowledged != sent.acknowledged || !rest.starts_with(part.payload)
        {
            return false;
        }
        self.arrived += part.payload.len();
        self.next = self.next.wrapping_add(u32::try_from(part.payload.len()).unwrap_or(0));
        self.parts.push(number);
        true
    }

    /// Whether all has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.next == self.end
    }
}

/// The ends of a packet that may be a part.
pub(super) fn ends(packet: &PacketView<'_>) -> Option<Ends> {
    Segment::of(packet.data, packet.original_length).filter(|_| !packet.is_outbound()).map(|part| part.ends)
}
