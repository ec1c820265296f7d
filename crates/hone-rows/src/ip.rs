//! Words for what a packet's IP headers contain. `hone-packet` parses the headers.

use hone_packet::PacketError;

pub use hone_packet::Headers;
pub use hone_packet::protocol::{DCCP, ICMP, ICMPV6 as ICMP6, SCTP, TCP, UDP, UDP_LITE};

/// What people call a transport protocol, for those met every day.
#[must_use]
pub fn name(protocol: u8) -> Option<&'static str> {
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

/// What is malformed in a packet, in two words; `None` if it is only cut off too early.
#[must_use]
pub fn malformed(error: &PacketError) -> Option<&'static str> {
    match error {
        PacketError::TooShort { .. } => None,
        PacketError::Version(_) => Some("ip version"),
        _ => Some("header length"),
    }
}
