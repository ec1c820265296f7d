//! The headers of a captured packet, as far as they identify its sender and receiver. The engine, `show`, `top` and the
//! filters all use this one walker of IP headers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::head::{V4_FRAGMENT, V6_FRAGMENT};
use crate::header::{V4_LENGTH, V6_LENGTH};
use crate::packet::too_short;
use crate::protocol::{ICMP, ICMPV6, NO_NEXT_HEADER, TCP, UDP, has_ports};
use crate::{PacketError, extension};

/// The content of a packet's IP headers. Unlike [`packet_checksums`](crate::packet_checksums), this also accepts
/// fragments and packets that were not captured to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The transport protocol's number. For IPv6, the first header that is not an extension, or the last that was
    /// captured.
    pub protocol: u8,
    /// The captured bytes after the IP headers and extensions, up to the packet's end according to its length field.
    /// Empty in a later fragment, which has no transport header.
    pub transport: &'a [u8],
    /// Offset of `transport` in the packet, bytes, according to the headers before it. For IPv6, as far as these were
    /// captured.
    pub transport_offset: usize,
    /// Offset of this fragment in the whole packet, bytes; 0 in an unfragmented packet and in a first fragment.
    pub fragment: u16,
}

impl<'a> Headers<'a> {
    /// The headers of a packet that begins with its IP header. Bytes after the end that the header states, such as a
    /// frame's padding, do not belong to the packet. A stated length of 0 means that the packet is too long for the
    /// field.
    ///
    /// # Errors
    /// [`PacketError::TooShort`] if too little was captured, [`PacketError::Version`] and
    /// [`PacketError::HeaderLength`] if it is malformed.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        match packet.first().ok_or_else(|| too_short("packet", 0, V4_LENGTH))? >> 4 {
            4 => ipv4(packet),
            6 => ipv6(packet),
            version => Err(PacketError::Version(version)),
        }
    }

    /// Source and destination port, if the protocol has ports and they were captured.
    #[must_use]
    pub fn ports(&self) -> Option<[u16; 2]> {
        let &[a, b, c, d] = self.transport.first_chunk().filter(|_| has_ports(self.protocol))?;
        Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
    }

    /// Type and code of an ICMP message, if they were captured.
    #[must_use]
    pub fn icmp(&self) -> Option<[u8; 2]> {
        match self.protocol {
            ICMP | ICMPV6 => self.transport.first_chunk().copied(),
            _ => None,
        }
    }

    /// The sequence number of the first byte of a TCP packet's payload, and how many bytes the payload has on the wire,
    /// where the packet has this length; `None` if it has none, or the flags of its header were not captured.
    #[must_use]
    pub fn tcp_payload(&self, original_length: u32) -> Option<(u32, u32)> {
        let header: &[u8; 14] = self.transport.first_chunk().filter(|_| self.protocol == TCP)?;
        let end = self.transport_offset + usize::from(header[12] >> 4) * 4;
        let length = original_length.checked_sub(u32::try_from(end).ok()?).filter(|length| *length > 0)?;
        // A SYN takes a number of its own, before data that comes with it (RFC 9293, section 3.4).
        let syn = u32::from(header[13] >> 1 & 1);
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        Some((sequence.wrapping_add(syn), length))
    }

    /// How many bytes of payload a UDP datagram has on the wire, where the packet has this length; `None` if it is no
    /// datagram's beginning, or is shorter than its headers.
    #[must_use]
    pub fn udp_payload(&self, original_length: u32) -> Option<u32> {
        let headers = u32::try_from(self.transport_offset + UDP_LENGTH).ok()?;
        original_length.checked_sub(headers).filter(|_| self.protocol == UDP && self.fragment == 0)
    }
}

/// Length of a UDP header, bytes (RFC 768).
const UDP_LENGTH: usize = 8;

fn ipv4(packet: &[u8]) -> Result<Headers<'_>, PacketError> {
    let says = usize::from(packet[0] & 0xF) * 4;
    let wrong_length =
        |maximum| PacketError::HeaderLength { what: "IPv4", says, minimum: V4_LENGTH, maximum };
    if says < V4_LENGTH {
        return Err(wrong_length(60));
    }
    let header: &[u8; V4_LENGTH] =
        packet.first_chunk().ok_or_else(|| too_short("IPv4 header", packet.len(), V4_LENGTH))?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if total != 0 && says > total {
        return Err(wrong_length(total));
    }
    let fragment = (u16::from_be_bytes([header[6], header[7]]) & V4_FRAGMENT) << 3;
    let transport = if fragment > 0 { &[] } else { up_to(packet, total).get(says..).unwrap_or_default() };
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Ok(Headers {
        source: address(12).into(),
        destination: address(16).into(),
        protocol: header[9],
        transport,
        transport_offset: says,
        fragment,
    })
}

fn ipv6(packet: &[u8]) -> Result<Headers<'_>, PacketError> {
    let header: &[u8; V6_LENGTH] =
        packet.first_chunk().ok_or_else(|| too_short("IPv6 header", packet.len(), V6_LENGTH))?;
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&header[8..24]);
    destination.copy_from_slice(&header[24..]);
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut rest = &up_to(packet, if payload == 0 { 0 } else { V6_LENGTH + payload })[V6_LENGTH..];
    let mut protocol = header[6];
    let mut transport_offset = V6_LENGTH;
    let mut fragment = 0;
    while let Some(&[next, second, high, low]) = rest.first_chunk()
        && extension::is_one(protocol)
        && !(next == NO_NEXT_HEADER && extension::is_message(protocol))
    {
        if protocol == extension::FRAGMENT {
            fragment = u16::from_be_bytes([high, low]) & V6_FRAGMENT;
        }
        let length = extension::length(protocol, second);
        transport_offset += length;
        // A later fragment has no transport header.
        rest = if fragment > 0 { &[] } else { rest.get(length..).unwrap_or_default() };
        protocol = next;
    }
    Ok(Headers {
        source: Ipv6Addr::from(source).into(),
        destination: Ipv6Addr::from(destination).into(),
        protocol,
        transport: rest,
        transport_offset,
        fragment,
    })
}

/// The packet up to the end that it states; all of it for 0.
fn up_to(packet: &[u8], end: usize) -> &[u8] {
    match end {
        0 => packet,
        _ => &packet[..end.min(packet.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::DCCP;

    /// An IPv4 packet with eight bytes of UDP.
    fn v4(first: u8, total: u16) -> [u8; 28] {
        let mut packet = [0; 28];
        (packet[0], packet[9]) = (first, UDP);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[20..24].copy_from_slice(&[0, 53, 0, 54]);
        packet
    }

    /// An IPv6 packet with this payload.
    fn v6<const N: usize>(next: u8, payload: &[u8; N]) -> [u8; 256] {
        let mut packet = [0; 256];
        (packet[0], packet[6]) = (0x60, next);
        packet[4..6].copy_from_slice(&u16::try_from(N).unwrap().to_be_bytes());
        packet[40..40 + N].copy_from_slice(payload);
        packet
    }

    #[test]
    fn a_header_length_that_cannot_be_gives_no_ports() {
        assert_eq!(Headers::parse(&v4(0x45, 28)).unwrap().ports(), Some([53, 54]));
        assert_eq!(Headers::parse(&v4(0x45, 0)).unwrap().ports(), Some([53, 54]), "longer than 65,535");
        for (first, total) in
            [(0x40, 28), (0x41, 28), (0x44, 28), (0x40, 0), (0x4F, 28), (0x45, 19), (0x45, 1)]
        {
            let error = Headers::parse(&v4(first, total)).unwrap_err();
            assert!(matches!(error, PacketError::HeaderLength { .. }), "{first:#x} {total}: {error}");
        }
        assert!(matches!(Headers::parse(&[0x44]), Err(PacketError::HeaderLength { says: 16, .. })));
        // Options that were not captured: malformed is only what contradicts itself.
        assert_eq!(Headers::parse(&v4(0x4F, 60)).unwrap().ports(), None);
        assert_eq!(Headers::parse(&[0x55; 28]), Err(PacketError::Version(5)));
    }

    #[test]
    fn what_is_behind_the_packets_end_is_not_read_as_ports() {
        // As in an Ethernet frame, which is padded to 60 bytes.
        for total in 20..24 {
            let packet = v4(0x45, total);
            let headers = Headers::parse(&packet).unwrap();
            assert_eq!((headers.transport.len(), headers.ports()), (usize::from(total) - 20, None));
        }
        let mut packet = v6(UDP, &[0, 53, 0, 54]);
        assert_eq!(Headers::parse(&packet).unwrap().ports(), Some([53, 54]));
        packet[5] = 3;
        assert_eq!(Headers::parse(&packet).unwrap().ports(), None);
    }

    #[test]
    fn a_later_fragment_has_no_ports_and_says_where_it_belongs() {
        let mut packet = v4(0x45, 28);
        packet[6..8].copy_from_slice(&0x20b9_u16.to_be_bytes());
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!((headers.fragment, headers.ports()), (0xb9 * 8, None));
        let packet = v6(44, &[TCP, 0, 0x05, 0x09, 0, 0, 0, 0, 0, 53, 0, 54]);
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!((headers.fragment, headers.protocol, headers.ports()), (0x0508, TCP, None));
        let packet = v6(44, &[TCP, 0, 0, 1, 0, 0, 0, 0, 0, 53, 0, 54]);
        assert_eq!(Headers::parse(&packet).unwrap().ports(), Some([53, 54]), "the first one has them");
    }

    #[test]
    fn ports_are_found_behind_every_extension_header() {
        let ends = [0, 53, 0, 54];
        for number in [0, 43, 44, 51, 60, 135, 139, 140] {
            let mut payload = [0; 12];
            payload[0] = UDP;
            payload[8..].copy_from_slice(&ends);
            let packet = v6(number, &payload);
            let headers = Headers::parse(&packet).unwrap();
            assert_eq!((headers.protocol, headers.ports()), (UDP, Some([53, 54])), "{number}");
            // Cut within the extension: it says what follows, which is not there.
            let headers = Headers::parse(&packet[..44]).unwrap();
            assert_eq!((headers.protocol, headers.ports()), (UDP, None), "{number}");
            let headers = Headers::parse(&packet[..43]).unwrap();
            assert_eq!((headers.protocol, headers.ports()), (number, None), "{number}");
        }
        // An authentication header counts in units of 4 bytes.
        let mut payload = [0; 16];
        payload[..2].copy_from_slice(&[UDP, 1]);
        payload[12..].copy_from_slice(&ends);
        assert_eq!(Headers::parse(&v6(51, &payload)).unwrap().ports(), Some([53, 54]));
        assert_eq!(
            Headers::parse(&v6(50, &payload)).unwrap().protocol,
            50,
            "what is encrypted is no extension"
        );
        assert_eq!(Headers::parse(&v6(135, &[59, 0, 0, 0, 0, 0, 0, 0])).unwrap().protocol, 135);
        // Longer than the packet.
        let headers = v6(0, &[UDP, 255, 0, 0, 0, 0, 0, 0, 0, 53, 0, 54]);
        assert_eq!(Headers::parse(&headers).unwrap().ports(), None);
    }

    /// What the engine's walker and honeutil's did differently before they were one.
    #[test]
    fn payload_is_behind_all_headers_and_a_syn_takes_a_number() {
        // DCCP has ports, and more than eight extension headers are walked.
        let mut payload = [0; 12 * 8];
        (payload[10 * 8], payload[11 * 8 + 1], payload[11 * 8 + 3]) = (DCCP, 53, 54);
        let packet = v6(60, &payload);
        let headers = Headers::parse(&packet).unwrap();
        let found = (headers.protocol, headers.ports(), headers.transport_offset);
        assert_eq!(found, (DCCP, Some([53, 54]), 40 + 11 * 8));

        let mut packet = [0; 44];
        (packet[0], packet[9], packet[32]) = (0x45, TCP, 0x50);
        packet[24..28].copy_from_slice(&u32::MAX.to_be_bytes());
        let payload = |packet: &[u8], length| Headers::parse(packet).unwrap().tcp_payload(length);
        assert_eq!(payload(&packet, 44), Some((u32::MAX, 4)));
        assert_eq!(payload(&packet, 40), None, "no payload");
        assert_eq!(payload(&packet[..34], 1500), Some((u32::MAX, 1460)), "what is counted is on the wire");
        assert_eq!(payload(&packet[..33], 1500), None, "whether it is a SYN was not captured");
        packet[33] = 2;
        assert_eq!(payload(&packet, 44), Some((0, 4)), "data of a SYN");
        packet[6] = 1;
        assert_eq!(payload(&packet, 44), None, "a later fragment");

        let payload = |packet: &[u8], length| Headers::parse(packet).unwrap().udp_payload(length);
        let mut packet = v4(0x46, 0);
        assert_eq!((payload(&packet, 40), payload(&packet[..20], 40)), (Some(8), Some(8)));
        assert_eq!(payload(&packet, 31), None, "shorter than its headers");
        packet[7] = 1;
        assert_eq!(payload(&packet, 40), None, "a later fragment");
        assert_eq!(payload(&v6(44, &[UDP, 0, 0, 8, 0, 0, 0, 0]), 60), None, "a later fragment");
        assert_eq!(payload(&v6(44, &[UDP, 0, 0, 1, 0, 0, 0, 0]), 60), Some(4), "the first one");
    }

    #[test]
    fn cut_and_mangled_packets_are_no_reason_to_fail() {
        for (first, fill) in (0..=255).flat_map(|first| [0, 0x2c, 0x60, 0xff].map(|fill| (first, fill))) {
            let mut packet = [fill; 80];
            packet[0] = first;
            for length in 0..packet.len() {
                let _ = Headers::parse(&packet[..length]).map(|headers| (headers.ports(), headers.icmp()));
            }
        }
    }
}
