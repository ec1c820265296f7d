//! Packets in, names out.

use std::sync::Arc;

use hone_packet::Headers;
use hone_types::{ConnectionId, Direction};

use crate::addresses::Addresses;
use crate::assembly::Assembly;
use crate::dns::{Data, DnsMessage};
use crate::flow::{Flow, Key, Segment, Side};
use crate::hello::ClientHello;
use crate::http::HttpRequest;
use crate::recent::Recent;
use crate::{MAX_FLOWS, MAX_STREAMS};

/// A packet of a recording.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Its time, nanoseconds since 1970.
    pub nanos: u64,
    /// Which way it goes.
    pub direction: Option<Direction>,
    /// The process that has sent or received it.
    pub process: Option<u32>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Its headers, and what was captured behind them.
    pub headers: Headers<'a>,
    /// Its length on the wire, from the IP header on.
    pub length: u32,
}

/// What a packet completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A DNS message.
    Dns(DnsMessage),
    /// The first message of a TLS or QUIC client.
    Hello(ClientHello),
    /// A request of HTTP in clear text.
    Http(HttpRequest),
}

impl Found {
    /// Whether some of it was not captured, so that its names may be missing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Dns(message) => message.is_cut,
            Self::Hello(hello) => hello.is_cut,
            Self::Http(request) => request.is_cut,
        }
    }

    /// All names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (mut dns, mut other) = (None, None);
        match self {
            Self::Dns(message) => dns = Some(message),
            Self::Hello(hello) => other = hello.server_name.as_deref(),
            Self::Http(request) => other = request.host.as_deref(),
        }
        let questions =
            dns.into_iter().flat_map(|message| &message.questions).map(|question| &*question.name);
        let answers = dns.into_iter().flat_map(|message| &message.answers);
        let answers = answers.flat_map(|answer| {
            let target = match &answer.data {
                Data::Name(name) => Some(&**name),
                _ => None,
            };
            [Some(&*answer.name), target].into_iter().flatten()
        });
        other.into_iter().chain(questions).chain(answers)
    }
}

/// Where the name of a connection is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameSource {
    /// The client hello of TLS over TCP.
    Tls,
    /// The client hello of QUIC.
    Quic,
    /// A request of HTTP.
    Http,
    /// An answer of DNS, in which the address was.
    Dns,
}

impl NameSource {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Dns => "dns",
        }
    }
}

/// The name of a connection's server, or of its other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// The name, in lower case without a dot at the end; what does not print is `\DDD`.
    pub name: Arc<str>,
    /// Where it is from.
    pub source: NameSource,
}

/// An end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
}

/// What is known once a packet was seen.
#[derive(Debug)]
pub struct Noted<'a> {
    /// What the packet completes: usually nothing, or one message.
    pub found: &'a [Found],
    /// The name of its connection, and the end of the packet that has it.
    pub name: Option<(&'a Arc<Named>, End)>,
    /// The process: the packet's; if it has none, the one of this host that has last sent on the connection.
    pub process: Option<u32>,
    /// A number of its connection: the same for all packets between the same ends, until one of TCP begins anew; also
    /// for the handshake that a server's listener had. 0: it has none.
    pub flow: u64,
}

/// Looks for names in the packets of one host, in their order.
#[derive(Debug)]
pub struct Names {
    flows: Recent<Key, Flow>,
    streams: Recent<(Key, Side), Assembly>,
    /// The numbers of connections that have begun, by their ends and which of these is of this host. A server's handshake is
    /// recorded with its listener's connection; what follows, with another one.
    handshakes: Recent<(Key, Option<Side>), u64>,
    addresses: Addresses,
    found: Vec<Found>,
    /// The number of the last connection.
    last: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            flows: Recent::new(MAX_FLOWS),
            streams: Recent::new(MAX_STREAMS),
            handshakes: Recent::new(MAX_STREAMS),
            addresses: Addresses::new(),
            found: Vec::new(),
            last: 0,
        }
    }
}

impl Names {
    /// Forgets everything: what follows is of another host.
    pub fn clear(&mut self) {
        self.flows.clear();
        self.streams.clear();
        self.handshakes.clear();
        self.addresses.clear();
    }

    /// How many connections are remembered, and how many streams in which names are looked for.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.flows.len(), self.streams.len())
    }

    /// Takes note of the next packet.
    pub fn note(&mut self, packet: &Packet<'_>) -> Noted<'_> {
        self.found.clear();
        let Some((key, side)) = Key::of(packet.connection, &packet.headers) else {
            return Noted { found: &[], name: None, process: packet.process, flow: 0 };
        };
        let Self { flows, streams, handshakes, addresses, found, last } = self;
        let flow = flows.get_or_default(key);
        let mut stream = if flow.has_stream[side] { streams.remove(&(key, side)) } else { None };
        let segment = Segment { key, side, headers: packet.headers, length: packet.length };
        flow.read(&segment, &mut stream, found);
        if flow.number == 0 {
            let local = match packet.direction {
                Some(Direction::Outbound) => Some(side),
                Some(Direction::Inbound) => Some(1 - side),
                None => None,
            };
            let begun = if segment.is_syn() { None } else { handshakes.remove(&(key.of_any(), local)) };
            flow.number = begun.unwrap_or_else(|| {
                *last += 1;
                *last
            });
            if segment.is_syn() {
                handshakes.insert((key.of_any(), local), flow.number);
            }
        }
        flow.has_stream[side] = stream.is_some();
        if let Some(stream) = stream {
            streams.insert((key, side), stream);
        }
        if packet.direction != Some(Direction::Inbound) {
            flow.sender = packet.process.or(flow.sender);
        }
        let process = packet.process.or(flow.sender);
        for found in &*found {
            match found {
                Found::Dns(message) if !message.is_response => flow.note_query(message.id),
                Found::Dns(message) => {
                    // What nobody has asked for may be from anyone.
                    let is_expected = flow.take_query(message.id) || key.is_multicast_dns();
                    if is_expected && packet.direction != Some(Direction::Outbound) {
                        note_answers(message, process, packet.nanos, addresses);
                    }
                }
                Found::Hello(ClientHello { server_name: Some(name), is_quic, .. }) => {
                    let source = if *is_quic { NameSource::Quic } else { NameSource::Tls };
                    flow.named = Some((named(name, source), 1 - side));
                }
                // Within a TLS connection, there is no clear text.
                Found::Http(HttpRequest { host: Some(name), .. }) => {
                    flow.named = Some((named(name, NameSource::Http), 1 - side));
                }
                Found::Hello(_) | Found::Http(_) => {}
            }
        }
        let name = match &flow.named {
            Some((name, end)) => Some((name, if *end == side { End::Source } else { End::Destination })),
            // What a resolver is called says nothing of what it is asked.
            None if key.is_dns() => None,
            None => {
                let (end, address) = match packet.direction {
                    Some(Direction::Inbound) => (End::Source, packet.headers.source),
                    _ => (End::Destination, packet.headers.destination),
                };
                // By what the address is called when the connection begins; later answers are not about it.
                if !matches!(&flow.address, Some((of, name)) if name.is_some() || *of == process) {
                    let name = addresses.name(address, process, packet.nanos).map(Arc::clone);
                    let name = name.map(|name| Arc::new(Named { name, source: NameSource::Dns }));
                    flow.address = Some((process, name));
                }
                flow.address.as_ref().and_then(|(_, name)| Some((name.as_ref()?, end)))
            }
        };
        Noted { found, name, process, flow: flow.number }
    }
}

fn named(name: &str, source: NameSource) -> Arc<Named> {
    Arc::new(Named { name: name.into(), source })
}

/// Remembers the addresses of an answer by the names that were asked for.
fn note_answers(message: &DnsMessage, process: Option<u32>, nanos: u64, addresses: &mut Addresses) {
    let mut last: Option<Arc<str>> = None;
    for answer in &message.answers {
        let Data::Address(address) = answer.data else { continue };
        let name = message.asked_name(answer);
        if name == "." {
            continue;
        }
        let name = last.take().filter(|last| **last == *name).unwrap_or_else(|| name.into());
        addresses.note(address, process, &name, nanos, answer.ttl);
        last = Some(name);
    }
}
