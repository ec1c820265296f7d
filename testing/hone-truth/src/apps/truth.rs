//! What the traced calls show about each socket and each process.
//!
//! A TCP stream consists of the bytes that successful calls wrote or read, one after another: each call has a range of
//! bytes. A datagram belongs to one call. If calls of two processes on the same socket overlap in time, their order is
//! not known. Their ranges then have several processes, and packets in them are not judged.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::trace::{Call, Kind};
use crate::packet::{Direction, Protocol};

const MSG_PEEK: u32 = 2;
const MSG_ERRQUEUE: u32 = 0x2000;

/// Covers the difference between processors' clocks, and the time between the start of a system call and its effect.
/// Nanoseconds.
pub(super) const SLACK: u64 = 1_000_000;
/// Longest time between the end of a process and the close of its sockets. Nanoseconds.
pub(super) const ENDING: u64 = 50_000_000;

/// The bytes of a stream that one call wrote or read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Several processes if it is not known which one made the call.
    pub(super) processes: Vec<u32>,
    /// The first bytes. Empty if they are not known.
    pub(super) prefix: Vec<u8>,
    enter: u64,
    exit: u64,
}

/// The ranges of a stream, in order and without gaps.
#[derive(Debug, Default)]
pub(super) struct Ranges(pub(super) Vec<Range>);

impl Ranges {
    /// Adds a call. It must have returned after all calls that were added before.
    fn add(&mut self, call: &Call) {
        let Ok(length @ 1..) = u64::try_from(call.result) else { return };
        let from = self.end();
        let mut range = Range {
            from,
            to: from + length,
            processes: vec![call.process],
            prefix: call.prefix.clone(),
            enter: call.enter,
            exit: call.exit,
        };
        for other in self.0.iter_mut().rev().take_while(|other| other.exit + SLACK > range.enter) {
            if other.exit > range.enter && !other.processes.contains(&call.process) {
                other.processes.push(call.process);
                let others = other.processes.iter().filter(|process| **process != call.process);
                range.processes.extend(others);
            }
        }
        self.0.push(range);
    }

    /// The length of the stream, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.to)
    }

    /// The range that contains a byte.
    pub(super) fn at(&self, byte: u64) -> Option<&Range> {
        let after = self.0.partition_point(|range| range.from <= byte);
        self.0.get(after.checked_sub(1)?).filter(|range| byte < range.to)
    }
}

/// A TCP or UDP socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    /// The port is 0 if the socket was never connected, as with a listener.
    pub(super) remote: SocketAddr,
    /// The first and last use by each process: the times at which its calls returned.
    pub(super) used: BTreeMap<u32, (u64, u64)>,
    /// When each process closed its last descriptor of the socket.
    let_go: BTreeMap<u32, u64>,
    pub(super) written: Ranges,
    pub(super) read: Ranges,
}

impl Socket {
    /// When a process let go of the socket for good. `None` if it did not close it.
    pub(super) fn let_go(&self, process: u32) -> Option<u64> {
        self.let_go.get(&process).copied()
    }

    pub(super) fn first_used(&self) -> u64 {
        self.used.values().map(|(first, _)| *first).min().unwrap_or(u64::MAX)
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.values().map(|(_, last)| *last).max().unwrap_or(0)
    }
}

/// A datagram that a call sent or returned.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) process: u32,
    pub(super) local: SocketAddr,
    pub(super) enter: u64,
    pub(super) exit: u64,
    pub(super) prefix: Vec<u8>,
}

/// The properties that a datagram is found by before its content is compared: direction, local port, other end (`None`
/// if the program did not ask for it), and size.
pub(super) type Mark = (Direction, u16, Option<SocketAddr>, u64);

#[derive(Debug, Default)]
pub(super) struct Process {
    /// `None` if it started before the trace.
    pub(super) born: Option<u64>,
    pub(super) parent: Option<u32>,
    pub(super) ended: Option<u64>,
    /// It may have received any descriptor.
    got_descriptors: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    sockets: BTreeMap<u64, Socket>,
    pub(super) datagrams: HashMap<Mark, Vec<Datagram>>,
    processes: HashMap<u32, Process>,
    /// Connected sockets, by their two ends.
    connections: HashMap<(Protocol, SocketAddr, SocketAddr), Vec<u64>>,
    /// Sockets that were never connected, by protocol and port.
    bound: HashMap<(Protocol, u16), Vec<u64>>,
}

impl Truth {
    /// `calls` must be in the order in which they returned.
    pub(crate) fn new(calls: &[Call]) -> Self {
        let mut truth = Self::default();
        for call in calls {
            truth.learn(call);
        }
        for (number, socket) in &truth.sockets {
            if socket.remote.port() == 0 {
                let ports = truth.bound.entry((socket.protocol, socket.local.port())).or_default();
                ports.push(*number);
            } else {
                let ends = (socket.protocol, socket.local, socket.remote);
                truth.connections.entry(ends).or_default().push(*number);
            }
        }
        truth
    }

    fn learn(&mut self, call: &Call) {
        let process = self.processes.entry(call.process).or_default();
        match call.kind {
            Kind::Forked => {
                process.born = Some(call.exit);
                process.parent = u32::try_from(call.result).ok();
                return;
            }
            // There is one event for each thread; the last one counts.
            Kind::Ended => process.ended = Some(call.exit),
            Kind::Passed => process.got_descriptors = true,
            _ => {}
        }
        if call.socket == 0 || !matches!(call.protocol, Protocol::Tcp | Protocol::Udp) {
            return;
        }
        let socket = self.sockets.entry(call.socket).or_insert_with(|| Socket {
            protocol: call.protocol,
            local: call.local,
            remote: call.remote,
            used: BTreeMap::new(),
            let_go: BTreeMap::new(),
            written: Ranges::default(),
            read: Ranges::default(),
        });
        // A socket gets its ends when it is bound and connected, and may lose them when it is closed.
        if call.local.port() != 0 && (call.remote.port() != 0 || socket.remote.port() == 0) {
            socket.local = call.local;
        }
        if call.remote.port() != 0 {
            socket.remote = call.remote;
        }
        let used = socket.used.entry(call.process).or_insert((call.exit, call.exit));
        used.1 = call.exit;
        // The process may get the socket again.
        socket.let_go.remove(&call.process);
        if call.kind == Kind::Closed && call.result == 1 {
            socket.let_go.insert(call.process, call.exit);
        }
        if call.flags & MSG_ERRQUEUE != 0 || call.kind == Kind::Read && call.flags & MSG_PEEK != 0 {
            return;
        }
        let direction = match call.kind {
            Kind::Read => Direction::In,
            Kind::Write => Direction::Out,
            _ => return,
        };
        if call.protocol == Protocol::Tcp {
            match direction {
                Direction::In => socket.read.add(call),
                Direction::Out => socket.written.add(call),
            }
        } else if let Ok(size) = u64::try_from(call.result) {
            let connected = Some(call.remote).filter(|remote| remote.port() != 0);
            let mark = (direction, call.local.port(), call.peer.or(connected), size);
            self.datagrams.entry(mark).or_default().push(Datagram {
                process: call.process,
                local: call.local,
                enter: call.enter,
                exit: call.exit,
                prefix: call.prefix.clone(),
            });
        }
    }

    /// The sockets of one end of a connection. There are several if its ports were reused.
    pub(super) fn connections(
        &self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Vec<&Socket> {
        let numbers = self.connections.get(&(protocol, local, remote)).into_iter().flatten();
        numbers.map(|number| &self.sockets[number]).collect()
    }

    /// All connected sockets.
    pub(super) fn all_connections(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.values().filter(|socket| socket.protocol == Protocol::Tcp && socket.remote.port() != 0)
    }

    /// Listeners, or unconnected UDP sockets, that can receive packets for this end.
    pub(super) fn bound(&self, protocol: Protocol, local: SocketAddr) -> Vec<&Socket> {
        let numbers = self.bound.get(&(protocol, local.port())).into_iter().flatten();
        let sockets = numbers.map(|number| &self.sockets[number]);
        sockets
            .filter(|socket| socket.local.ip().is_unspecified() || socket.local.ip() == local.ip())
            .collect()
    }

    pub(super) fn process(&self, process: u32) -> Option<&Process> {
        self.processes.get(&process)
    }

    /// Every process with a traced call.
    pub(super) fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.keys().copied()
    }

    /// Whether a process may ever have had a socket: it used the socket; or an ancestor had used the socket before it
    /// forked; or the process received unknown descriptors.
    pub(super) fn may_have_had(&self, process: u32, socket: &Socket) -> bool {
        let (mut process, mut until) = (process, u64::MAX);
        // Process ids may repeat, so the search for ancestors is limited.
        for _ in 0..64 {
            if socket.used.get(&process).is_some_and(|(first, _)| *first <= until.saturating_add(SLACK)) {
                return true;
            }
            match self.processes.get(&process) {
                Some(Process { got_descriptors: true, .. }) => return true,
                Some(Process { parent: Some(parent), born, .. }) => {
                    until = born.unwrap_or(until);
                    process = *parent;
                }
                _ => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn call(kind: Kind, process: u32, result: i64, time: (u64, u64)) -> Call {
        Call {
            kind,
            enter: time.0,
            exit: time.1,
            result,
            process,
            flags: 0,
            socket: 7,
            protocol: Protocol::Tcp,
            local: "10.0.0.1:80".parse().unwrap(),
            remote: "10.0.0.2:1000".parse().unwrap(),
            peer: None,
            prefix: Vec::new(),
        }
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn each_reader_has_the_bytes_that_it_took_out() {
        let peek = Call { flags: MSG_PEEK, ..call(Kind::Read, 1, 100, (0, MS)) };
        let calls = [
            peek,
            call(Kind::Read, 1, 10, (10 * MS, 11 * MS)),
            call(Kind::Read, 2, -11, (20 * MS, 21 * MS)),
            call(Kind::Read, 2, 90, (30 * MS, 31 * MS)),
        ];
        let truth = Truth::new(&calls);
        let socket = truth.all_connections().next().unwrap();
        let of = |byte| socket.read.at(byte).map(|range| range.processes.clone());
        assert_eq!([of(0), of(9)], [Some(vec![1]), Some(vec![1])]);
        assert_eq!([of(10), of(99), of(100)], [Some(vec![2]), Some(vec![2]), None]);
    }

    #[test]
    fn calls_at_the_same_time_decide_nothing() {
        let calls = [call(Kind::Write, 1, 10, (0, 20 * MS)), call(Kind::Write, 2, 10, (10 * MS, 30 * MS))];
        let truth = Truth::new(&calls);
        let socket = truth.all_connections().next().unwrap();
        assert!(socket.written.0.iter().all(|range| range.processes.len() == 2));
    }

    #[test]
    fn a_child_may_have_what_its_parent_had_when_it_was_born() {
        let born = |process, time| Call { socket: 0, ..call(Kind::Forked, process, 1, (time, time)) };
        let calls = [born(2, 10 * MS), call(Kind::Held, 1, 0, (20 * MS, 20 * MS)), born(3, 30 * MS)];
        let truth = Truth::new(&calls);
        let socket = truth.all_connections().next().unwrap();
        assert!(truth.may_have_had(1, socket) && truth.may_have_had(3, socket));
        assert!(!truth.may_have_had(2, socket) && !truth.may_have_had(4, socket));
    }
}
