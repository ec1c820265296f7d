//! A connection, as its packets show it, and how far its names are known.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use hone_packet::Headers;
use hone_packet::protocol::{TCP, UDP};
use hone_types::ConnectionId;

use crate::assembly::Assembly;
use crate::dns::DnsMessage;
use crate::hello::{ClientHello, Progress};
use crate::http::HttpRequest;
use crate::names::{Found, Named};
use crate::quic::{self, FirstId};

/// The ports of DNS, mDNS (RFC 6762) and LLMNR (RFC 4795), whose messages are alike.
const DNS: u16 = 53;
const MDNS: u16 = 5353;
const LLMNR: u16 = 5355;
/// Where the protocols are usually found. Only packets of which nothing was captured are judged by these.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Datagrams of a side that are looked at for the beginning of QUIC.
const MAX_DATAGRAMS: u8 = 16;
/// Queries of a connection that are remembered until their answers come.
const MAX_QUERIES: usize = 16;

/// The packets that belong together: those of a connection between the same ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    connection: Option<ConnectionId>,
    protocol: u8,
    /// IPv4 addresses as IPv6 has them (RFC 4291, section 2.5.5.2).
    addresses: [u128; 2],
    ports: [u16; 2],
}

/// The side that a packet is from: the position in [`Key`].
pub(crate) type Side = usize;

/// In few steps: a key is looked up for each packet.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high] = self.ports.map(u64::from);
        state.write_u64(self.connection.unwrap_or_default());
        state.write_u64(u64::from(self.protocol) << 32 | high << 16 | low);
        self.addresses.iter().for_each(|address| state.write_u128(*address));
    }
}

impl Key {
    /// The connection of a packet, and the side that it is from.
    pub(crate) fn of(connection: Option<ConnectionId>, headers: &Headers<'_>) -> Option<(Self, Side)> {
        let [source, destination] = headers.ports()?;
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let (from, to) = ((number(headers.source), source), (number(headers.destination), destination));
        let side = usize::from(from > to);
        let (low, high) = (from.min(to), from.max(to));
        let (addresses, ports) = ([low.0, high.0], [low.1, high.1]);
        Some((Self { connection, protocol: headers.protocol, addresses, ports }, side))
    }

    /// The same ends, whatever the connection is.
    pub(crate) fn of_any(self) -> Self {
        Self { connection: None, ..self }
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// Whether it has DNS messages.
    pub(crate) fn is_dns(&self) -> bool {
        match self.protocol {
            UDP => [DNS, MDNS, LLMNR].iter().any(|port| self.has_port(*port)),
            _ => self.has_port(DNS),
        }
    }

    /// Whether answers come without questions (RFC 6762, section 6).
    pub(crate) fn is_multicast_dns(&self) -> bool {
        self.protocol == UDP && self.has_port(MDNS)
    }

    /// What a packet names of which nothing was captured, as its port has it.
    fn cut(&self, side: Side) -> Option<Found> {
        let is_quic = self.protocol == UDP;
        match self.ports[1 - side] {
            HTTPS => Some(Found::Hello(ClientHello { is_quic, is_cut: true, ..ClientHello::default() })),
            HTTP if !is_quic => Some(Found::Http(HttpRequest { is_cut: true, ..HttpRequest::default() })),
            DNS => Some(Found::Dns(DnsMessage::cut())),
            _ => None,
        }
    }
}

/// What is looked for in what a side sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    /// Nothing was seen yet; so many datagrams were in vain.
    #[default]
    Nothing,
    /// Its beginning is being put together; of TCP, it begins with this sequence number.
    Beginning(u32),
    /// A request has ended before this sequence number: another one may follow.
    Between(u32),
    /// Nothing more.
    Done,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Its number, once it has one.
    pub(crate) number: u64,
    sides: [Reading; 2],
    /// Whether a stream of each side is being put together.
    pub(crate) has_stream: [bool; 2],
    datagrams: u8,
    first_id: Option<FirstId>,
    /// The name that was found in it.
    pub(crate) named: Option<(Arc<Named>, Side)>,
    /// The name of the address, and for which process it was looked up.
    pub(crate) address: Option<(Option<u32>, Option<Arc<Named>>)>,
    /// The last process that has sent.
    pub(crate) sender: Option<u32>,
    queries: Vec<u16>,
}

/// A packet of a connection.
pub(crate) struct Segment<'a> {
    pub(crate) key: Key,
    pub(crate) side: Side,
    pub(crate) headers: Headers<'a>,
    /// Length on the wire, from the IP header on.
    pub(crate) length: u32,
}

impl Segment<'_> {
    /// Whether it is the first or the second packet of a TCP connection.
    pub(crate) fn is_syn(&self) -> bool {
        self.headers.protocol == TCP && self.headers.transport.get(13).is_some_and(|flags| flags & 2 != 0)
    }
}

/// The beginning of a stream that is being put together, if there is one; `None` ends it.
pub(crate) type Stream = Option<Assembly>;

impl Flow {
    /// Looks for names in a packet; adds them to `found`.
    pub(crate) fn read(&mut self, segment: &Segment<'_>, stream: &mut Stream, found: &mut Vec<Found>) {
        match segment.headers.protocol {
            TCP => self.tcp(segment, stream, found),
            UDP if segment.headers.fragment == 0 => self.udp(segment, stream, found),
            _ => {}
        }
    }

    /// Whether an answer with this number was asked for. It then was not yet answered.
    pub(crate) fn take_query(&mut self, id: u16) -> bool {
        let at = self.queries.iter().position(|query| *query == id);
        at.map(|at| self.queries.remove(at)).is_some()
    }

    /// Remembers that something was asked with this number.
    pub(crate) fn note_query(&mut self, id: u16) {
        if !self.queries.contains(&id) {
            self.queries.truncate(MAX_QUERIES - 1);
            self.queries.insert(0, id);
        }
    }

    fn udp(&mut self, segment: &Segment<'_>, stream: &mut Stream, found: &mut Vec<Found>) {
        let Some(length) = segment.headers.udp_payload(segment.length) else { return };
        let payload = segment.headers.transport.get(8..).unwrap_or_default();
        // The first fragment of a datagram is cut off, too.
        let stated =
            segment.headers.transport.get(4..6).map_or(0, |b| u32::from(u16::from_be_bytes([b[0], b[1]])));
        let is_cut = payload.len() < length.max(stated.saturating_sub(8)) as usize;
        let (key, side) = (&segment.key, segment.side);
        if key.is_dns() {
            found.extend(DnsMessage::parse(payload, is_cut).map(Found::Dns));
            return;
        }
        if self.sides[side] == Reading::Done {
            return;
        }
        if is_cut && (quic::begins_initial(payload) || (payload.len() < 5 && self.datagrams == 0)) {
            self.sides = [Reading::Done; 2];
            let hello = ClientHello { is_quic: true, is_cut: true, ..ClientHello::default() };
            let is_one = !payload.is_empty() && payload.len() >= 5;
            found.extend(if is_one { Some(Found::Hello(hello)) } else { key.cut(side) });
            return;
        }
        self.datagrams += 1;
        if self.datagrams > MAX_DATAGRAMS {
            self.sides = [Reading::Done; 2];
            return;
        }
        if !quic::begins_initial(payload) {
            return;
        }
        let assembly = stream.get_or_insert_default();
        if !quic::handshake(payload, &mut self.first_id, |at, piece| assembly.add(at, piece, false)) {
            *stream = None;
            return;
        }
        let (beginning, is_full) = assembly.beginning();
        match ClientHello::of_handshake(beginning, true, is_full) {
            Progress::More => {}
            progress => {
                if let Progress::Done(hello) = progress {
                    found.push(Found::Hello(hello));
                }
                self.sides = [Reading::Done; 2];
                *stream = None;
            }
        }
    }

    fn tcp(&mut self, segment: &Segment<'_>, stream: &mut Stream, found: &mut Vec<Found>) {
        let (headers, side) = (&segment.headers, segment.side);
        let Some(header) = headers.transport.first_chunk::<14>() else { return };
        if segment.is_syn() {
            let begin = u32::from_be_bytes([header[4], header[5], header[6], header[7]]).wrapping_add(1);
            if self.sides[side] != Reading::Beginning(begin) {
                // The ends are used again, by another connection.
                if header[13] & 0x10 == 0 {
                    *self = Self::default();
                }
                self.sides[side] = Reading::Beginning(begin);
                *stream = None;
            }
        }
        let Some((sequence, length)) = headers.tcp_payload(segment.length) else { return };
        let payload = headers.transport.get(usize::from(header[12] >> 4) * 4..).unwrap_or_default();
        let is_cut = payload.len() < length as usize;
        let is_start = |payload: &[u8]| payload.starts_with(b"\x16\x03") || HttpRequest::may_begin(payload);
        let begin = match self.sides[side] {
            Reading::Beginning(begin) => begin,
            // The connection is older than the recording.
            Reading::Nothing if segment.key.is_dns() || is_start(payload) => sequence,
            Reading::Between(end) if is_start(payload) && sequence.wrapping_sub(end) < 1 << 31 => sequence,
            Reading::Between(_) => return,
            _ => return self.end(side, stream),
        };
        self.sides[side] = Reading::Beginning(begin);
        // What was sent before is negative, and so far behind that it is not kept.
        let offset = sequence.wrapping_sub(begin);
        let assembly = stream.get_or_insert_default();
        assembly.add(offset as usize, payload, is_cut);
        self.next_names(segment, begin, stream, found);
    }

    /// Finds what the beginning of a stream of TCP has.
    fn next_names(&mut self, segment: &Segment<'_>, begin: u32, stream: &mut Stream, found: &mut Vec<Found>) {
        let Some(assembly) = stream else { return };
        let side = segment.side;
        if segment.key.is_dns() {
            return self.dns_messages(segment, begin, stream, found);
        }
        let (beginning, is_cut) = assembly.beginning();
        if beginning.is_empty() {
            if is_cut {
                found.extend(segment.key.cut(side));
                self.end(side, stream);
            }
            return;
        }
        if beginning[0] == 22 {
            match ClientHello::of_records(beginning, is_cut) {
                Progress::More => return,
                Progress::Done(hello) => found.push(Found::Hello(hello)),
                Progress::Other => {}
            }
            return self.end(side, stream);
        }
        match HttpRequest::parse(beginning, is_cut) {
            Progress::More => {}
            Progress::Done(request) => {
                found.push(Found::Http(request));
                let length = u32::try_from(beginning.len()).unwrap_or_default();
                *stream = None;
                self.sides[side] = Reading::Between(begin.wrapping_add(length));
            }
            Progress::Other => self.end(side, stream),
        }
    }

    /// Finds DNS messages, each of which is behind its length (RFC 1035, section 4.2.2).
    fn dns_messages(
        &mut self,
        segment: &Segment<'_>,
        begin: u32,
        stream: &mut Stream,
        found: &mut Vec<Found>,
    ) {
        let Some(assembly) = stream else { return };
        let (mut beginning, is_cut) = assembly.beginning();
        let mut read = 0;
        let is_over = loop {
            let length = beginning.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
            match length.and_then(|length| beginning.get(2..2 + length)) {
                Some(message) => {
                    found.extend(DnsMessage::parse(message, false).map(Found::Dns));
                    (beginning, read) = (&beginning[2 + message.len()..], read + 2 + message.len());
                }
                None if is_cut => {
                    let message = beginning.get(2..).unwrap_or_default();
                    found.extend(DnsMessage::parse(message, true).map(Found::Dns));
                    break true;
                }
                None => break false,
            }
        };
        if is_over {
            return self.end(segment.side, stream);
        }
        assembly.advance(read);
        let begin = begin.wrapping_add(u32::try_from(read).unwrap_or_default());
        self.sides[segment.side] = Reading::Beginning(begin);
        if assembly.is_empty() {
            *stream = None;
        }
    }

    fn end(&mut self, side: Side, stream: &mut Stream) {
        self.sides[side] = Reading::Done;
        *stream = None;
    }
}
