//! What is known of each connection that has traffic. Memory is limited: connections that are silent are forgotten, and what they
//! had is added up by address and by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use hone_engine::Nanos;
use hone_names::{ClientHello, End, Found, Named, Noted};
use hone_pcapng::view::PacketView;
use hone_pcapng::{ConnectionEvent, ConnectionEventKind, ConnectionId, How};

use crate::traffic::Traffic;
use crate::traffic::history::History;
use crate::traffic::peers::Peer;
use hone_rows::ip::{Headers, TCP};

/// Most connections that are counted separately.
const MAX_FLOWS: usize = 16_384;
/// How many ticks a connection without traffic is kept. Its history has only zeros by then.
const IDLE_TICKS: u32 = 30;
/// The same while there is little room.
const IDLE_TICKS_CROWDED: u32 = 3;
/// Most connections of which it is kept when they were opened.
const MAX_OPENED: usize = 1 << 17;
/// Most addresses, and most names, of what is forgotten.
const MAX_GONE: usize = 16_384;

/// Flags of TCP (RFC 9293, section 3.1).
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A connection; or packets without one, by the other end's address and their protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowKey {
    /// The connection with this id.
    Connection(ConnectionId),
    /// What belongs to no connection.
    Loose(IpAddr, u8),
}

/// Who uses an address: a process, or none.
pub(super) type User = (Option<u32>, IpAddr);

/// An end of a connection.
pub type Address = (IpAddr, Option<u16>);

/// What is known of a connection.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The process that has it, by its last packet.
    pub pid: Option<u32>,
    /// This host's end, and the other one.
    pub ends: Option<(Address, Address)>,
    /// Its protocol.
    pub protocol: u8,
    /// The other end, in short.
    pub peer: Option<Peer>,
    /// Its name, and whether it is that of the other end.
    pub named: Option<(Arc<Named>, bool)>,
    /// What its client has said first, in TLS or QUIC.
    pub hello: Option<Rc<ClientHello>>,
    /// When it was opened, if this was seen.
    pub opened: Option<Nanos>,
    /// When its process closed it.
    pub closed: Option<Nanos>,
    /// Its first and its last packet.
    pub seen: Option<(Nanos, Nanos)>,
    /// How its packets are attributed, and how many of them so.
    pub how: Vec<(How, u64)>,
    /// The flags of TCP that were received, and those that were sent.
    flags: [u8; 2],
    /// Its traffic.
    pub total: Traffic,
}

impl Facts {
    /// What it is doing, in words.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let [received, sent] = self.flags;
        let is_any = |flag| (received | sent) & flag != 0;
        match self.closed {
            _ if self.protocol == TCP && is_any(RST) => {
                if received & RST != 0 {
                    "reset by the other end"
                } else {
                    "reset by this host"
                }
            }
            Some(_) => "closed",
            None if self.protocol != TCP => "open",
            None if received & sent & FIN != 0 => "closing: both ends have finished",
            None if sent & FIN != 0 => "closing: this host has finished",
            None if received & FIN != 0 => "closing: the other end has finished",
            None if is_any(SYN) && !(received & ACK != 0 && sent & ACK != 0) => "opening",
            None => "open",
        }
    }

    fn packet(&mut self, packet: &PacketView<'_>, headers: Option<&Headers<'_>>) {
        let is_outbound = packet.is_outbound();
        self.total.count(is_outbound, packet.original_length.into());
        self.pid = packet.process.or(self.pid);
        let first = self.seen.map_or(packet.timestamp, |(first, _)| first);
        self.seen = Some((first, packet.timestamp));
        if let Some(how) = packet.how {
            match self.how.iter_mut().find(|(known, _)| *known == how) {
                Some((_, count)) => *count += 1,
                None => self.how.push((how, 1)),
            }
        }
        let Some(headers) = headers else { return };
        self.peer = Some(Peer::of_headers(headers, is_outbound));
        self.protocol = headers.protocol;
        let [source, destination] = match headers.ports() {
            Some([source, destination]) => [Some(source), Some(destination)],
            None => [None, None],
        };
        let (source, destination) = ((headers.source, source), (headers.destination, destination));
        // A later fragment has no ports.
        if self.ends.is_none() || source.1.is_some() {
            self.ends = Some(if is_outbound { (source, destination) } else { (destination, source) });
        }
        if headers.protocol == TCP && headers.fragment == 0 {
            let flags = headers.transport.get(13).copied().unwrap_or_default();
            self.flags[usize::from(is_outbound)] |= flags;
        }
    }

    /// Takes note of what its packet says. Returns whether its name has changed.
    fn note(&mut self, noted: &Noted<'_>, is_outbound: bool) -> bool {
        for found in noted.found {
            if let Found::Hello(hello) = found {
                self.hello = Some(Rc::new(hello.clone()));
            }
        }
        let Some((named, end)) = noted.name else { return false };
        if self.named.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, named)) {
            return false;
        }
        let is_remote = (end == End::Destination) == is_outbound;
        self.named = Some((Arc::clone(named), is_remote));
        true
    }
}

/// A connection with its rates.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Shared with the pictures that show it.
    pub(super) facts: Rc<Facts>,
    /// What its process is called, once that is known.
    pub(super) owner: Option<Rc<super::rows::Owner>>,
    pub(super) history: History,
    pub(super) rate: Traffic,
    before: Traffic,
    idle: u32,
}

/// Traffic of what is forgotten, by some key.
#[derive(Debug, Clone)]
pub struct Sums<K> {
    /// By key.
    pub by_key: HashMap<K, Traffic>,
    /// What had no room.
    pub others: Traffic,
}

impl<K> Default for Sums<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), others: Traffic::default() }
    }
}

impl<K: Hash + Eq> Sums<K> {
    fn add(&mut self, key: K, traffic: &Traffic) {
        let is_full = self.by_key.len() >= MAX_GONE;
        match self.by_key.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().add(traffic),
            Entry::Vacant(room) if !is_full => _ = room.insert(*traffic),
            Entry::Vacant(_) => self.others.add(traffic),
        }
    }
}

/// What connections that are no longer kept have had.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    /// By the other end's address; `None`: not known.
    pub hosts: Sums<Option<IpAddr>>,
    /// By name; `None`: they had none.
    pub names: Sums<Option<Arc<str>>>,
}

impl Gone {
    fn add(&mut self, facts: &Facts) {
        self.hosts.add(facts.peer.map(|peer| peer.address()), &facts.total);
        self.names.add(facts.named.as_ref().map(|(named, _)| Arc::clone(&named.name)), &facts.total);
    }
}

/// The connections that have traffic.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_key: HashMap<FlowKey, Flow>,
    opened: HashMap<ConnectionId, Nanos>,
    /// Shared with the pictures that show it.
    pub(super) gone: Rc<Gone>,
}

impl Flows {
    /// Counts a packet; `noted`: the names in it. Returns the address that has got a name by it, with its process.
    pub(super) fn packet(
        &mut self,
        packet: &PacketView<'_>,
        headers: Option<&Headers<'_>>,
        noted: &Noted<'_>,
    ) -> Option<(User, Arc<Named>)> {
        let is_outbound = packet.is_outbound();
        let key = match (packet.connection, headers) {
            (Some(connection), _) => FlowKey::Connection(connection),
            (None, Some(headers)) => FlowKey::Loose(
                if is_outbound { headers.destination } else { headers.source },
                headers.protocol,
            ),
            (None, None) => return None,
        };
        if self.by_key.len() >= MAX_FLOWS && !self.by_key.contains_key(&key) {
            let mut facts = Facts::default();
            facts.packet(packet, headers);
            facts.note(noted, is_outbound);
            Rc::make_mut(&mut self.gone).add(&facts);
            return None;
        }
        let flow = self.by_key.entry(key).or_insert_with(|| {
            let opened = packet.connection.and_then(|connection| self.opened.get(&connection)).copied();
            Flow { facts: Rc::new(Facts { opened, ..Facts::default() }), ..Flow::default() }
        });
        let facts = Rc::make_mut(&mut flow.facts);
        let pid = facts.pid;
        facts.packet(packet, headers);
        if facts.pid != pid {
            // Found at the next tick.
            flow.owner = None;
        }
        let is_new = facts.note(noted, is_outbound) || facts.pid != pid;
        let (named, is_remote) = facts.named.as_ref().filter(|_| is_new)?;
        is_remote.then(|| Some(((facts.pid, facts.peer?.address()), Arc::clone(named))))?
    }

    /// A connection belongs to the process that read from it last.
    pub(super) fn set_process(&mut self, connection: ConnectionId, pid: u32) {
        if let Some(flow) = self.by_key.get_mut(&FlowKey::Connection(connection))
            && flow.facts.pid != Some(pid)
        {
            Rc::make_mut(&mut flow.facts).pid = Some(pid);
            flow.owner = None;
        }
    }

    /// Takes note of an event of a connection.
    pub(super) fn event(&mut self, event: &ConnectionEvent<'_>) {
        let connection = event.connection;
        match event.kind {
            ConnectionEventKind::Opened if self.opened.len() < MAX_OPENED => {
                self.opened.insert(connection, event.timestamp);
            }
            ConnectionEventKind::Closed => {
                self.opened.remove(&connection);
                if let Some(flow) = self.by_key.get_mut(&FlowKey::Connection(connection)) {
                    Rc::make_mut(&mut flow.facts).closed = Some(event.timestamp);
                }
            }
            _ => {}
        }
    }

    /// Finds the rates since the last tick, by `rate` of the traffic now and then, and forgets what was silent for long.
    pub(super) fn tick(&mut self, rate: impl Fn(&Traffic, &Traffic) -> Traffic) {
        let most_idle = if self.by_key.len() > MAX_FLOWS / 2 { IDLE_TICKS_CROWDED } else { IDLE_TICKS };
        let Self { by_key, gone, .. } = self;
        by_key.retain(|_, flow| {
            flow.rate = rate(&flow.facts.total, &flow.before);
            flow.before = flow.facts.total;
            flow.history.push(flow.rate.bytes());
            flow.idle = if flow.rate.packets() == 0 { flow.idle + 1 } else { 0 };
            let is_kept = flow.idle <= most_idle;
            if !is_kept {
                Rc::make_mut(gone).add(&flow.facts);
            }
            is_kept
        });
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&FlowKey, &mut Flow)> {
        self.by_key.iter_mut()
    }
}
