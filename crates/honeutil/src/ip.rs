//! The headers of a captured packet, as far as they say who talks to whom. Pure; every length is checked, for packets
//! come cut and from anyone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers of IPv6 looked through for the transport.
const MAX_EXTENSIONS: usize = 8;

/// ICMP over IPv4.
pub(crate) const ICMP: u8 = 1;
/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// ICMP over IPv6.
pub(crate) const ICMP6: u8 = 58;
/// SCTP.
pub(crate) const SCTP: u8 = 132;
/// UDP-Lite.
pub(crate) const UDP_LITE: u8 = 136;

/// What the IP headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headers<'a> {
    /// Who sent it.
    pub(crate) source: IpAddr,
    /// To whom.
    pub(crate) destination: IpAddr,
    /// The transport protocol's number.
    pub(crate) protocol: u8,
    /// What follows the IP headers; nothing in a later fragment, which has no transport header.
    pub(crate) transport: &'a [u8],
    /// Where this part of a fragmented packet belongs, in bytes; 0 in a whole packet and in a first fragment.
    pub(crate) fragment: u16,
}

impl<'a> Headers<'a> {
    /// The headers of a packet that begins with its IP header; `None` if it is not sound or cut too short.
    #[must_use]
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => ipv4(packet),
            6 => ipv6(packet),
            _ => None,
        }
    }

    /// Source and destination port, where the protocol has ports and they were captured.
    #[must_use]
    pub(crate) fn ports(&self) -> Option<[u16; 2]> {
        match self.protocol {
            TCP | UDP | SCTP | UDP_LITE => self
                .transport
                .first_chunk()
                .map(|&[a, b, c, d]| [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]),
            _ => None,
        }
    }

    /// Type and code of an ICMP message, where they were captured.
    #[must_use]
    pub(crate) fn icmp(&self) -> Option<[u8; 2]> {
        match self.protocol {
            ICMP | ICMP6 => self.transport.first_chunk().copied(),
            _ => None,
        }
    }
}

/// What people call a transport protocol, for those met every day.
#[must_use]
pub(crate) fn name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        ICMP => "icmp",
        2 => "igmp",
        TCP => "tcp",
        UDP => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        ICMP6 => "ipv6-icmp",
        SCTP => "sctp",
        UDP_LITE => "udplite",
        _ => return None,
    })
}

fn ipv4(packet: &[u8]) -> Option<Headers<'_>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let address =
        |at: usize| header[at..].first_chunk::<4>().map(|bytes| IpAddr::from(Ipv4Addr::from(*bytes)));
    let fragment = (u16::from_be_bytes([header[6], header[7]]) & 0x1fff) * 8;
    let length = usize::from(header[0] & 0xf) * 4;
    let transport = if fragment > 0 { &[] } else { packet.get(length..).unwrap_or_default() };
    Some(Headers {
        source: address(12)?,
        destination: address(16)?,
        protocol: header[9],
        transport,
        fragment,
    })
}

fn ipv6(packet: &[u8]) -> Option<Headers<'_>> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let address =
        |at: usize| header[at..].first_chunk::<16>().map(|bytes| IpAddr::from(Ipv6Addr::from(*bytes)));
    let mut protocol = header[6];
    let mut rest = &packet[40..];
    let mut fragment = 0;
    for _ in 0..MAX_EXTENSIONS {
        let Some(&[next, length, high, low]) = rest.first_chunk() else { break };
        let skip = match protocol {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => usize::from(length) * 8 + 8,
            // A later fragment has no transport header.
            44 => {
                fragment = u16::from_be_bytes([high, low]) & 0xfff8;
                if fragment > 0 { usize::MAX } else { 8 }
            }
            _ => break,
        };
        protocol = next;
        rest = rest.get(skip..).unwrap_or_default();
    }
    Some(Headers { source: address(8)?, destination: address(24)?, protocol, transport: rest, fragment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_fragment_has_no_ports_and_says_where_it_belongs() {
        let mut packet = [0_u8; 28];
        (packet[0], packet[9]) = (0x45, UDP);
        packet[6..8].copy_from_slice(&0x20b9_u16.to_be_bytes());
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!((headers.fragment, headers.ports()), (0xb9 * 8, None));
        let mut packet = [0_u8; 60];
        (packet[0], packet[6], packet[40]) = (0x60, 44, TCP);
        packet[42..44].copy_from_slice(&0x0509_u16.to_be_bytes());
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!((headers.fragment, headers.protocol, headers.ports()), (0x0508, TCP, None));
    }

    #[test]
    fn cut_and_mangled_packets_are_no_reason_to_fail() {
        let mut packet = [0x60_u8; 80];
        for kind in 0..=255 {
            packet[0] = kind;
            for length in 0..packet.len() {
                let _ = Headers::parse(&packet[..length]).map(|headers| (headers.ports(), headers.icmp()));
            }
        }
    }
}
