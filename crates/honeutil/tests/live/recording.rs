//! A recorded file, read with `hone_pcapng`, and what must hold for any of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind, ProcessEventKind, Reader};

use crate::packet::{Ip, Transport};
use crate::tools;

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) path: PathBuf,
    /// Packets, process and connection events, in the order of the file.
    pub(crate) entries: Vec<Entry>,
    pub(crate) snap_length: u32,
    /// `None` if the file ends without one.
    pub(crate) statistics: Option<Statistics>,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Packet(Packet),
    Process(Process),
    Connection(Connection),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) nanos: u64,
    pub(crate) data: Vec<u8>,
    pub(crate) original_length: usize,
    pub(crate) direction: Direction,
    pub(crate) connection: Option<u64>,
    /// As it turned out to be, by a later correction.
    pub(crate) process: Option<u32>,
    /// As the packet itself says.
    pub(crate) recorded_process: Option<u32>,
    /// How its process was known, or why there was none, as the packet itself says.
    pub(crate) how: Option<hone_pcapng::How>,
    pub(crate) timestamp: u64,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) nanos: u64,
    pub(crate) pid: u32,
    pub(crate) kind: ProcessEventKind,
    pub(crate) path: Option<String>,
    /// A NUL after each, as recorded.
    pub(crate) arguments: Option<String>,
    pub(crate) parent: Option<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) user_name: Option<String>,
    pub(crate) group_name: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) hash: Option<hone_pcapng::ExecutableHash>,
    pub(crate) namespace_pid: Option<u32>,
    pub(crate) network_namespace: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) nanos: u64,
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) kind: ConnectionEventKind,
}

/// The statistics block, as far as it is about packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) start_nanos: u64,
    /// Received, and not left out by a selection.
    pub(crate) accepted: u64,
    pub(crate) dropped_by_source: u64,
    pub(crate) dropped_by_ring: u64,
    pub(crate) delivered: u64,
}

impl Entry {
    pub(crate) fn nanos(&self) -> u64 {
        match self {
            Self::Packet(packet) => packet.nanos,
            Self::Process(process) => process.nanos,
            Self::Connection(connection) => connection.nanos,
        }
    }
}

impl Recording {
    /// Reads a file of one section that was closed as it should: stands alone, ends with statistics that add up, is
    /// read alike by others, and nothing was lost.
    pub(crate) fn read(path: &Path) -> Self {
        only(Self::read_sections(path))
    }

    /// As `read`, of a file with any number of sections.
    pub(crate) fn read_sections(path: &Path) -> Vec<Self> {
        let sections = Self::read_unended(path);
        for section in &sections {
            let Some(statistics) = section.statistics else { panic!("{} has no statistics", path.display()) };
            let Statistics { accepted, dropped_by_source, dropped_by_ring, delivered, .. } = statistics;
            assert_eq!(accepted, delivered + dropped_by_ring, "{statistics:?} does not add up");
            let packets = section.packets().count() as u64;
            assert_eq!(delivered, packets, "{} holds other packets than {statistics:?}", path.display());
            // These count the whole machine's packets, so a flood from elsewhere can bring it here.
            assert_eq!((dropped_by_source, dropped_by_ring), (0, 0), "packets were lost: {statistics:?}");
        }
        sections
    }

    /// Reads a file of one section that a fault may have ended early, but at the end of a block.
    pub(crate) fn read_cut_short(path: &Path) -> Self {
        only(Self::read_unended(path))
    }

    /// Any number of sections, of which any may lack its end.
    pub(crate) fn read_unended(path: &Path) -> Vec<Self> {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let sections = Self::parse(path, &bytes);
        let packets = sections.iter().map(|section| section.packets().count()).sum();
        tools::agree(path, packets, sections.len());
        sections
    }

    /// Every section of a stream of whole blocks.
    fn parse(path: &Path, bytes: &[u8]) -> Vec<Self> {
        let mut reader = Reader::new();
        let mut sections: Vec<Self> = Vec::new();
        reader.feed(bytes).expect("there is memory");
        while let Some(item) =
            reader.next_block().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        {
            let nanos = item.nanos;
            let place = || format!("{} at offset {}", path.display(), item.offset);
            if matches!(item.block, Block::Section(_)) {
                let (path, entries) = (path.to_owned(), Vec::new());
                sections.push(Self { path, entries, snap_length: u32::MAX, statistics: None });
                continue;
            }
            if let Block::Connection(event) = &item.block {
                apply(event, &mut sections);
            }
            let section = sections.last_mut().expect("the reader refuses what has no section");
            assert!(section.statistics.is_none(), "{}: a block after the statistics", place());
            if let Block::Interface(interface) = &item.block {
                assert_eq!(section.snap_length, u32::MAX, "{}: a second interface", place());
                section.snap_length = interface.snap_length;
                continue;
            }
            assert_ne!(section.snap_length, u32::MAX, "{}: a block before the interface", place());
            let nanos = nanos.unwrap_or_else(|| panic!("{}: no time", place()));
            match item.block {
                Block::Statistics(block) => section.statistics = Some(statistics(&block, &place())),
                block => section.entries.push(entry(block, nanos, &place())),
            }
        }
        reader.finish().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        sections
    }

    pub(crate) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.entries
            .iter()
            .filter_map(|entry| if let Entry::Packet(packet) = entry { Some(packet) } else { None })
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.entries
            .iter()
            .filter_map(|entry| if let Entry::Process(process) = entry { Some(process) } else { None })
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.entries.iter().filter_map(|entry| {
            if let Entry::Connection(connection) = entry { Some(connection) } else { None }
        })
    }

    /// The connections that a process opened in this file and that were closed in it.
    pub(crate) fn opened_and_closed_by(&self, pid: u32) -> (HashSet<u64>, HashSet<u64>) {
        let events = |kind| self.connections().filter(move |event| event.kind == kind);
        let opened: HashSet<u64> = events(ConnectionEventKind::Opened)
            .filter(|event| event.pid == pid)
            .map(|event| event.id)
            .collect();
        let closed = events(ConnectionEventKind::Closed).map(|event| event.id);
        let closed = closed.filter(|id| opened.contains(id)).collect();
        (opened, closed)
    }
}

fn only(mut sections: Vec<Recording>) -> Recording {
    assert_eq!(sections.len(), 1, "one section was expected");
    sections.remove(0)
}

/// Applies a correction, if the event is one, to the packets before it.
fn apply(event: &ConnectionEvent<'_>, sections: &mut [Recording]) {
    let Some(correction) = event.correction else { return };
    let direction = if correction.direction == hone_pcapng::Direction::Outbound {
        Direction::Outbound
    } else {
        Direction::Inbound
    };
    for entry in sections.iter_mut().flat_map(|section| &mut section.entries) {
        let Entry::Packet(packet) = entry else { continue };
        let first_byte = match Ip::parse(&packet.data).map(|ip| ip.transport) {
            Some(Transport::Tcp { sequence, payload: [_, ..], .. }) => Some(sequence),
            _ => None,
        };
        if (packet.connection, packet.direction) == (Some(event.connection), direction)
            && correction.packets.includes(packet.timestamp, first_byte)
        {
            packet.process = correction.has_process().then_some(event.process);
        }
    }
}

fn statistics(block: &hone_pcapng::Statistics<'_>, place: &str) -> Statistics {
    let given =
        |count: Option<u64>| count.unwrap_or_else(|| panic!("{place}: a count is missing: {block:?}"));
    Statistics {
        // Hone's interfaces count nanoseconds; that the packets' times are right shows it.
        start_nanos: given(block.start_time),
        accepted: given(block.accepted),
        dropped_by_source: given(block.dropped_by_source),
        dropped_by_ring: given(block.dropped_by_ring),
        delivered: given(block.delivered),
    }
}

fn entry(block: Block<'_>, nanos: u64, place: &str) -> Entry {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match block {
        Block::Packet(packet) => Entry::Packet(Packet {
            nanos,
            original_length: packet.original_length.try_into().expect("usize has 32 bits at least"),
            direction: match packet.flags.map(|flags| flags & 3) {
                Some(1) => Direction::Inbound,
                Some(2) => Direction::Outbound,
                flags => panic!("{place}: direction {flags:?}"),
            },
            connection: packet.connection,
            process: packet.process,
            recorded_process: packet.process,
            how: packet.how,
            timestamp: packet.timestamp,
            data: packet.data.into_owned(),
        }),
        Block::Process(event) => Entry::Process(Process {
            nanos,
            pid: event.process,
            kind: event.kind,
            path: event.path.as_deref().map(text),
            arguments: event.arguments.as_deref().map(text),
            parent: event.parent,
            user: event.user,
            group: event.group,
            user_name: event.user_name.as_deref().map(text),
            group_name: event.group_name.as_deref().map(text),
            container: event.container.as_deref().map(text),
            unit: event.unit.as_deref().map(text),
            hash: event.hash,
            namespace_pid: event.namespace_pid,
            network_namespace: event.network_namespace,
        }),
        Block::Connection(event) => Entry::Connection(Connection {
            nanos,
            id: event.connection,
            pid: event.process,
            kind: event.kind,
        }),
        other => panic!("{place}: honeutil does not write {other:?}"),
    }
}
