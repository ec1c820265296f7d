//! The reference model: what the engine promises, in the simplest words.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
};

use hone_engine::{Owner, PerKind, ProcessKey, StartKind};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, EventCounts, Interface, Packet, ProcessEvent,
    ProcessEventKind, Resolution, Section, Statistics,
};

use crate::Sketch;

/// More than the test uses.
pub(crate) const PROCESSES: u32 = 64;

/// A packet's data and the original length it claims.
const DATA: [u8; 300] = [0x45; 300];
const ORIGINAL: u32 = 1000;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Packet,
    Process,
    Connection,
}

fn add(counts: &mut PerKind, kind: Kind) {
    *match kind {
        Kind::Packet => &mut counts.packets,
        Kind::Process => &mut counts.processes,
        Kind::Connection => &mut counts.connections,
    } += 1;
}

fn emit(block: &Block<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    block.emit(ByteOrder::Little, &mut bytes).expect("the block is sound");
    bytes
}

/// A table with lingering entries.
struct Table<K, V> {
    entries: HashMap<K, (V, Option<u64>)>,
    leaving: VecDeque<(K, u64)>,
    bound: usize,
    linger: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    fn new(bound: u32, linger: u64) -> Self {
        Self { entries: HashMap::new(), leaving: VecDeque::new(), bound: bound as usize, linger }
    }

    fn leave(&mut self) -> bool {
        let Some((key, ended)) = self.leaving.pop_front() else { return false };
        if self.entries.get(&key).is_some_and(|entry| entry.1 == Some(ended)) {
            self.entries.remove(&key);
        }
        true
    }

    fn expire(&mut self, now: u64) {
        for _ in 0..2 {
            if self.leaving.front().is_some_and(|front| front.1 + self.linger <= now) {
                self.leave();
            }
        }
    }

    fn begin(&mut self, key: K, value: V) -> bool {
        while self.entries.len() >= self.bound && !self.entries.contains_key(&key) {
            if !self.leave() {
                return false;
            }
        }
        self.entries.insert(key, (value, None));
        true
    }

    fn end(&mut self, key: K, at: u64) {
        self.entries.get_mut(&key).expect("it is known").1 = Some(at);
        if self.leaving.len() >= self.bound {
            self.leave();
        }
        self.leaving.push_back((key, at));
    }

    fn live(&self) -> impl Iterator<Item = &V> {
        self.entries.values().filter(|entry| entry.1.is_none()).map(|entry| &entry.0)
    }
}

struct Process {
    start: u64,
    at: u64,
    path: Option<Vec<u8>>,
    block: Vec<u8>,
}

struct Connection {
    owner: Option<ProcessKey>,
    at: u64,
    block: Vec<u8>,
}

/// What a reader reads next.
enum Expected {
    /// A block as the reader sees it; how many bytes of it wait in the ring if it is a live one.
    Block(Vec<u8>, Option<(Kind, usize)>),
    SectionEnd,
}

pub(crate) struct Reader {
    snap: u32,
    slots: usize,
    pinned: usize,
    expected: VecDeque<Expected>,
    /// Bytes of the front that have been read.
    offset: usize,
    marked: bool,
    pub(crate) received: PerKind,
    pub(crate) dropped: PerKind,
    began: (u64, PerKind, PerKind, PerKind),
    parser: hone_pcapng::Reader,
    /// What the section being read has opened.
    opened: HashSet<u64>,
    /// Connections that packets may name without having been opened to this reader.
    excused: HashSet<u64>,
}

impl Reader {
    pub(crate) fn queued(&self) -> PerKind {
        let mut queued = PerKind::default();
        for expected in &self.expected {
            if let Expected::Block(_, Some((kind, _))) = expected {
                add(&mut queued, *kind);
            }
        }
        queued
    }

    fn offer(&mut self, kind: Kind, stored: usize, seen: Vec<u8>) {
        let waiting = self.expected.iter().filter_map(|expected| match expected {
            Expected::Block(_, live) => *live,
            Expected::SectionEnd => None,
        });
        let (count, bytes) = waiting.fold((0, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes));
        let share = |bound| if kind == Kind::Packet { bound - bound / 8 } else { bound };
        add(&mut self.received, kind);
        if count < share(self.slots) && bytes + stored <= share(self.pinned) {
            self.expected.push_back(Expected::Block(seen, Some((kind, stored))));
        } else {
            add(&mut self.dropped, kind);
        }
    }

    pub(crate) fn bytes(&mut self, mut bytes: &[u8], room: usize) {
        assert!(!bytes.is_empty());
        let mut left = room - bytes.len();
        let first_offset = self.offset;
        while !bytes.is_empty() {
            let Some(Expected::Block(block, _)) = self.expected.front() else {
                panic!("bytes after the end")
            };
            let rest = &block[self.offset..];
            let length = rest.len().min(bytes.len());
            assert_eq!(bytes[..length], rest[..length]);
            if length < rest.len() {
                assert!(room < block.len() || first_offset > 0, "a block that fits is read whole");
                assert_eq!(left, 0, "a part fills the buffer");
                self.offset += length;
                return;
            }
            bytes = &bytes[length..];
            self.offset = 0;
            if let Some(Expected::Block(block, _)) = self.expected.pop_front() {
                self.parse(&block);
            }
        }
        if let Some(Expected::Block(next, _)) = self.expected.front() {
            left = left.min(next.len());
            assert!(left < next.len(), "another block would have fit");
        }
    }

    pub(crate) fn empty(&self) {
        assert!(self.expected.is_empty());
    }

    pub(crate) fn section_end(&mut self) {
        assert!(matches!(self.expected.pop_front(), Some(Expected::SectionEnd)));
        self.marked = false;
    }

    /// Checks that the block is sound, and that a packet's connection has been opened in its section.
    fn parse(&mut self, block: &[u8]) {
        self.parser.feed(block).expect("there is memory");
        let item = self.parser.next_block().expect("the block is sound").expect("the block is whole");
        match item.block {
            Block::Section(_) => self.opened.clear(),
            Block::Connection(event) => {
                self.opened.insert(event.connection);
            }
            Block::Packet(packet) => {
                if let Some(id) = packet.connection {
                    assert!(self.opened.contains(&id) || self.excused.contains(&id), "{id} was not opened");
                }
            }
            _ => {}
        }
    }
}

pub(crate) struct Model {
    now: u64,
    processes: Table<u32, Process>,
    connections: Table<u64, Connection>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) lost: PerKind,
    pub(crate) source: PerKind,
}

impl Model {
    pub(crate) fn new(bound: u32, linger: u64) -> Self {
        Self {
            now: 1,
            processes: Table::new(bound, linger),
            connections: Table::new(bound, linger),
            readers: Vec::new(),
            lost: PerKind::default(),
            source: PerKind::default(),
        }
    }

    pub(crate) fn tick(&mut self, nanos: u64) -> u64 {
        self.now += nanos;
        self.now
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn running(&self) -> u64 {
        self.processes.live().count() as u64
    }

    pub(crate) fn open(&self) -> u64 {
        self.connections.live().count() as u64
    }

    /// Blocks that the tables and the engine itself hold.
    pub(crate) fn blocks(&self) -> u64 {
        2 + (self.processes.entries.len() + self.connections.entries.len()) as u64
    }

    pub(crate) fn expire(&mut self) {
        self.processes.expire(self.now);
        self.connections.expire(self.now);
    }

    /// Whether the event is recorded, or ignored as nothing new.
    pub(crate) fn event(&mut self, sketch: &Sketch, at: u64, restated: bool) -> bool {
        let known = match sketch {
            Sketch::Started(process, ..) => self.processes.entries.contains_key(&process.pid),
            Sketch::Opened(id, _) => self.connections.entries.contains_key(id),
            _ => false,
        };
        if restated && known {
            return true;
        }
        self.expire();
        match sketch {
            Sketch::Started(process, kind, parent, path) => {
                let recorded = self.started(*process, *kind, *parent, path.clone(), at);
                self.lost.processes += u64::from(!recorded);
                recorded
            }
            Sketch::Ended(process) => {
                self.ended(*process, at);
                true
            }
            &Sketch::Opened(id, owner) => {
                let recorded = self.opened(id, owner, at);
                self.lost.connections += u64::from(!recorded);
                recorded
            }
            &Sketch::Closed(id, process) => {
                self.closed(id, process, at);
                true
            }
            &Sketch::Packet(id, owner, length) => {
                self.packet(id, owner, length, at);
                true
            }
        }
    }

    fn tell(&mut self, kind: Kind, block: &[u8]) {
        for reader in &mut self.readers {
            reader.offer(kind, block.len(), block.to_vec());
        }
    }

    fn started(
        &mut self,
        process: ProcessKey,
        kind: StartKind,
        parent: Option<u32>,
        path: Option<Vec<u8>>,
        at: u64,
    ) -> bool {
        let forked = kind == StartKind::Forked;
        if let Some((known, ended)) = self.processes.entries.get(&process.pid) {
            let start = known.start;
            match (start == process.start, ended.is_some()) {
                (true, true) => return true,
                (true, false) if forked => return true,
                (false, false) => self.ended(ProcessKey { pid: process.pid, start }, at),
                _ => {}
            }
        }
        let from = parent.filter(|_| forked).and_then(|parent| self.processes.entries.get(&parent));
        let path = path.or_else(|| from.and_then(|from| from.0.path.clone()));
        let block = emit(&Block::Process(ProcessEvent {
            process: process.pid,
            timestamp: at,
            kind: match kind {
                StartKind::Started => ProcessEventKind::Started,
                StartKind::Forked => ProcessEventKind::Forked,
                StartKind::KernelThread => ProcessEventKind::KernelThread,
            },
            path: path.clone().map(Cow::Owned),
            parent,
            ..ProcessEvent::default()
        }));
        let entry = Process { start: process.start, at, path, block: block.clone() };
        let recorded = self.processes.begin(process.pid, entry);
        if recorded {
            self.tell(Kind::Process, &block);
        }
        recorded
    }

    fn ended(&mut self, process: ProcessKey, at: u64) {
        match self.processes.entries.get(&process.pid) {
            Some((known, None)) if known.start == process.start => {}
            _ => return,
        }
        self.processes.end(process.pid, at);
        let kind = ProcessEventKind::Ended;
        let event = ProcessEvent { process: process.pid, timestamp: at, kind, ..ProcessEvent::default() };
        self.tell(Kind::Process, &emit(&Block::Process(event)));
    }

    fn opened(&mut self, connection: u64, owner: Option<ProcessKey>, at: u64) -> bool {
        if let Some((known, None)) = self.connections.entries.get(&connection)
            && (owner.is_none() || owner == known.owner)
        {
            return true;
        }
        let process = owner.map_or(0, |owner| owner.pid);
        let event = ConnectionEvent { connection, process, timestamp: at, ..ConnectionEvent::default() };
        let block = emit(&Block::Connection(event));
        let recorded = self.connections.begin(connection, Connection { owner, at, block: block.clone() });
        let before: Vec<_> = self.readers.iter().map(|reader| reader.dropped.connections).collect();
        if recorded {
            self.tell(Kind::Connection, &block);
        }
        for (reader, before) in self.readers.iter_mut().zip(before) {
            if !recorded || reader.dropped.connections > before {
                reader.excused.insert(connection);
            }
        }
        recorded
    }

    fn closed(&mut self, connection: u64, process: Option<ProcessKey>, at: u64) {
        let Some((known, None)) = self.connections.entries.get(&connection) else { return };
        let process = process.or(known.owner).map_or(0, |process| process.pid);
        self.connections.end(connection, at);
        let kind = ConnectionEventKind::Closed;
        let event =
            ConnectionEvent { connection, process, timestamp: at, kind, ..ConnectionEvent::default() };
        self.tell(Kind::Connection, &emit(&Block::Connection(event)));
    }

    fn packet(&mut self, connection: Option<u64>, owner: Owner, length: usize, at: u64) {
        let named = match owner {
            Owner::Process(process, _) => Some(process),
            _ => None,
        };
        if let Some(id) = connection
            && !self.connections.entries.contains_key(&id)
        {
            self.opened(id, named, at);
        }
        let from_table = connection.and_then(|id| self.connections.entries.get(&id)?.0.owner);
        let process = if owner == Owner::Ask { from_table } else { named };
        let packet = |length: usize| {
            emit(&Block::Packet(Packet {
                interface: 0,
                timestamp: at,
                original_length: ORIGINAL,
                data: Cow::Borrowed(&DATA[..length]),
                flags: Some(1),
                connection,
                process: process.map(|process| process.pid),
                other: Vec::new(),
            }))
        };
        let limit = |snap: u32| if snap == 0 { usize::MAX } else { snap as usize };
        let keep = self.readers.iter().map(|reader| limit(reader.snap)).max().unwrap_or(0);
        let stored = packet(length.min(keep)).len();
        for reader in &mut self.readers {
            reader.offer(Kind::Packet, stored, packet(length.min(limit(reader.snap))));
        }
    }

    /// The beginning of a section: header, interface, the state sorted by time.
    fn section(&self, snap_length: u32) -> Vec<Expected> {
        let mut state: Vec<(u64, &Vec<u8>)> = Vec::new();
        state.extend(self.processes.live().map(|process| (process.at, &process.block)));
        state.extend(self.connections.live().map(|connection| (connection.at, &connection.block)));
        state.sort();
        let header = emit(&Block::Section(Section::default()));
        let interface = emit(&Block::Interface(Interface {
            link_type: 101,
            snap_length,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        }));
        let blocks = [header, interface].into_iter().chain(state.into_iter().map(|(_, block)| block.clone()));
        blocks.map(|block| Expected::Block(block, None)).collect()
    }

    fn closed_connections(&self) -> impl Iterator<Item = u64> {
        self.connections.entries.iter().filter(|entry| entry.1.1.is_some()).map(|entry| *entry.0)
    }

    fn lost_before(&self) -> PerKind {
        PerKind {
            packets: self.source.packets + self.lost.packets,
            processes: self.source.processes + self.lost.processes,
            connections: self.source.connections + self.lost.connections,
        }
    }

    pub(crate) fn attach(&mut self, snap: u32, slots: usize, pinned: usize, now: u64) {
        let expected = self.section(snap);
        self.readers.push(Reader {
            snap,
            slots,
            pinned,
            expected: expected.into(),
            offset: 0,
            marked: false,
            received: PerKind::default(),
            dropped: PerKind::default(),
            began: (now, PerKind::default(), PerKind::default(), self.lost_before()),
            parser: hone_pcapng::Reader::new(),
            opened: HashSet::new(),
            excused: self.closed_connections().collect(),
        });
    }

    /// Whether the mark is taken.
    pub(crate) fn mark(&mut self, reader: usize, now: u64) -> bool {
        if self.readers[reader].marked {
            return false;
        }
        let section = self.section(self.readers[reader].snap);
        let late: Vec<_> = self.closed_connections().collect();
        let lost = self.lost_before();
        let reader = &mut self.readers[reader];
        let (start, received, dropped, lost_then) = reader.began;
        let (all, ring) = (reader.received, reader.dropped);
        let events = |kind: fn(PerKind) -> u64| {
            let (received, ring) = (kind(all) - kind(received), kind(ring) - kind(dropped));
            EventCounts {
                received: Some(received),
                dropped_by_source: Some(kind(lost) - kind(lost_then)),
                dropped_by_ring: Some(ring),
                delivered: Some(received - ring),
            }
        };
        let packets = events(|counts| counts.packets);
        let statistics = emit(&Block::Statistics(Statistics {
            interface: 0,
            timestamp: now,
            start_time: Some(start),
            end_time: Some(now),
            received: packets.received,
            dropped_by_source: packets.dropped_by_source,
            accepted: packets.received,
            dropped_by_ring: packets.dropped_by_ring,
            delivered: packets.delivered,
            processes: events(|counts| counts.processes),
            connections: events(|counts| counts.connections),
            other: Vec::new(),
        }));
        reader.expected.push_back(Expected::Block(statistics, None));
        reader.expected.push_back(Expected::SectionEnd);
        reader.expected.extend(section);
        reader.excused.extend(late);
        reader.began = (now, reader.received, reader.dropped, lost);
        reader.marked = true;
        true
    }
}
