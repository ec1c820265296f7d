//! Checks a stream of blocks, or a file: the statistics of each section must be the sums of its blocks, and each
//! section must begin with the state at the end of the section before.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use hone_pcapng::{Block, ConnectionEventKind, EventCounts, ProcessEventKind, Reader, Statistics};

use super::client::Kinds;
use super::load::COUNTED;
use crate::packet::{Packet, Protocol};

/// Largest number of faults that are kept. More would add nothing.
const MOST_FAULTS: usize = 20;

/// The load's own traffic in the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Datagrams of the counted flow, outbound and inbound.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Programs with the load's mark that have started, and that have ended.
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
    /// Flags of a TCP packet.
    flags: u8,
}

/// The state of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Stream {
    reader: Reader,
    /// Destination addresses of the counted datagrams.
    to: Vec<IpAddr>,
    /// Text that the arguments of the counted programs contain.
    mark: String,
    /// Number of blocks since the beginning, and in this section: packets, process events, connection events.
    pub(super) blocks: Kinds,
    section: Kinds,
    /// Blocks of snapshots at the beginnings of sections. No reader's statistics count them.
    pub(super) restated: Kinds,
    pub(super) sections: u64,
    /// Whether the file ends within a block.
    pub(super) torn: bool,
    /// Number of sections without statistics, because they were cut off.
    pub(super) unfinished: u64,
    open: bool,
    pub(super) processes: HashSet<u32>,
    /// Open connections, with the process that opened or accepted each one.
    pub(super) connections: HashMap<u64, u32>,
    /// The last packet of each open connection.
    last_packets: HashMap<u64, Last>,
    /// The number of processes and connections in the next section's snapshot, if nothing is lost.
    expected: Option<[u64; 2]>,
    marked: HashSet<u32>,
    pub(super) traffic: Traffic,
    /// Packets, process events and connection events that the statistics report as lost.
    pub(super) lost: u64,
    pub(super) faults: Vec<String>,
    /// Ends without a beginning. They are faults, unless something was lost.
    pub(super) strange: Vec<String>,
}

impl Stream {
    /// Makes the state before the first block.
    ///
    /// # Arguments
    /// `to`: the addresses that the counted datagrams are sent to. `mark`: an argument of the counted programs.
    pub(super) fn new(to: Vec<IpAddr>, mark: String) -> Self {
        Self { to, mark, ..Self::default() }
    }

    /// Checks a whole file, compressed or not. `cut`: the file may end within a block, because its recorder was killed.
    ///
    /// # Errors
    /// The file cannot be read, or is not valid.
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

    /// Checks the next bytes of the stream.
    ///
    /// # Errors
    /// The stream is not valid.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        // The reader's blocks borrow from it, while the checks need the rest of `self`.
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
                } else if event.kind != ProcessEventKind::Hashed {
                    self.processes.insert(event.process);
                    if event.kind == ProcessEventKind::Started
                        && event.arguments.as_ref().is_some_and(|arguments| self.is_marked(arguments))
                        // A process in a later section's snapshot is the same process, so it is counted only once.
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

    /// Describes the history of an open connection, to find out why it is still open.
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

    /// Compares the section's statistics with its blocks.
    fn balance(&mut self, statistics: &Statistics<'_>) {
        let packets = EventCounts {
            // `accepted` does not include what the reader's filters left out.
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

    /// A section with this number of packets. Its snapshot has process 1, `restated` other processes and one
    /// connection; then one process starts. The statistics report `more` packets than there are.
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
        // First two processes, then three.
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
