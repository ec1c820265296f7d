//! Where the headers of a packet that arrives are.
//!
//! Page "Data offset positions": the data begins behind the transport header, but for ICMP and ICMPv6 at it. Page
//! `FWPS_INCOMING_METADATA_VALUES0`: the IP header begins the sum of both header sizes before the data. What the transport
//! header's size is for ICMP, no page says. And not every header is that of the packet: page "Developing
//! IPsec-Compatible Callout Drivers" says that the AH or ESP header stays after decryption, and that the packet is
//! shorter then; after reassembly, it is the header of a fragment. So a header is believed only if it says what the
//! layer says.

use hone_packet::{PacketHead, protocol};

use super::ends::Ends;
use crate::network_monitor::{Buffer, PacketIndication};

/// The first byte of a packet that arrived.
pub(super) enum Start {
    /// This many bytes in front of the data, at a header that is the packet's.
    Header(usize, PacketHead),
    /// This many bytes in front of the data, at the transport header. There is no IP header that is the packet's.
    Transport(usize),
}

/// Finds the first byte of a packet that arrived. `None` if the transport header is not in the buffer, or if memory
/// cannot be mapped.
pub(super) fn start(ends: &Ends, indication: &impl PacketIndication, buffer: &impl Buffer) -> Option<Start> {
    let (ip, transport) = indication.header_lengths();
    let transport = transport.unwrap_or(0);
    let is_icmp = matches!(ends.protocol, protocol::ICMP | protocol::ICMPV6);
    if let Some(ip) = ip {
        let both = ip.saturating_add(transport);
        for back in if is_icmp { [ip, both] } else { [both, ip] } {
            if let Some(head) = head_at(back, ends, ip, buffer) {
                return Some(Start::Header(back, head));
            }
        }
    }
    let back = if is_icmp { 0 } else { transport };
    is_transport_header(back, ends, buffer).then_some(Start::Transport(back))
}

/// The IP header that begins this many bytes before the data. `None` if it does not describe this packet: its version,
/// its length with all options and extension headers, its protocol, both addresses and the packet's length must be those
/// of the indication, and it must not be that of a fragment.
fn head_at(back: usize, ends: &Ends, length: usize, buffer: &impl Buffer) -> Option<PacketHead> {
    if back > buffer.headroom() {
        return None;
    }
    let head = PacketHead::parse(buffer.segments(back)?).ok()?;
    let described = (head.addresses, head.protocol, head.length, head.total);
    (described == (ends.addresses, ends.protocol, length, buffer.length() + back)).then_some(head)
}

/// Whether a transport header begins this many bytes before the data. A header of TCP or UDP must have this length and
/// the indication's ports. Other protocols are taken at the layer's word.
fn is_transport_header(back: usize, ends: &Ends, buffer: &impl Buffer) -> bool {
    /// Length of a UDP header, bytes (RFC 768).
    const UDP_LENGTH: usize = 8;
    if back > buffer.headroom() {
        return false;
    }
    let Some(segments) = buffer.segments(back) else { return false };
    let mut bytes = segments.flatten().copied();
    let mut start = [0; 13];
    for (byte, found) in start.iter_mut().zip(&mut bytes) {
        *byte = found;
    }
    let length = match ends.protocol {
        // The header's length is in units of 4 bytes, at least 5 (RFC 9293, section 3.1).
        protocol::TCP => usize::from(start[12] >> 4).max(5) * 4,
        protocol::UDP => UDP_LENGTH,
        _ => return true,
    };
    let ports = [u16::from_be_bytes([start[0], start[1]]), u16::from_be_bytes([start[2], start[3]])];
    length == back && ends.ports.is_none_or(|known| known == ports)
}
