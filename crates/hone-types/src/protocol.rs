//! Protocol numbers (IANA, "Assigned Internet Protocol Numbers") that Hone looks into.

/// ICMP, over IPv4 (RFC 792).
pub const ICMP: u8 = 1;
/// TCP (RFC 9293).
pub const TCP: u8 = 6;
/// UDP (RFC 768).
pub const UDP: u8 = 17;
/// DCCP (RFC 4340).
pub const DCCP: u8 = 33;
/// ICMPv6, over IPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;
/// What an IPv6 header names that nothing follows (RFC 8200, section 4.7).
pub const NO_NEXT_HEADER: u8 = 59;
/// SCTP (RFC 9260).
pub const SCTP: u8 = 132;
/// UDP-Lite (RFC 3828).
pub const UDP_LITE: u8 = 136;

/// Whether a protocol's header begins with the source port and the destination port.
#[must_use]
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
}
