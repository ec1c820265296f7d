//! A packet's addresses, ports and payload, as far as its captured bytes include the headers. Holds no state. Called
//! for packets that are held or corrected, and for packets with a process that neither the sensor nor the connection
//! table knows.

use core::net::IpAddr;

use hone_packet::Headers;

use crate::Direction;

/// Identifies a flow, seen from this host. IPv4 addresses that are mapped into IPv6 are stored as IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// IANA's protocol number, for example 6 for TCP.
    pub(crate) protocol: u8,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
}

impl Tuple {
    /// The tuple of a packet that begins with its IP header. `None`: the packet has no ports (another protocol, or a
    /// fragment that is not the first), or the captured bytes end before the ports.
    pub(crate) fn of(packet: &[u8], direction: Direction) -> Option<Self> {
        let headers = Headers::parse(packet).ok()?;
        let [source, destination] = headers.ports()?;
        let source = (headers.source.to_canonical(), source);
        let destination = (headers.destination.to_canonical(), destination);
        let (local, remote) = match direction {
            Direction::Inbound => (destination, source),
            Direction::Outbound => (source, destination),
        };
        Some(Self { protocol: headers.protocol, local, remote })
    }
}

/// The sequence number of the first payload byte of a TCP packet, and the payload's length on the wire, bytes. `None`:
/// there is no payload, or the headers are not in these bytes.
pub(crate) fn payload_of_tcp(packet: &[u8], original_length: u32) -> Option<(u32, u32)> {
    Headers::parse(packet).ok()?.tcp_payload(original_length)
}

/// A UDP datagram's payload, bytes. `None`: another protocol, or the headers are not in these bytes.
pub(crate) fn payload_of_udp(packet: &[u8], original_length: u32) -> Option<u32> {
    Headers::parse(packet).ok()?.udp_payload(original_length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: [u8; 4] = [0x12, 0x34, 0, 80];

    fn v4_packet(protocol: u8, fragment: u16) -> [u8; 28] {
        let mut packet = [0; 28];
        packet[0] = 0x46;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
        packet[24..].copy_from_slice(&PORTS);
        packet
    }

    #[test]
    fn ports_follow_the_options_of_ipv4() {
        let packet = v4_packet(6, 0x4000);
        let (ours, theirs) = (([10, 0, 0, 1].into(), 0x1234), ([10, 0, 0, 2].into(), 80));
        let tuple = Tuple { protocol: 6, local: ours, remote: theirs };
        assert_eq!(Tuple::of(&packet, Direction::Outbound), Some(tuple));
        let tuple = Tuple { local: theirs, remote: ours, ..tuple };
        assert_eq!(Tuple::of(&packet, Direction::Inbound), Some(tuple));
        assert!(Tuple::of(&v4_packet(17, 0x2000), Direction::Inbound).is_some(), "a first fragment");
        assert_eq!(Tuple::of(&v4_packet(17, 1), Direction::Inbound), None);
        assert_eq!(Tuple::of(&v4_packet(1, 0), Direction::Inbound), None);
        for length in 0..28 {
            assert_eq!(Tuple::of(&packet[..length], Direction::Inbound), None);
        }
    }

    /// An IPv6 packet with four extension headers of different lengths: 24, 16, 8 and 12 bytes. `fragment` is the
    /// offset in its fragment header; `mapped`: its source address is an IPv4 address.
    fn v6_packet(fragment: u16, mapped: bool) -> [u8; 104] {
        let mut packet = [0; 104];
        packet[0] = 0x60;
        packet[8..24].fill(if mapped { 0 } else { 0xFD });
        if mapped {
            packet[18..20].fill(0xFF);
        }
        packet[24..40].fill(0xFC);
        let mut at = 40;
        packet[6] = 0;
        for (next, length, size) in [(60, 2, 24), (44, 1, 16), (51, 0, 8), (17, 1, 12)] {
            packet[at] = next;
            packet[at + 1] = length;
            if size == 8 {
                packet[at + 2..at + 4].copy_from_slice(&(fragment << 3 | 1).to_be_bytes());
            }
            at += size;
        }
        packet[at..].copy_from_slice(&PORTS);
        packet
    }

    #[test]
    fn ports_follow_the_extension_headers_of_ipv6() {
        let packet = v6_packet(0, false);
        let tuple =
            Tuple { protocol: 17, local: ([0xFD; 16].into(), 0x1234), remote: ([0xFC; 16].into(), 80) };
        assert_eq!(Tuple::of(&packet, Direction::Outbound), Some(tuple));
        assert_eq!(Tuple::of(&v6_packet(1, false), Direction::Outbound), None);
        let mapped = Tuple::of(&v6_packet(0, true), Direction::Outbound).expect("it has ports");
        assert_eq!(mapped.local.0, IpAddr::from([0, 0, 0, 0]));
        for length in 0..packet.len() {
            assert_eq!(Tuple::of(&packet[..length], Direction::Outbound), None);
        }
        let mut endless = [0; 400];
        endless[0] = 0x60;
        assert_eq!(Tuple::of(&endless, Direction::Inbound), None);
    }
}
