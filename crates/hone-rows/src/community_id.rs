//! Community ID, version 1: a short name for both directions of a flow. All tools that support it compute the same
//! name.
//!
//! The name is `1:` and the base64 of a SHA-1. The hash covers the seed (0), the address of the lower endpoint, the
//! other address, the protocol, a zero byte, and the two ports. Both directions hash the same bytes, because the lower
//! endpoint always comes first. ICMP uses type and code as ports: a request and its reply are the two directions of one
//! flow; any other message is a flow of one direction.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

use crate::ip::{Headers, ICMP, ICMP6, SCTP, TCP, UDP};

/// Pairs of request and reply types in ICMP and ICMPv6, as in the specification.
const ICMP_PAIRS: [(u8, u8); 5] = [(8, 0), (13, 14), (15, 16), (17, 18), (10, 9)];
const ICMP6_PAIRS: [(u8, u8); 6] = [(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)];

/// The addresses and, if the protocol has them, the ports, from which the name is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: Option<[u16; 2]>,
    one_way: bool,
}

impl Flow {
    /// The flow of a packet; `None` if its protocol has ports but this packet does not contain them.
    pub fn of(headers: &Headers<'_>) -> Option<Self> {
        let (ports, one_way) = match headers.protocol {
            TCP | UDP | SCTP => (Some(headers.ports()?), false),
            ICMP => icmp(headers.icmp()?, &ICMP_PAIRS),
            ICMP6 => icmp(headers.icmp()?, &ICMP6_PAIRS),
            _ => (None, false),
        };
        let Headers { source, destination, protocol, .. } = *headers;
        Some(Self { source, destination, protocol, ports, one_way })
    }

    /// The flow's Community ID.
    pub fn id(&self) -> String {
        let mut ends =
            [(self.source, self.ports.map(|ports| ports[0])), (self.destination, self.ports.map(|p| p[1]))];
        if !self.one_way && ends[0] > ends[1] {
            ends.swap(0, 1);
        }
        let mut hash = Sha1::new();
        hash.update([0, 0]);
        for (address, _) in ends {
            match address {
                IpAddr::V4(address) => hash.update(address.octets()),
                IpAddr::V6(address) => hash.update(address.octets()),
            }
        }
        hash.update([self.protocol, 0]);
        for port in ends.iter().filter_map(|(_, port)| *port) {
            hash.update(port.to_be_bytes());
        }
        let mut id = "1:".to_owned();
        BASE64_STANDARD.encode_string(hash.finalize(), &mut id);
        id
    }
}

/// The Community IDs of the last flows: the packets of one come together.
#[derive(Debug, Default)]
pub struct CommunityIds {
    /// Each at the place that its addresses and ports say.
    kept: Vec<Option<(Flow, String)>>,
}

impl CommunityIds {
    /// How many are kept.
    const KEPT: usize = 256;

    /// The Community ID of a flow.
    pub fn of(&mut self, flow: Flow) -> &str {
        if self.kept.is_empty() {
            self.kept.resize_with(Self::KEPT, || None);
        }
        let add = |place: usize, octet: &u8| place.wrapping_mul(31).wrapping_add(usize::from(*octet));
        let mut place = 0;
        for address in [flow.source, flow.destination] {
            place = match address {
                IpAddr::V4(address) => address.octets().iter().fold(place, add),
                IpAddr::V6(address) => address.octets().iter().fold(place, add),
            };
        }
        for port in flow.ports.into_iter().flatten() {
            place = port.to_be_bytes().iter().fold(place, add);
        }
        let kept = &mut self.kept[place % Self::KEPT];
        if kept.as_ref().is_none_or(|(of, _)| *of != flow) {
            *kept = None;
        }
        &kept.get_or_insert_with(|| (flow, flow.id())).1
    }
}

fn icmp([kind, code]: [u8; 2], pairs: &[(u8, u8)]) -> (Option<[u16; 2]>, bool) {
    let other = pairs.iter().find_map(|(request, reply)| match kind {
        _ if kind == *request => Some(*reply),
        _ if kind == *reply => Some(*request),
        _ => None,
    });
    (Some([kind.into(), other.unwrap_or(code).into()]), other.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(protocol: u8, source: &str, destination: &str, first: u16, second: u16) -> String {
        let transport = match protocol {
            ICMP | ICMP6 => vec![first.to_be_bytes()[1], second.to_be_bytes()[1]],
            _ => [first.to_be_bytes(), second.to_be_bytes()].concat(),
        };
        let headers = Headers {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            transport: &transport,
            transport_offset: 0,
            fragment: 0,
        };
        Flow::of(&headers).unwrap().id()
    }

    /// From the specification and from the tests of its reference implementation.
    #[test]
    fn golden_values() {
        for (protocol, source, destination, first, second, expected) in [
            (TCP, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (TCP, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (TCP, "10.0.0.1", "10.0.0.2", 10, 11569, "1:SXBGMX1lBOwhhoDrZynfROxnhnM="),
            (TCP, "192.168.1.42", "192.168.1.42", 41, 42, "1:eRcf7I/xocOxnYo5pbJBV5NhVm0="),
            (TCP, "192.168.1.42", "192.168.1.42", 42, 41, "1:eRcf7I/xocOxnYo5pbJBV5NhVm0="),
            (TCP, "2001:db8::1", "2001:db8::2", 443, 51000, "1:2TiKiiiSIuDma9IxOEOpx4wCXWM="),
            (UDP, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (SCTP, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
            (ICMP, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            (ICMP, "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            (ICMP, "192.168.0.89", "192.168.0.1", 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="),
            (ICMP, "192.168.0.89", "192.168.0.1", 20, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I="),
            (
                ICMP6,
                "fe80::200:86ff:fe05:80da",
                "fe80::260:97ff:fe07:69ea",
                135,
                0,
                "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=",
            ),
            (
                ICMP6,
                "3ffe:507:0:1:200:86ff:fe05:80da",
                "3ffe:507:0:1:260:97ff:fe07:69ea",
                3,
                0,
                "1:/OGBt9BN1ofenrmSPWYicpij2Vc=",
            ),
            (ICMP6, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00="),
            // RSVP: a protocol without ports.
            (46, "1.2.3.4", "5.6.7.8", 0, 0, "1:ikv3kmf89luf73WPz1jOs49S768="),
            (46, "5.6.7.8", "1.2.3.4", 0, 0, "1:ikv3kmf89luf73WPz1jOs49S768="),
        ] {
            assert_eq!(id(protocol, source, destination, first, second), expected, "{source} {destination}");
        }
    }

    #[test]
    fn a_flow_has_its_name_whichever_was_asked_for_before() {
        let address = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut ids = CommunityIds::default();
        for _ in 0..2 {
            for number in 0..200 {
                for port in 0..4 {
                    let flow = Flow {
                        source: address(number),
                        destination: address(port),
                        protocol: if number % 2 == 0 { TCP } else { UDP },
                        ports: Some([port.into(), number.into()]),
                        one_way: false,
                    };
                    assert_eq!(ids.of(flow), flow.id());
                }
            }
        }
    }

    #[test]
    fn a_packet_cut_before_its_ports_has_no_name() {
        let address = "10.0.0.1".parse().unwrap();
        for protocol in [TCP, UDP, SCTP, ICMP, ICMP6] {
            let headers = Headers {
                source: address,
                destination: address,
                protocol,
                transport: &[1],
                transport_offset: 0,
                fragment: 0,
            };
            assert_eq!(Flow::of(&headers), None);
        }
    }
}
