//! Compares each recorded packet with the traced system calls.
//!
//! Data is compared exactly: the owner of a packet is the process that wrote its first byte, or that took the first
//! byte out of the socket. For a packet without data, or with data that no process took out, only impossible owners are
//! wrong: a process that did not exist yet, that never had the socket, or that had ended or closed the socket while
//! another process used it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::streams::Streams;
use super::truth::{Datagram, ENDING, Range, SLACK, Socket, Truth};
use crate::packet::{Direction, Packet, Protocol};
use crate::recording::Record;

/// A second record of the same packet within this time, in nanoseconds, is a duplicate. Later, it is a retransmission.
const SAID_AGAIN: u64 = 1_000_000;

/// The rule by which a packet was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// By the call that wrote or read its first byte.
    Data,
    /// Only by whether its owner is possible.
    Holders,
}

/// Why an owner is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Another process wrote or read the first byte.
    Data,
    /// The process started after this packet was sent.
    Unborn,
    /// The process had ended, and another process used the socket.
    Ended,
    /// The process had closed the socket, and another process continued to use it.
    Closed,
    /// The process never had the socket.
    Stranger,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [Self::Data, Self::Unborn, Self::Ended, Self::Closed, Self::Stranger];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Data => "wrong data",
            Self::Unborn => "wrong unborn",
            Self::Ended => "wrong ended",
            Self::Closed => "wrong closed",
            Self::Stranger => "wrong stranger",
        }
    }
}

/// The verdict about a recorded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right(Basis),
    Wrong(Fault, String),
    /// It has no owner, although there was one.
    Without(String),
    /// The trace does not say who the owner is.
    Unclear,
    /// It has no owner. No process had its connection at that time, but a process had it later. This is not a fault,
    /// but it is reported.
    Unowned,
    /// It cannot be judged: it has no owner, and that may be right.
    Unjudged,
}

/// The verdicts about a recording.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// One verdict for each record.
    pub(crate) verdicts: Vec<Verdict>,
    /// Packets that come before the first event about the process that they name.
    pub(crate) before_birth: Vec<String>,
    pub(crate) missing: Vec<String>,
    pub(crate) doubled: Vec<String>,
    /// Places where the trace and the recorded bytes contradict each other. The trace is then not reliable.
    pub(crate) unsound: Vec<String>,
}

struct Judge<'a> {
    truth: &'a Truth,
    addresses: &'a [IpAddr],
    items: Vec<Option<(&'a Record, Packet<'a>, Direction)>>,
    streams: Streams<'a>,
    /// Byte streams that contradict the trace: source, destination, and the direction of the records.
    unsound: HashSet<(SocketAddr, SocketAddr, Direction)>,
}

/// Judges the records of packets from and to `addresses`.
pub(crate) fn judge<'r>(truth: &'r Truth, records: &'r [Record], addresses: &'r [IpAddr]) -> Judgement {
    let item = |record: &'r Record| {
        let packet = Packet::parse(&record.data).filter(|packet| !packet.housekeeping())?;
        Some((record, packet, record.direction?))
    };
    let items: Vec<_> = records.iter().map(item).collect();
    let packets = items.iter().flatten().map(|(_, packet, direction)| (*packet, *direction));
    let streams = Streams::new(packets);
    let mut judge = Judge { truth, addresses, items, streams, unsound: HashSet::new() };
    let mut judgement = Judgement { unsound: judge.verify(), ..Judgement::default() };
    for item in &judge.items {
        let Some((record, packet, direction)) = item else {
            judgement.verdicts.push(Verdict::Unjudged);
            continue;
        };
        judgement.verdicts.push(judge.verdict(record, packet, *direction));
        if record.process.is_some() && record.arguments.is_none() {
            judgement.before_birth.push(describe(record, packet, *direction));
        }
    }
    judge.counterparts(&mut judgement);
    judge.missing_bytes(&mut judgement.missing);
    judge.missing_datagrams(&mut judgement.missing);
    judgement
}

fn describe(record: &Record, packet: &Packet<'_>, direction: Direction) -> String {
    let owner = record.process.map_or("nobody".to_owned(), |process| format!("process {process}"));
    let how = record.how.map_or("no reason given", crate::told::Reason::name);
    format!(
        "{}.{:09} {direction} {packet}: {owner} ({how})",
        record.nanos / 1_000_000_000,
        record.nanos % 1_000_000_000
    )
}

impl<'a> Judge<'a> {
    /// Compares the beginning of each call's data with the bytes that were recorded at the same position.
    fn verify(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for socket in self.truth.all_connections() {
            for direction in [Direction::In, Direction::Out] {
                let (ends, ranges) = stream_of(socket, direction);
                let contradicted = ranges.iter().find(|range| {
                    let recorded = self.streams.at(ends, direction, range.from).unwrap_or_default();
                    recorded.iter().zip(&range.prefix).any(|(one, other)| one != other)
                });
                if let Some(range) = contradicted {
                    self.unsound.insert((ends.0, ends.1, direction));
                    let (from, processes) = (range.from, &range.processes);
                    found.push(format!("{direction} {} > {}, byte {from}, of {processes:?}", ends.0, ends.1));
                }
            }
        }
        found
    }

    fn verdict(&self, record: &Record, packet: &Packet<'a>, direction: Direction) -> Verdict {
        match packet.protocol {
            Protocol::Tcp => self.tcp(record, packet, direction),
            Protocol::Udp if !packet.fragment => self.udp(record, packet, direction),
            _ => Verdict::Unjudged,
        }
    }

    fn tcp(&self, record: &Record, packet: &Packet<'a>, direction: Direction) -> Verdict {
        let (local, remote) = packet.ends(direction);
        let sockets = self.truth.connections(Protocol::Tcp, local, remote);
        if sockets.len() > 1 {
            return Verdict::Unclear;
        }
        let socket = sockets.first().copied();
        if let (Some(socket), false) = (socket, packet.payload.is_empty()) {
            if self.unsound.contains(&(packet.source, packet.destination, direction)) {
                return Verdict::Unclear;
            }
            let Some(at) = self.streams.position(packet) else { return Verdict::Unclear };
            let range = if direction == Direction::In { socket.read.at(at) } else { socket.written.at(at) };
            if let Some(range) = range {
                return exact(record, packet, direction, &range.processes);
            }
        }
        self.possible(record, packet, direction, socket)
    }

    fn udp(&self, record: &Record, packet: &Packet<'a>, direction: Direction) -> Verdict {
        let calls = self.calls(packet, direction);
        let distinct = |calls: &[&Datagram]| {
            let mut processes: Vec<u32> = calls.iter().map(|call| call.process).collect();
            processes.sort_unstable();
            processes.dedup();
            processes
        };
        let mut processes = distinct(&calls);
        if processes.len() > 1 {
            let in_time = |call: &&Datagram| {
                call.exit + SLACK >= record.nanos
                    && (direction == Direction::In || call.enter <= record.nanos + SLACK)
            };
            processes = distinct(&calls.into_iter().filter(in_time).collect::<Vec<_>>());
        }
        if processes.is_empty() {
            let (local, remote) = packet.ends(direction);
            let sockets = self.truth.connections(Protocol::Udp, local, remote);
            return self.possible(record, packet, direction, sockets.first().copied());
        }
        exact(record, packet, direction, &processes)
    }

    /// The calls that may have sent or returned a datagram. Considers everything except the time.
    fn calls(&self, packet: &Packet<'_>, direction: Direction) -> Vec<&'a Datagram> {
        let (local, remote) = packet.ends(direction);
        let others = [Some(remote), None];
        let size = packet.payload.len() as u64;
        let all = others
            .iter()
            .filter_map(|other| self.truth.datagrams.get(&(direction, local.port(), *other, size)));
        let fits = |call: &&Datagram| {
            (call.local.ip().is_unspecified() || call.local.ip() == local.ip())
                && packet.payload.starts_with(&call.prefix)
        };
        all.flatten().filter(fits).collect()
    }

    /// Judges a packet by the processes that may have had its socket.
    fn possible(
        &self,
        record: &Record,
        packet: &Packet<'_>,
        direction: Direction,
        socket: Option<&Socket>,
    ) -> Verdict {
        let (local, _) = packet.ends(direction);
        let time = record.nanos;
        let accepted = socket.is_some_and(|socket| socket.first_used() + ENDING < time);
        // Until a process has accepted the connection, it belongs to its listener.
        let bound = if accepted { Vec::new() } else { self.truth.bound(packet.protocol, local) };
        let Some(process) = record.process else {
            let Some(socket) = socket else { return Verdict::Unjudged };
            let in_use = socket.first_used() + SLACK < time && time + SLACK < socket.last_used();
            return if time < socket.first_used() {
                Verdict::Unowned
            } else if in_use && packet.payload.is_empty() {
                Verdict::Without(describe(record, packet, direction) + ", while its socket was in use")
            } else {
                Verdict::Unjudged
            };
        };
        let wrong =
            |fault, why: &str| Verdict::Wrong(fault, describe(record, packet, direction) + ", which " + why);
        let known = self.truth.process(process);
        let born = known.and_then(|known| known.born).unwrap_or(0);
        if direction == Direction::Out && born > time + SLACK {
            return wrong(Fault::Unborn, &format!("was born {} us later", (born - time) / 1000));
        }
        let mut sockets = socket.into_iter().chain(bound);
        let Some(had) = sockets.find(|socket| self.truth.may_have_had(process, socket)) else {
            return wrong(Fault::Stranger, "never had the socket");
        };
        let ended = known.and_then(|known| known.ended).unwrap_or(u64::MAX);
        let later = had.used.iter().find(|(other, (_, last))| **other != process && *last > time + SLACK);
        let Some((other, _)) = later else { return Verdict::Right(Basis::Holders) };
        let closed = had.let_go(process).unwrap_or(u64::MAX);
        let ms = |since: u64| (time - since) / 1_000_000;
        if ended.saturating_add(ENDING) < time {
            wrong(Fault::Ended, &format!("had ended {} ms before; {other} had the socket", ms(ended)))
        } else if closed.saturating_add(SLACK) < time {
            wrong(Fault::Closed, &format!("had closed it {} ms before; {other} had the socket", ms(closed)))
        } else {
            Verdict::Right(Basis::Holders)
        }
    }

    /// Reports packets that were recorded more often at one end than at the other.
    fn counterparts(&self, judgement: &mut Judgement) {
        let mut counts: HashMap<u64, [Vec<(&Record, &Packet<'a>)>; 2]> = HashMap::new();
        let is_ours = |end: SocketAddr| self.addresses.contains(&end.ip());
        for (record, packet, direction) in self.items.iter().flatten() {
            if !packet.fragment && is_ours(packet.source) && is_ours(packet.destination) {
                counts.entry(packet.identity(true)).or_default()[*direction as usize].push((record, packet));
            }
        }
        for sides in counts.values() {
            let [inbound, outbound] = [0, 1].map(|side: usize| sides[side].len());
            let (more, less) = if inbound > outbound {
                (Direction::In, Direction::Out)
            } else {
                (Direction::Out, Direction::In)
            };
            let side = &sides[more as usize];
            let twice = side.windows(2).any(|pair| pair[0].0.nanos.abs_diff(pair[1].0.nanos) < SAID_AGAIN);
            for (record, packet) in side.iter().skip(inbound.min(outbound)) {
                // Missing parts of a stream are found by its bytes, because packets may be split differently on their
                // way.
                let of_stream = packet.tcp.is_some() && !packet.payload.is_empty();
                if twice {
                    judgement.doubled.push(describe(record, packet, more));
                } else if !of_stream {
                    judgement.missing.push(format!("{less} {packet}"));
                }
            }
        }
    }

    /// Reports bytes that a process read and another wrote, but that are in no packet.
    fn missing_bytes(&self, missing: &mut Vec<String>) {
        for socket in self.truth.all_connections() {
            let (local, remote) = (socket.local, socket.remote);
            if !self.streams.is_whole((remote, local)) {
                if !self.addresses.contains(&local.ip()) || socket.read.end() + socket.written.end() == 0 {
                    continue;
                }
                missing.push(format!("the beginning of tcp {remote} > {local}"));
                continue;
            }
            for direction in [Direction::In, Direction::Out] {
                let mut byte = 0;
                while byte < socket.read.end() {
                    match self.streams.at((remote, local), direction, byte) {
                        Some(bytes) => byte += bytes.len() as u64,
                        None => {
                            missing.push(format!("{direction} tcp {remote} > {local}, byte {byte}"));
                            // Reports each call with missing bytes only once.
                            byte = socket.read.at(byte).map_or(u64::MAX, |range| range.to);
                        }
                    }
                }
            }
        }
    }

    fn missing_datagrams(&self, missing: &mut Vec<String>) {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for (_, packet, direction) in self.items.iter().flatten() {
            if packet.protocol == Protocol::Udp {
                let (local, remote) = packet.ends(*direction);
                let mark = (*direction, local.port(), Some(remote), packet.payload.len() as u64);
                *counts.entry(mark).or_default() += 1;
            }
        }
        for (mark @ (direction, port, other, size), calls) in &self.truth.datagrams {
            let Some(other) = other.filter(|other| self.addresses.contains(&other.ip())) else { continue };
            let recorded = counts.get(mark).copied().unwrap_or(0);
            for _ in recorded..calls.len() {
                missing.push(format!("{direction} udp port {port}, other end {other}, {size} bytes"));
            }
        }
    }
}

/// The two ends of a stream, source first, and the calls that wrote or read it at a socket.
fn stream_of(socket: &Socket, direction: Direction) -> ((SocketAddr, SocketAddr), &[Range]) {
    match direction {
        Direction::In => ((socket.remote, socket.local), &socket.read.0),
        Direction::Out => ((socket.local, socket.remote), &socket.written.0),
    }
}

/// Judges a packet that must be owned by one of `processes`. The owner is certain only if there is one process.
fn exact(record: &Record, packet: &Packet<'_>, direction: Direction, processes: &[u32]) -> Verdict {
    let expected = || {
        let verb = if direction == Direction::In { "read" } else { "written" };
        let list = processes.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
        format!("{}, {verb} by {list}", describe(record, packet, direction))
    };
    match record.process {
        Some(process) if !processes.contains(&process) => Verdict::Wrong(Fault::Data, expected()),
        _ if processes.len() > 1 => Verdict::Unclear,
        Some(_) => Verdict::Right(Basis::Data),
        None => Verdict::Without(expected()),
    }
}
