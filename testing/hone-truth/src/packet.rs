//! Parses as much of a packet as the comparison with the truth needs.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use anyhow::{Result, bail};

/// The direction of a packet from the view of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Direction {
    In,
    Out,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::In { "in" } else { "out" })
    }
}

impl FromStr for Direction {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "in" => Self::In,
            "out" => Self::Out,
            _ => bail!("a direction is in or out, not {text:?}"),
        })
    }
}

/// The protocol inside IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    /// ICMP and `ICMPv6`.
    Icmp,
    Sctp,
    Other(u8),
}

impl From<u8> for Protocol {
    fn from(number: u8) -> Self {
        match number {
            1 | 58 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Other(number) => write!(f, "ip-{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "icmp" => Self::Icmp,
            "sctp" => Self::Sctp,
            _ => match text.strip_prefix("ip-").map(str::parse) {
                Some(Ok(number)) => Self::Other(number),
                _ => bail!("a protocol is tcp, udp, icmp, sctp or ip-NUMBER, not {text:?}"),
            },
        })
    }
}

/// The fields of a TCP header that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A whole IPv4 or IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) protocol: Protocol,
    /// The port is 0 if the protocol has no ports.
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// The bytes from the transport header on.
    pub(crate) transport: &'a [u8],
    /// The data that a program sent. For protocols other than TCP and UDP, all bytes from the transport header on.
    pub(crate) payload: &'a [u8],
    pub(crate) tcp: Option<Tcp>,
    /// ICMP type and code.
    pub(crate) icmp: Option<(u8, u8)>,
    /// Whether this is one of several fragments.
    pub(crate) fragment: bool,
    /// Within a single host, it distinguishes a packet that was sent twice from a packet that was recorded twice.
    identification: u16,
    /// Offset of the transport checksum. It depends on the interface whether the kernel or the network card fills it
    /// in.
    checksum: Option<usize>,
}

impl<'a> Packet<'a> {
    /// Parses a packet. `None` if it is not an IP packet, or if it is too short.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let head: &[u8; 20] = bytes.first_chunk()?;
                let length = usize::from(u16_at(head, 2)?);
                // A packet that is longer than the length field can express has the length 0.
                let bytes = if length == 0 { bytes } else { bytes.get(..length).unwrap_or(bytes) };
                let part = u16_at(head, 6)?;
                let more = part & 0x3fff != 0;
                let rest = bytes.get(usize::from(head[0] & 15) * 4..)?;
                let addresses = (
                    IpAddr::from(*head[12..].first_chunk::<4>()?),
                    IpAddr::from(*head[16..].first_chunk::<4>()?),
                );
                Self::within(head[9], addresses, rest, more, part & 0x1fff != 0, u16_at(head, 4)?)
            }
            6 => {
                let head: &[u8; 40] = bytes.first_chunk()?;
                let length = usize::from(u16_at(head, 4)?);
                let bytes = if length == 0 { bytes } else { bytes.get(..40 + length).unwrap_or(bytes) };
                let (mut next, mut rest) = (head[6], &bytes[40..]);
                let (mut fragment, mut later) = (false, false);
                // Hop-by-hop, routing, fragment, destination options.
                while matches!(next, 0 | 43 | 44 | 60) {
                    let length = if next == 44 { 8 } else { (usize::from(*rest.get(1)?) + 1) * 8 };
                    if next == 44 {
                        fragment = true;
                        later = u16_at(rest, 2)? & 0xfff8 != 0;
                    }
                    next = *rest.first()?;
                    rest = rest.get(length..)?;
                    if later {
                        break;
                    }
                }
                let addresses = (
                    IpAddr::from(*head[8..].first_chunk::<16>()?),
                    IpAddr::from(*head[24..].first_chunk::<16>()?),
                );
                Self::within(next, addresses, rest, fragment, later, 0)
            }
            _ => None,
        }
    }

    fn within(
        number: u8,
        (source, destination): (IpAddr, IpAddr),
        transport: &'a [u8],
        fragment: bool,
        later: bool,
        identification: u16,
    ) -> Option<Self> {
        let protocol = Protocol::from(number);
        let mut packet = Self {
            protocol,
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, 0),
            transport,
            payload: transport,
            tcp: None,
            icmp: None,
            fragment,
            identification,
            checksum: None,
        };
        if later {
            return Some(packet);
        }
        if matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp) {
            packet.source.set_port(u16_at(transport, 0)?);
            packet.destination.set_port(u16_at(transport, 2)?);
        }
        match protocol {
            Protocol::Tcp => {
                let [sequence, acknowledged] = [4, 8].map(|at| u32_at(transport, at));
                packet.tcp = Some(Tcp {
                    sequence: sequence?,
                    acknowledged: acknowledged?,
                    flags: *transport.get(13)?,
                });
                packet.payload = transport.get(usize::from(transport[12] >> 4) * 4..)?;
                packet.checksum = Some(16);
            }
            Protocol::Udp => {
                packet.payload = transport.get(8..)?;
                packet.checksum = Some(6);
            }
            Protocol::Icmp => {
                packet.icmp = Some((*transport.first()?, *transport.get(1)?));
                packet.checksum = Some(2);
            }
            Protocol::Sctp => packet.checksum = Some(8),
            Protocol::Other(_) => {}
        }
        Some(packet)
    }

    /// The packet's two ends: first the end of the process that owns the packet, then the other end.
    pub(crate) fn ends(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::In => (self.destination, self.source),
            Direction::Out => (self.source, self.destination),
        }
    }

    /// Whether the packet is the kernel's own housekeeping: neighbour and router discovery, multicast listeners, IGMP.
    pub(crate) fn housekeeping(&self) -> bool {
        let v6 = self.source.is_ipv6();
        self.protocol == Protocol::Other(2) || v6 && matches!(self.icmp, Some((130..=137 | 143, _)))
    }

    /// Whether this is an ICMP message that reports a problem with another packet and quotes it.
    pub(crate) fn reports(&self) -> bool {
        match self.icmp {
            Some((kind, _)) if self.source.is_ipv4() => matches!(kind, 3 | 4 | 5 | 11 | 12),
            Some((kind, _)) => kind < 128,
            None => false,
        }
    }

    /// A number that is equal for the same packet at its sender and at its receiver. With `exact`, a retransmission has
    /// a different number than the first packet.
    pub(crate) fn identity(&self, exact: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.protocol, self.source, self.destination).hash(&mut hasher);
        if exact {
            self.identification.hash(&mut hasher);
        }
        match self.checksum {
            Some(at) if self.transport.len() >= at + 4 => {
                // SCTP has a checksum of four bytes; all other protocols have two.
                let after = at + if self.protocol == Protocol::Sctp { 4 } else { 2 };
                (&self.transport[..at], &self.transport[after..]).hash(&mut hasher);
            }
            _ => self.transport.hash(&mut hasher),
        }
        hasher.finish()
    }
}

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {}", self.protocol, self.source, self.destination)?;
        if let Some(tcp) = self.tcp {
            f.write_str(" ")?;
            for (flag, name) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (ACK, '.')] {
                if tcp.flags & flag != 0 {
                    write!(f, "{name}")?;
                }
            }
            write!(f, " seq {}", tcp.sequence)?;
        }
        if let Some((kind, code)) = self.icmp {
            write!(f, " type {kind} code {code}")?;
        }
        write!(f, " {} bytes", self.payload.len())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}
