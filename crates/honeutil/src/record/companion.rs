//! What a recording follows, besides time and signals: the processes of a command.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use hone_engine::BYTE_ORDER;
use hone_packet::Headers;
use hone_packet::protocol::TCP;
use hone_pcapng::view::{self, PacketView};
use hone_pcapng::{ConnectionEvent, ConnectionEventKind, ProcessEvent, ProcessEventKind, block};

use super::error::RecordError;
use super::feed::Feed;

/// How often processes are looked for whose end was not recorded.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What sees the blocks of a recording, and says when it is over.
pub trait Companion {
    /// Called once everything that happens is recorded and the output takes it.
    fn begun(&mut self);

    /// Called with all blocks that are written.
    fn note(&mut self, blocks: &[u8]);

    /// Called in each round of the loop. Returns whether the recording is over.
    fn is_over(&mut self) -> bool;

    /// Called in each round of the loop, to look at the feed and to change what it selects.
    ///
    /// # Errors
    /// The recording cannot go on.
    fn steer(&mut self, feed: &mut dyn Feed) -> Result<(), RecordError> {
        let _ = feed;
        Ok(())
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    With(u8),
    /// By this signal.
    BySignal(i32),
}

impl Ended {
    /// The exit status as shells have it.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::With(status) => status,
            Self::BySignal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// The processes that descend from a command, while they run, and the connections that these have opened.
#[derive(Debug)]
pub struct Family {
    pids: HashSet<u32>,
    connections: HashMap<u64, Connection>,
    /// How long connections that are still open are waited for.
    linger: Duration,
    /// When the last process ended.
    last: Option<Instant>,
    looked: Instant,
}

/// A connection that is waited for.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    /// When this host closed it.
    closed: Option<Instant>,
    /// Of a TCP connection: whether packets of the peer are recorded.
    hears_peer: bool,
    /// Whether this host has sent its FIN.
    is_finished: bool,
    /// Whether the peer has.
    peer_is_finished: bool,
}

impl Connection {
    /// Whether the peer has not closed its side, and what it sends is recorded.
    fn awaits_peer(&self) -> bool {
        self.hears_peer && self.is_finished && !self.peer_is_finished
    }
}

impl Family {
    /// The family of one process.
    #[must_use]
    pub fn of(pid: u32, linger: Duration) -> Self {
        let (pids, connections) = (HashSet::from([pid]), HashMap::new());
        Self { pids, connections, linger, last: None, looked: Instant::now() }
    }

    /// Notes which processes begin and end, and what they open and close.
    pub fn note(&mut self, blocks: &[u8]) {
        for found in view::blocks(blocks, BYTE_ORDER) {
            match found.kind() {
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(found.body(), BYTE_ORDER) {
                        self.process(&event);
                    }
                }
                block::CONNECTION => {
                    if let Some(event) = found.connection() {
                        self.connection(&event);
                    }
                }
                block::PACKET => {
                    if let Some(packet) = found.packet() {
                        self.packet(&packet);
                    }
                }
                _ => {}
            }
        }
    }

    fn process(&mut self, event: &ProcessEvent<'_>) {
        match event.kind {
            ProcessEventKind::Ended => {
                self.pids.remove(&event.process);
            }
            _ if event.parent.is_some_and(|parent| self.pids.contains(&parent)) => {
                self.pids.insert(event.process);
            }
            _ => {}
        }
    }

    fn connection(&mut self, event: &ConnectionEvent<'_>) {
        match event.kind {
            ConnectionEventKind::Closed => {
                let connection = self.connections.get_mut(&event.connection);
                match connection.filter(|connection| connection.awaits_peer()) {
                    Some(connection) => connection.closed = Some(Instant::now()),
                    None => drop(self.connections.remove(&event.connection)),
                }
            }
            ConnectionEventKind::Opened if self.pids.contains(&event.process) => {
                self.connections.entry(event.connection).or_default();
            }
            _ => {}
        }
    }

    /// The kernel lets go of a TCP socket when this host has closed it and the peer has acknowledged that. The peer may
    /// close later.
    fn packet(&mut self, packet: &PacketView<'_>) {
        let Some(id) = packet.connection else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(flags) = tcp_flags(packet.data) else { return };
        connection.hears_peer |= !packet.is_outbound();
        if flags & RST != 0 || (!packet.is_outbound() && flags & FIN != 0) {
            connection.peer_is_finished = true;
        } else {
            connection.is_finished |= flags & FIN != 0;
        }
        if connection.closed.is_some() && !connection.awaits_peer() {
            self.connections.remove(&id);
        }
    }

    /// How many of its processes run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.pids.len()
    }

    /// Whether no process runs and no connection is open, or connections were waited for long enough. `exists`: whether
    /// there is a process with this id; it is asked from time to time, as the event of an end can be lost.
    pub fn is_gone(&mut self, exists: impl Fn(u32) -> bool) -> bool {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.pids.retain(|pid| exists(*pid));
            let linger = self.linger;
            self.connections
                .retain(|_, connection| connection.closed.is_none_or(|closed| closed.elapsed() < linger));
        }
        if !self.pids.is_empty() {
            return false;
        }
        let last = *self.last.get_or_insert_with(Instant::now);
        self.connections.is_empty() || last.elapsed() >= self.linger
    }
}

/// Flags of a TCP header (RFC 9293, section 3.1).
const FIN: u8 = 1;
const RST: u8 = 4;

/// The flags of a TCP packet, if they were captured.
fn tcp_flags(packet: &[u8]) -> Option<u8> {
    let headers = Headers::parse(packet).ok().filter(|headers| headers.protocol == TCP)?;
    headers.transport.get(13).copied()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::packet::direction_flags;
    use hone_pcapng::{Direction, Packet};

    use super::*;

    fn process(family: &mut Family, pid: u32, kind: ProcessEventKind, parent: u32) {
        let event = ProcessEvent { process: pid, kind, parent: Some(parent), ..ProcessEvent::default() };
        let mut bytes = Vec::new();
        event.emit(BYTE_ORDER, &mut bytes).unwrap();
        family.note(&bytes);
    }

    fn connection(family: &mut Family, connection: u64, process: u32, kind: ConnectionEventKind) {
        let event = ConnectionEvent { connection, process, kind, ..ConnectionEvent::default() };
        let mut bytes = Vec::new();
        event.emit(BYTE_ORDER, &mut bytes).unwrap();
        family.note(&bytes);
    }

    #[test]
    fn a_daemon_outlives_its_parents_and_their_connections_are_waited_for() {
        use ConnectionEventKind::{Closed, Opened};
        use ProcessEventKind::{Ended, Forked, Started};
        let mut family = Family::of(10, Duration::from_secs(3600));
        process(&mut family, 11, Forked, 10);
        process(&mut family, 12, Forked, 11);
        process(&mut family, 50, Forked, 1);
        process(&mut family, 12, Started, 11);
        connection(&mut family, 7, 12, Opened);
        connection(&mut family, 8, 50, Opened);
        process(&mut family, 11, Ended, 0);
        process(&mut family, 10, Ended, 0);
        assert_eq!((family.running(), family.is_gone(|_| true)), (1, false));
        process(&mut family, 12, Ended, 0);
        assert!(!family.is_gone(|_| true), "its connection is open");
        connection(&mut family, 7, 12, Closed);
        assert!(family.is_gone(|_| true));
    }

    /// A TCP packet of 40 bytes.
    fn packet(family: &mut Family, connection: u64, direction: Direction, flags: u8) {
        let mut data = [0; 40];
        (data[0], data[3], data[9], data[32], data[33]) = (0x45, 40, TCP, 0x50, flags);
        let packet = Packet {
            connection: Some(connection),
            data: Cow::Borrowed(&data),
            original_length: 40,
            flags: Some(direction_flags(direction)),
            ..Packet::default()
        };
        let mut bytes = Vec::new();
        packet.emit(BYTE_ORDER, &mut bytes).unwrap();
        family.note(&bytes);
    }

    #[test]
    fn a_peer_that_closes_later_is_waited_for() {
        use ConnectionEventKind::{Closed, Opened};
        use Direction::{Inbound, Outbound};
        const ACK: u8 = 16;
        let last: [&[(Direction, u8)]; 2] = [&[(Inbound, FIN | ACK)], &[(Inbound, ACK), (Outbound, RST)]];
        for last in last {
            let mut family = Family::of(10, Duration::from_secs(3600));
            connection(&mut family, 7, 10, Opened);
            packet(&mut family, 7, Outbound, ACK);
            packet(&mut family, 7, Outbound, FIN | ACK);
            packet(&mut family, 7, Inbound, ACK);
            connection(&mut family, 7, 10, Closed);
            process(&mut family, 10, ProcessEventKind::Ended, 0);
            assert!(!family.is_gone(|_| false));
            last.iter().for_each(|(direction, flags)| packet(&mut family, 7, *direction, *flags));
            assert!(family.is_gone(|_| false));
        }
        // The peer closed first, or its packets are not recorded.
        let both = [(Inbound, FIN | ACK), (Outbound, FIN | ACK), (Inbound, ACK)];
        let ours = [(Outbound, ACK), (Outbound, FIN | ACK)];
        for packets in [&both[..], &ours] {
            let mut family = Family::of(10, Duration::from_secs(3600));
            connection(&mut family, 7, 10, Opened);
            packets.iter().for_each(|(direction, flags)| packet(&mut family, 7, *direction, *flags));
            connection(&mut family, 7, 10, Closed);
            process(&mut family, 10, ProcessEventKind::Ended, 0);
            assert!(family.is_gone(|_| false));
        }
    }

    #[test]
    fn a_peer_that_never_closes_is_not_remembered_for_ever() {
        let mut family = Family::of(10, Duration::ZERO);
        connection(&mut family, 7, 10, ConnectionEventKind::Opened);
        packet(&mut family, 7, Direction::Outbound, FIN);
        packet(&mut family, 7, Direction::Inbound, 0);
        connection(&mut family, 7, 10, ConnectionEventKind::Closed);
        assert_eq!(family.connections.len(), 1);
        family.looked = Instant::now() - 2 * LOOK_EVERY;
        assert!(!family.is_gone(|_| true), "its process runs");
        assert!(family.connections.is_empty());
    }

    #[test]
    fn an_end_that_was_not_recorded_does_not_keep_it_for_ever() {
        let mut family = Family::of(10, Duration::ZERO);
        family.looked = Instant::now() - 2 * LOOK_EVERY;
        assert!(family.is_gone(|_| false));
    }
}
