//! As much of IP, TCP, UDP and ICMP as it takes to compare a packet with the truth. Packets may be cut short.

use std::net::{IpAddr, SocketAddr};

/// An IPv4 or IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Of the whole packet, as its header says; `None` where the header cannot say it (from 64 KiB on).
    pub(crate) length: Option<usize>,
    pub(crate) transport: Transport<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport<'a> {
    Udp { ports: (u16, u16), payload: &'a [u8] },
    Tcp { ports: (u16, u16), sequence: u32, flags: u8, payload: &'a [u8] },
    Icmp(Icmp),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icmp {
    EchoRequest,
    EchoReply,
    Other,
}

pub(crate) const TCP_FIN: u8 = 1;
pub(crate) const TCP_RST: u8 = 4;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const HOP_BY_HOP: u8 = 0;

impl<'a> Ip<'a> {
    /// `None` if it is not an IP packet or is too short.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let head: &[u8; 20] = bytes.first_chunk()?;
                let end = usize::from(u16_at(head, 2)?);
                let from = usize::from(head[0] & 15) * 4;
                Some(Self {
                    source: IpAddr::from(*head[12..].first_chunk::<4>()?),
                    destination: IpAddr::from(*head[16..].first_chunk::<4>()?),
                    length: (end > 0).then_some(end),
                    transport: Transport::parse(head[9], bytes.get(from..)?)?,
                })
            }
            6 => {
                let head: &[u8; 40] = bytes.first_chunk()?;
                let end = usize::from(u16_at(head, 4)?);
                let (mut next, mut rest) = (head[6], &bytes[40..]);
                if next == HOP_BY_HOP {
                    next = *rest.first()?;
                    rest = rest.get((usize::from(*rest.get(1)?) + 1) * 8..)?;
                }
                Some(Self {
                    source: IpAddr::from(*head[8..].first_chunk::<16>()?),
                    destination: IpAddr::from(*head[24..].first_chunk::<16>()?),
                    length: (end > 0).then_some(40 + end),
                    transport: Transport::parse(next, rest)?,
                })
            }
            _ => None,
        }
    }

    /// Source and destination with their ports; `None` if it is not TCP or UDP.
    pub(crate) fn endpoints(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (Transport::Udp { ports, .. } | Transport::Tcp { ports, .. }) = self.transport else {
            return None;
        };
        Some((SocketAddr::new(self.source, ports.0), SocketAddr::new(self.destination, ports.1)))
    }

    /// What the programs sent; empty if there is nothing of it.
    pub(crate) fn payload(&self) -> &'a [u8] {
        match self.transport {
            Transport::Udp { payload, .. } | Transport::Tcp { payload, .. } => payload,
            Transport::Icmp(_) | Transport::Other => &[],
        }
    }
}

impl<'a> Transport<'a> {
    fn parse(protocol: u8, bytes: &'a [u8]) -> Option<Self> {
        let ports = || Some((u16_at(bytes, 0)?, u16_at(bytes, 2)?));
        Some(match protocol {
            UDP => Self::Udp { ports: ports()?, payload: bytes.get(8..)? },
            TCP => {
                let sequence = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
                let payload = usize::from(*bytes.get(12)? >> 4) * 4;
                // Options that were cut off leave no payload.
                let payload = bytes.get(payload..).unwrap_or_default();
                Self::Tcp { ports: ports()?, sequence, flags: *bytes.get(13)?, payload }
            }
            ICMP | ICMP6 => Self::Icmp(match (protocol, *bytes.first()?) {
                (ICMP, 8) | (ICMP6, 128) => Icmp::EchoRequest,
                (ICMP, 0) | (ICMP6, 129) => Icmp::EchoReply,
                _ => Icmp::Other,
            }),
            _ => Self::Other,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// The tags of `examples/traffic.rs` that are whole in a payload: the process and the sequence number of each.
pub(crate) fn tags(payload: &[u8]) -> impl Iterator<Item = (u32, usize)> {
    const START: &[u8] = b"hone pid=";
    let starts = payload.windows(START.len()).enumerate().filter(|(_, window)| *window == START);
    starts.filter_map(|(at, _)| {
        let mut words = payload[at..].split(|byte| *byte == b' ');
        let number = |word: &[u8], name: &str| {
            std::str::from_utf8(word).ok()?.strip_prefix(name)?.parse::<usize>().ok()
        };
        let pid = number(words.nth(1)?, "pid=")?;
        let seq = number(words.next()?, "seq=")?;
        // Without the blank that ends it, the number itself may be cut.
        words.next()?;
        Some((u32::try_from(pid).ok()?, seq))
    })
}
