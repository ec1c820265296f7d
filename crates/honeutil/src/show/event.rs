//! One event on its way from the reader to the text, with what the stream said earlier about its process.

use hone_pcapng::{ConnectionEvent, ConnectionId, Packet, ProcessEvent, Section, Statistics};

use super::processes::Process;
use crate::ip::Headers;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Section(&'a Section<'a>),
    Process(&'a ProcessEvent<'a>),
    Connection(&'a ConnectionEvent<'a>),
    Packet {
        packet: &'a Packet<'a>,
        /// From the IP header on; empty if the link type is not known.
        ip: &'a [u8],
        headers: Option<Headers<'a>>,
    },
    Statistics(&'a Statistics<'a>),
}

/// An event and what goes with it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// When, since 1970-01-01 UTC.
    pub(crate) nanos: Option<u64>,
    pub(crate) event: Event<'a>,
    /// Its process, as the events up to this one tell of it.
    pub(crate) process: Option<&'a Process>,
}

impl Shown<'_> {
    /// The process id, where there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.event {
            Event::Process(event) => Some(event.process),
            Event::Connection(event) => Some(event.process),
            Event::Packet { packet, .. } => packet.process,
            Event::Section(_) | Event::Statistics(_) => None,
        }
    }

    /// The connection, where there is one.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match &self.event {
            Event::Connection(event) => Some(event.connection),
            Event::Packet { packet, .. } => packet.connection,
            _ => None,
        }
    }
}

/// Which way a packet went, as its flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        match packet.flags? & 3 {
            1 => Some(Self::In),
            2 => Some(Self::Out),
            _ => None,
        }
    }
}

/// The link types whose packets can be shown with their addresses: where the IP header begins.
pub(crate) fn ip_part(link_type: u16, data: &[u8]) -> &[u8] {
    const VLAN: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
    const IP: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];
    let (mut kind, header) = match link_type {
        // IP at once: as Hone writes it, and as BSD and the typed variants of it do.
        12 | 101 | 228 | 229 => return data,
        // Ethernet.
        1 => (12, 14),
        // Linux cooked capture.
        113 => (14, 16),
        _ => return &[],
    };
    let mut rest = data.get(header..).unwrap_or_default();
    let two = |at: usize| data.get(at..).and_then(<[u8]>::first_chunk::<2>).copied();
    while two(kind).is_some_and(|found| VLAN.contains(&found)) {
        kind += 4;
        rest = rest.get(4..).unwrap_or_default();
    }
    if two(kind).is_some_and(|found| IP.contains(&found)) { rest } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ip_header_is_found() {
        let ethernet = [&[0; 12][..], &[8, 0, 0x45]].concat();
        let tagged = [&[0; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x86, 0xdd, 0x60]].concat();
        let cooked = [&[0; 14][..], &[8, 0, 0x45]].concat();
        let arp = [&[0; 12][..], &[8, 6, 0x45]].concat();
        for (link_type, data, expected) in [
            (101, &[0x45][..], &[0x45][..]),
            (1, &ethernet, &[0x45]),
            (1, &tagged, &[0x60]),
            (113, &cooked, &[0x45]),
            (1, &arp, &[]),
            (147, &[0x45], &[]),
            (1, &[], &[]),
        ] {
            assert_eq!(ip_part(link_type, data), expected, "{link_type}");
        }
        for length in 0..tagged.len() {
            let _ = ip_part(1, &tagged[..length]);
        }
    }
}
