//! Who talks to whom, as a packet's IP headers say: `hone-packet` reads them, here are the words.

use hone_packet::PacketError;

pub(crate) use hone_packet::Headers;
pub(crate) use hone_packet::protocol::{DCCP, ICMP, ICMPV6 as ICMP6, SCTP, TCP, UDP, UDP_LITE};

/// What people call a transport protocol, for those met every day.
#[must_use]
pub(crate) fn name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        ICMP => "icmp",
        2 => "igmp",
        TCP => "tcp",
        UDP => "udp",
        DCCP => "dccp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        ICMP6 => "ipv6-icmp",
        SCTP => "sctp",
        UDP_LITE => "udplite",
        _ => return None,
    })
}

/// The sequence number of the first byte of a TCP packet's payload, and how many bytes the payload has on the wire; `None`
/// if there is none, or its header was not captured. `headers` are those of `packet`, which begins with its IP header and
/// has this length on the wire.
#[must_use]
pub(crate) fn tcp_payload(packet: &[u8], headers: &Headers<'_>, original_length: u32) -> Option<(u32, u32)> {
    if headers.protocol != TCP {
        return None;
    }
    let header: &[u8; 14] = headers.transport.first_chunk()?;
    // The transport header is a part of the packet.
    let before = headers.transport.as_ptr().addr().checked_sub(packet.as_ptr().addr())?;
    let end = u32::try_from(before + usize::from(header[12] >> 4) * 4).ok()?;
    let length = original_length.checked_sub(end).filter(|length| *length > 0)?;
    // A SYN takes a number of its own, before data that comes with it (RFC 9293, section 3.4).
    let syn = u32::from(header[13] >> 1 & 1);
    Some((u32::from_be_bytes([header[4], header[5], header[6], header[7]]).wrapping_add(syn), length))
}

/// What is malformed in a packet, in two words; `None` if it is only cut too short.
#[must_use]
pub(crate) fn malformed(error: &PacketError) -> Option<&'static str> {
    match error {
        PacketError::TooShort { .. } => None,
        PacketError::Version(_) => Some("ip version"),
        _ => Some("header length"),
    }
}
