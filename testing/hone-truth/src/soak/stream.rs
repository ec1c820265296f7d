//! Looks at a stream of blocks, or a file, for what must balance: each section's statistics are the sum of its blocks, and
//! each section begins with the state that the last one ended with.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use hone_pcapng::{Block, ConnectionEventKind, EventCounts, ProcessEventKind, Reader, Statistics};

use super::client::Kinds;
use super::load::COUNTED;
use crate::packet::{Packet, Protocol};

/// Faults that are kept; more say nothing new.
const MOST_FAULTS: usize = 20;

/// The load's own traffic, as it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Datagrams of the counted flow, outbound and inbound.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Programs with the load's mark that started, and ended.
    pub(super) started: u64,
    pub(super) ended: u64,
}

/// The last packet of a connection.
#[derive(Clone, Copy, Debug)]
struct Last {
    nanos: u64,
    outbound: bool,
    source: SocketAddr,
    destination: SocketAddr,
    /// Of TCP.
    flags: u8,
}

/// What a stream has been so far.
#[derive(Debug, Default)]
pub(super) struct Stream {
    reader: Reader,
    /// Where the counted datagrams go to.
    to: Vec<IpAddr>,
    /// What the arguments of the counted programs have.
    mark: String,
    /// Blocks since the beginning, and of this section: packets, process events, connection events.
    pub(super) blocks: Kinds,
    section: Kinds,
    /// What was there at the beginnings of sections, which no reader's numbers count.
    pub(super) restated: Kinds,
    pub(super) sections: u64,
    /// The file ends within a block.
    pub(super) torn: bool,
    /// Sections that have no statistics: they broke off.
    pub(super) unfinished: u64,
    open: bool,
    pub(super) processes: HashSet<u32>,
    /// With the process that opened or accepted it.
    pub(super) connections: HashMap<u64, u32>,
    /// Of open connections.
    last_packets: HashMap<u64, Last>,
    /// How much state the next section must begin with, if nothing was lost.
    expected: Option<[u64; 2]>,
    marked: HashSet<u32>,
    pub(super) traffic: Traffic,
    /// Packets, process events and connection events that the statistics say were lost.
    pub(super) lost: u64,
    pub(super) faults: Vec<String>,
    /// What ended without a beginning: a fault, unless something was lost.
    pub(super) strange: Vec<String>,
}

impl Stream {
    /// # Arguments
    /// `to`: the addresses of the counted datagrams' receiver. `mark`: an argument of the counted programs.
    pub(super) fn new(to: Vec<IpAddr>, mark: String) -> Self {
        Self { to, mark, ..Self::default() }
    }

    /// Looks at a whole file, compressed or not; `cut`: it may end within a block, as of a recorder that was killed.
    ///
    /// # Errors
    /// It cannot be read, or is not sound.
    pub(super) fn of_file(path: &Path, cut: bool) -> Result<Self> {
        let place = || path.display().to_string();
        let bytes = std::fs::read(path).with_context(place)?;
        let compressed = path.extension().is_some_and(|extension| extension == "zst");
        let bytes = if compressed { zstd::decode_all(&bytes[..]).with_context(place)? } else { bytes };
        let mut stream = Self::default();
        stream.feed(&bytes).with_context(place)?;
        stream.end_section();
        let reader = std::mem::take(&mut stream.reader);
        match reader.finish() {
            Err(_) if cut => stream.torn = true,
            finished => finished.with_context(place)?,
        }
        Ok(stream)
    }

    /// Looks at more of the stream.
    ///
    /// # Errors
    /// It is not sound.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        // The reader's blocks borrow from it, and the rest of this looks at them.
        let mut reader = std::mem::take(&mut self.reader);
        let result = (|| {
            reader.feed(bytes)?;
            while let Some(item) = reader.next_block()? {
                self.look(&item.block, item.nanos.unwrap_or_default());
            }
            Ok(())
        })();
        self.reader = reader;
        result
    }

    fn look(&mut self, block: &Block<'_>, nanos: u64) {
        match block {
            Block::Section(_) => {
                self.end_section();
                self.open = true;
                self.sections += 1;
            }
            Block::Packet(packet) => {
                self.count(0);
                self.recognize(packet, nanos);
            }
            Block::Process(event) => {
                self.count(1);
                if event.kind == ProcessEventKind::Ended {
                    if !self.processes.remove(&event.process) {
                        self.strange.push(format!("process {} ended, but had not started", event.process));
                    }
                    self.traffic.ended += u64::from(self.marked.remove(&event.process));
                } else {
                    self.processes.insert(event.process);
                    if event.kind == ProcessEventKind::Started
                        && event.arguments.as_ref().is_some_and(|arguments| self.is_marked(arguments))
                        // Restated at the beginning of another section, it is no other.
                        && self.marked.insert(event.process)
                    {
                        self.traffic.started += 1;
                    }
                }
            }
            Block::Connection(event) => {
                self.count(2);
                if event.kind == ConnectionEventKind::Closed {
                    self.last_packets.remove(&event.connection);
                }
                match event.kind {
                    ConnectionEventKind::Opened => {
                        self.connections.insert(event.connection, event.process);
                    }
                    ConnectionEventKind::Closed if self.connections.remove(&event.connection).is_none() => {
                        self.strange
                            .push(format!("connection {} closed, but was not open", event.connection));
                    }
                    _ => {}
                }
            }
            Block::Statistics(statistics) => self.balance(statistics),
            _ => {}
        }
    }

    fn is_marked(&self, arguments: &[u8]) -> bool {
        !self.mark.is_empty() && arguments.split(|byte| *byte == 0).any(|word| word == self.mark.as_bytes())
    }

    fn count(&mut self, kind: usize) {
        self.blocks[kind] += 1;
        self.section[kind] += 1;
    }

    fn fault(&mut self, fault: impl FnOnce() -> String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault());
        }
    }

    /// What is known of a connection that is open, to find out why it still is.
    pub(super) fn history(&self, connection: u64) -> String {
        let Some(Last { nanos, outbound, source, destination, flags }) = self.last_packets.get(&connection)
        else {
            return format!("connection {connection}: no packet since it is open");
        };
        let direction = if *outbound { "outbound" } else { "inbound" };
        format!(
            "connection {connection}: its last packet: {direction}, from {source} to {destination}, TCP flags {flags:#x}, at \
             {nanos}"
        )
    }

    fn recognize(&mut self, packet: &hone_pcapng::Packet<'_>, nanos: u64) {
        let Some(parsed) = Packet::parse(&packet.data) else { return };
        let to = parsed.destination;
        if let Some(id) = packet.connection.filter(|id| self.connections.contains_key(id)) {
            let outbound = packet.flags.is_some_and(|flags| flags & 3 == 2);
            let flags = parsed.tcp.map(|tcp| tcp.flags).unwrap_or_default();
            let last = Last { nanos, outbound, source: parsed.source, destination: to, flags };
            self.last_packets.insert(id, last);
        }
        if parsed.protocol != Protocol::Udp || to.port() != COUNTED || !self.to.contains(&to.ip()) {
            return;
        }
        match packet.flags.map(|flags| flags & 3) {
            Some(1) => self.traffic.received += 1,
            Some(2) => self.traffic.sent += 1,
            _ => self.fault(|| "a packet has no direction".to_owned()),
        }
    }

    /// The section's statistics are those of its blocks.
    fn balance(&mut self, statistics: &Statistics<'_>) {
        let packets = EventCounts {
            // What the reader's filters left out is not accepted.
            received: statistics.accepted.or(statistics.received),
            dropped_by_source: statistics.dropped_by_source,
            dropped_by_ring: statistics.dropped_by_ring,
            delivered: statistics.delivered,
        };
        let mut lost = 0;
        let mut restated = [0; 3];
        for (kind, counts) in [packets, statistics.processes, statistics.connections].into_iter().enumerate()
        {
            let name = ["packets", "process events", "connection events"][kind];
            let EventCounts { received, dropped_by_source, dropped_by_ring, delivered } = counts;
            let (Some(received), Some(delivered)) = (received, delivered) else {
                self.fault(|| format!("a section does not say how many {name} it has"));
                continue;
            };
            let dropped = dropped_by_ring.unwrap_or_default();
            lost += dropped_by_source.unwrap_or_default() + dropped;
            if received != delivered + dropped {
                self.fault(|| {
                    format!("{received} {name} received are not {delivered} delivered + {dropped} dropped")
                });
            }
            let found = self.section[kind];
            match found.checked_sub(delivered) {
                Some(more) if kind > 0 || more == 0 => restated[kind] = more,
                _ => self.fault(|| format!("a section has {found} {name}, its statistics say {delivered}")),
            }
        }
        if let Some([processes, connections]) = self.expected
            && self.lost == 0
            && lost == 0
            && restated[1..] != [processes, connections]
        {
            self.fault(|| {
                format!(
                    "a section begins with {} processes and {} connections, the last one ended with {processes} and \
                     {connections}",
                    restated[1], restated[2]
                )
            });
        }
        self.lost += lost;
        self.restated = std::array::from_fn(|kind| self.restated[kind] + restated[kind]);
        self.expected = Some([self.processes.len() as u64, self.connections.len() as u64]);
        self.open = false;
    }

    fn end_section(&mut self) {
        if self.open {
            self.unfinished += 1;
            self.expected = None;
        }
        self.open = false;
        self.section = [0; 3];
        self.processes.clear();
        self.connections.clear();
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::{
        ByteOrder, ConnectionEvent, Interface, Packet as Block, ProcessEvent, Resolution, Section,
    };

    use super::*;

    const ORDER: ByteOrder = ByteOrder::NATIVE;

    /// A section with so many packets, that begins with the processes 1 and `restated` others and one connection, and sees
    /// a process start; statistics that say something else about the packets by `more`.
    fn section(packets: u64, restated: u32, more: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Section::default().emit(ORDER, &mut out).unwrap();
        let interface = Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        };
        interface.emit(ORDER, &mut out).unwrap();
        for process in 1..=1 + restated {
            ProcessEvent { process, ..ProcessEvent::default() }.emit(ORDER, &mut out).unwrap();
        }
        ConnectionEvent { connection: 7, ..ConnectionEvent::default() }.emit(ORDER, &mut out).unwrap();
        for _ in 0..packets {
            Block::default().emit(ORDER, &mut out).unwrap();
        }
        ProcessEvent { process: 100, ..ProcessEvent::default() }.emit(ORDER, &mut out).unwrap();
        let counts =
            |count| EventCounts { received: Some(count), delivered: Some(count), ..EventCounts::default() };
        let packets = Some(packets + more);
        let (processes, connections) = (counts(1), counts(0));
        Statistics {
            received: packets,
            accepted: packets,
            delivered: packets,
            processes,
            connections,
            ..Statistics::default()
        }
        .emit(ORDER, &mut out)
        .unwrap();
        out
    }

    fn faults(sections: &[Vec<u8>]) -> Vec<String> {
        let mut stream = Stream::default();
        stream.feed(&sections.concat()).unwrap();
        stream.end_section();
        assert_eq!((stream.sections, stream.unfinished), (sections.len() as u64, 0));
        stream.faults
    }

    #[test]
    fn sections_that_say_what_they_have_and_go_on_where_the_last_one_ended_are_right() {
        // Two processes at first, then three.
        assert_eq!(faults(&[section(5, 1, 0), section(0, 2, 0)]), Vec::<String>::new());
    }

    #[test]
    fn a_packet_too_few_is_found() {
        assert_eq!(faults(&[section(5, 1, 1)]), ["a section has 5 packets, its statistics say 6"]);
    }

    #[test]
    fn a_process_that_is_forgotten_between_sections_is_found() {
        let found = faults(&[section(5, 1, 0), section(5, 1, 0)]);
        assert_eq!(
            found,
            ["a section begins with 2 processes and 1 connections, the last one ended with 3 and 1"]
        );
    }
}
