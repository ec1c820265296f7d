//! The facts of one scenario, arranged to answer how a packet must be attributed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::packet::{Direction, Packet, RST, SYN};
use crate::tag::Tag;
use crate::told::{Fact, Flow, Reason};

/// Largest expected difference between the clocks of recorder and generators, in nanoseconds.
pub(super) const SLACK: u64 = 5_000_000;

/// The expected owner of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// One of these processes: those that hold the socket, or that wrote or read the message.
    Process(Vec<u32>),
    /// Like [`Self::Process`]. No process is right as well, because none has read the message or accepted the
    /// connection, so the owner cannot be known.
    Unread(Vec<u32>),
    /// Like [`Self::Process`]. No process is right as well: the connection was over, or its end was closed and no
    /// process held it. The kernel owns what is left of a connection until it forgets it. This also covers answers to
    /// packets that belonged to no connection.
    Over(Vec<u32>),
    /// No process, with one of these reasons.
    Nobody(Vec<Reason>),
    /// The generators did not report an owner.
    Untold,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    process: u32,
    from: u64,
    to: u64,
}

/// A scenario's facts.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) addresses: HashSet<IpAddr>,
    pub(super) sent: HashMap<Tag, u32>,
    pub(super) read: HashMap<Tag, Vec<u32>>,
    pub(super) named: HashMap<(Direction, Tag), String>,
    pub(super) dropped: HashSet<Tag>,
    pub(super) overlap: bool,
    pub(super) closed: bool,
    pub(super) forwarded: bool,
    pub(super) large: Option<usize>,
    pub(super) skipped: Option<String>,
    pub(super) failed: Option<String>,
    holders: HashMap<Flow, Vec<Holder>>,
    nobody: Vec<(Direction, Flow, u64, Vec<Reason>)>,
    single: Vec<(Direction, Flow)>,
}

impl Truth {
    pub(super) fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Address(address) => drop(self.addresses.insert(address)),
            Fact::Sent(tag, process) => drop(self.sent.insert(tag, process)),
            Fact::Read(tag, process) => self.read.entry(tag).or_default().push(process),
            Fact::Holds(flow, process, from) => {
                self.holders.entry(flow).or_default().push(Holder { process, from, to: u64::MAX });
            }
            Fact::Leaves(flow, process, at) => {
                let holders = self.holders.entry(flow).or_default();
                for holder in holders.iter_mut().filter(|holder| holder.process == process) {
                    holder.to = at;
                }
            }
            Fact::Nobody(direction, flow, from, reasons) => {
                self.nobody.push((direction, flow, from, reasons))
            }
            Fact::Single(direction, flow) => self.single.push((direction, flow)),
            Fact::Large(bytes) => self.large = Some(bytes),
            Fact::Dropped(tag) => drop(self.dropped.insert(tag)),
            Fact::Overlap => self.overlap = true,
            Fact::Closed => self.closed = true,
            Fact::Forwarded => self.forwarded = true,
            Fact::Named(direction, tag, argument) => drop(self.named.insert((direction, tag), argument)),
            Fact::Skipped(reason) => self.skipped = Some(reason),
            Fact::Failed(reason) => self.failed = Some(reason),
        }
    }

    /// The flows in the facts: only those with both ends if `whole`, otherwise all.
    pub(super) fn flows(&self, whole: bool) -> impl Iterator<Item = &Flow> {
        self.holders.keys().filter(move |flow| !whole || flow.remote.is_some())
    }

    /// Every process that held a flow's sockets at some time.
    pub(super) fn holders_of(&self, flow: &Flow) -> Vec<u32> {
        self.holders.get(flow).into_iter().flatten().map(|holder| holder.process).collect()
    }

    /// The reasons why a packet has no process, if a fact says that it has none.
    pub(super) fn nobody(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> Option<&[Reason]> {
        let rules = self.nobody.iter();
        let mut fitting = rules.filter(|(way, flow, from, _)| {
            *way == direction && nanos + SLACK >= *from && fits(flow, packet, direction)
        });
        fitting.next_back().map(|(_, _, _, reasons)| reasons.as_slice())
    }

    /// Whether a packet should have no counterpart in the other direction.
    pub(super) fn single(&self, packet: &Packet<'_>, direction: Direction) -> bool {
        self.single.iter().any(|(way, flow)| *way == direction && fits(flow, packet, direction))
    }

    /// The processes that wrote or read a message.
    pub(super) fn of_message(&self, tag: Tag, direction: Direction) -> Option<Vec<u32>> {
        match direction {
            Direction::Out => self.sent.get(&tag).map(|process| vec![*process]),
            Direction::In => self.read.get(&tag).cloned(),
        }
    }

    /// The processes that held a packet's socket at the packet's time.
    pub(super) fn holders(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> Vec<u32> {
        let (local, remote) = packet.ends(direction);
        let protocol = packet.protocol;
        let exact = self.holders.get(&Flow::between(protocol, local, remote));
        let exact = exact.map_or(&[][..], Vec::as_slice);
        // The first holder (the process that accepted it) owns what waited in the socket before.
        let first = exact.iter().map(|holder| holder.from).min();
        let mut found = active(exact.iter().filter(|holder| {
            (Some(holder.from) == first || holder.from <= nanos + SLACK)
                && nanos <= holder.to.saturating_add(SLACK)
        }));
        if found.is_empty() {
            // All processes have let go of it. Data that is still to be sent belongs to the last holder.
            let last = exact.iter().map(|holder| holder.to).max();
            found = active(exact.iter().filter(|holder| Some(holder.to) == last));
        }
        if unaccepted(packet, first, nanos) {
            found.extend(self.wildcards(packet, local, nanos));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether all holders of a packet's socket had let go of it at the packet's time.
    pub(super) fn left(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> bool {
        let (local, remote) = packet.ends(direction);
        let holders = self.holders.get(&Flow::between(packet.protocol, local, remote));
        holders.is_some_and(|holders| holders.iter().all(|holder| holder.to < nanos))
    }

    /// Whether a packet without data opens a connection at a listener that one process has let go of. Only an accept
    /// shows which process holds such a listener now.
    fn opens_at_left(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> bool {
        let (local, remote) = packet.ends(direction);
        let holders = |flow| self.holders.get(&flow).map_or(&[][..], Vec::as_slice);
        let exact = holders(Flow::between(packet.protocol, local, remote));
        packet.payload.is_empty()
            && unaccepted(packet, exact.iter().map(|holder| holder.from).min(), nanos)
            && holders(Flow::at(packet.protocol, local)).iter().any(|holder| holder.to < nanos)
    }

    /// Whether it is a reset for a packet without a connection: the kernel's answer at a listener's port.
    fn resets_nothing(&self, packet: &Packet<'_>, direction: Direction) -> bool {
        let (local, remote) = packet.ends(direction);
        direction == Direction::Out
            && packet.tcp.is_some_and(|tcp| tcp.flags & RST != 0)
            && !self.holders.contains_key(&Flow::between(packet.protocol, local, remote))
    }

    fn wildcards(&self, packet: &Packet<'_>, local: SocketAddr, nanos: u64) -> Vec<u32> {
        let protocol = packet.protocol;
        let unspecified: IpAddr = if local.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let keys = [
            Flow::at(protocol, local),
            Flow::at(protocol, SocketAddr::new(unspecified, local.port())),
            Flow::any(protocol),
        ];
        let holders = keys.iter().find_map(|key| self.holders.get(key));
        active(
            holders
                .into_iter()
                .flatten()
                .filter(|holder| holder.from <= nanos + SLACK && nanos <= holder.to.saturating_add(SLACK)),
        )
    }

    /// The expected owner of a packet without a reported message.
    pub(super) fn expected(&self, packet: &Packet<'_>, direction: Direction, nanos: u64) -> Expected {
        if let Some(reasons) = self.nobody(packet, direction, nanos) {
            return Expected::Nobody(reasons.to_vec());
        }
        if packet.housekeeping() {
            return Expected::Nobody(vec![Reason::KERNEL, Reason::FIREWALL]);
        }
        let holders = self.holders(packet, direction, nanos);
        match holders.len() {
            0 => Expected::Untold,
            _ if self.opens_at_left(packet, direction, nanos) => Expected::Unread(holders),
            _ if self.resets_nothing(packet, direction) => Expected::Over(holders),
            1 => Expected::Process(holders),
            _ if direction == Direction::In && !packet.payload.is_empty() => Expected::Unread(holders),
            _ => Expected::Process(holders),
        }
    }
}

/// Whether a connection still belongs to its listener. It does until a process accepts it, at `first`; its handshake
/// may belong to the listener at any time.
fn unaccepted(packet: &Packet<'_>, first: Option<u64>, nanos: u64) -> bool {
    packet.tcp.is_some_and(|tcp| tcp.flags & SYN != 0)
        || first.is_none_or(|first| nanos <= first.saturating_add(SLACK))
}

fn active<'a>(holders: impl Iterator<Item = &'a Holder>) -> Vec<u32> {
    holders.map(|holder| holder.process).collect()
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |these: &[u32]| these.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Process(these) => write!(f, "process {}", list(these)),
            Self::Unread(these) => write!(f, "process {}, or nobody as nobody can know yet", list(these)),
            Self::Over(these) => write!(f, "process {}, or nobody as the connection was over", list(these)),
            Self::Nobody(reasons) => {
                let names: Vec<_> = reasons.iter().map(|reason| reason.name()).collect();
                write!(f, "no process ({})", names.join(" or "))
            }
            Self::Untold => f.write_str("nothing, as nobody told of it"),
        }
    }
}

/// Whether a packet belongs to a flow. An end that is `None` matches any address.
fn fits(flow: &Flow, packet: &Packet<'_>, direction: Direction) -> bool {
    let (local, remote) = packet.ends(direction);
    let fits = |pattern: Option<SocketAddr>, end: SocketAddr| {
        pattern.is_none_or(|pattern| {
            (pattern.ip().is_unspecified() || pattern.ip() == end.ip())
                && (pattern.port() == 0 || pattern.port() == end.port())
        })
    };
    flow.protocol == packet.protocol && fits(flow.local, local) && fits(flow.remote, remote)
}
