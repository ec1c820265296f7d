//! The reference model: does what the engine promises, in the simplest way.

mod packets;
mod reader;
mod table;

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use hone_engine::{ExecutableHash, Method, NoOwner, ORDER_TIME, PerKind, ProcessKey, StartKind, Wait};
use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, EventCounts, ProcessEvent, ProcessEventKind,
    Section, Statistics,
};
use reader::{Began, Expected, Live, Reader, interface};
use table::Table;

use crate::Sketch;

/// Most processes; more than the test uses, so that the table is never full.
pub(crate) const PROCESSES: u32 = 64;

/// The original length of all packets, bytes.
const ORIGINAL: u32 = 1000;
/// Bytes from the beginning of a packet to the end of its ports.
const HEADERS: usize = 24;
pub(crate) const OURS: [u8; 4] = [10, 0, 0, 1];
pub(crate) const THEIRS: [u8; 4] = [10, 0, 0, 2];
pub(crate) const THEIR_PORT: u16 = 443;

/// The first 300 bytes of an inbound TCP packet to this port.
pub(crate) fn data(port: u16) -> [u8; 300] {
    let mut data = [0; 300];
    data[0] = 0x45;
    data[9] = 6;
    data[12..16].copy_from_slice(&THEIRS);
    data[16..20].copy_from_slice(&OURS);
    data[20..22].copy_from_slice(&THEIR_PORT.to_be_bytes());
    data[22..24].copy_from_slice(&port.to_be_bytes());
    // The sequence number. The header's length field is 0.
    data[24..28].copy_from_slice(&u32::from(port).to_be_bytes());
    data
}

/// The engine's bounds that the model needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) table: u32,
    pub(crate) linger: u64,
    pub(crate) silence: u64,
    pub(crate) orphan_silence: u64,
    pub(crate) held: usize,
    pub(crate) held_bytes: usize,
    pub(crate) hold_time: u64,
    /// Bytes that count for a held packet besides its data.
    pub(crate) held_overhead: usize,
}

/// A record of the open-connection list. `full`: with both addresses; otherwise with the local port only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) port: u16,
    pub(crate) full: bool,
    pub(crate) process: ProcessKey,
}

type Attribution = Result<(ProcessKey, Method), NoOwner>;

/// A packet, held or to be queued.
#[derive(Clone, Copy)]
struct Seen {
    at: u64,
    connection: Option<u64>,
    port: u16,
    /// Length of the data, bytes, and how many of them are kept.
    length: usize,
    kept: usize,
    /// The event that it waits for, and the attribution otherwise; `None`: it waits for its connection's owner.
    waits: Option<(Wait, Attribution)>,
}

/// A read of a datagram with an unknown number.
#[derive(Clone, Copy)]
struct Take {
    connection: u64,
    process: ProcessKey,
    at: u64,
}

/// Counts of the engine that do not come from the tables or the readers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) methods: HashMap<Method, u64>,
    pub(crate) reasons: HashMap<NoOwner, u64>,
    pub(crate) held_total: u64,
    pub(crate) held_attributed: u64,
    pub(crate) held_unattributed: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
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

struct Process {
    start: u64,
    at: u64,
    kind: StartKind,
    parent: Option<u32>,
    path: Option<Vec<u8>>,
    hash: Option<ExecutableHash>,
    block: Vec<u8>,
}

impl Process {
    /// With the block of its event.
    fn emitted(mut self, pid: u32) -> Self {
        self.block = emit(&Block::Process(ProcessEvent {
            process: pid,
            timestamp: self.at,
            kind: match self.kind {
                StartKind::Started | StartKind::Supplemented => ProcessEventKind::Started,
                StartKind::Forked => ProcessEventKind::Forked,
                StartKind::KernelThread => ProcessEventKind::KernelThread,
            },
            path: self.path.clone().map(Cow::Owned),
            parent: self.parent,
            hash: self.hash,
            ..ProcessEvent::default()
        }));
        self
    }
}

/// Whether nobody owns a connection, or its owner has ended.
fn has_ended(owner: Option<ProcessKey>, processes: &Table<u32, Process>) -> bool {
    owner.is_none_or(|owner| match processes.entries.get(&owner.pid) {
        Some((known, ended)) => known.start != owner.start || ended.is_some(),
        None => owner.start != 0,
    })
}

struct Connection {
    owner: Option<ProcessKey>,
    at: u64,
    block: Vec<u8>,
}

pub(crate) struct Model {
    now: u64,
    processes: Table<u32, Process>,
    connections: Table<u64, Connection>,
    open_list: Vec<Listed>,
    held: VecDeque<Seen>,
    takes: Vec<Take>,
    /// Expired packets: connection, time, and what they waited for.
    expired: VecDeque<(u64, u64, Wait)>,
    /// The expired packet that was forgotten last: connection and time.
    forgotten: Option<(u64, u64)>,
    corrections: u64,
    bounds: Bounds,
    pub(crate) readers: Vec<Reader>,
    pub(crate) counts: Counts,
    pub(crate) lost: PerKind,
    pub(crate) source: PerKind,
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            now: 10 * ORDER_TIME,
            processes: Table::new(bounds.table, bounds.linger),
            connections: Table::new(bounds.table, bounds.linger),
            open_list: Vec::new(),
            held: VecDeque::new(),
            takes: Vec::new(),
            expired: VecDeque::new(),
            forgotten: None,
            corrections: 0,
            bounds,
            readers: Vec::new(),
            counts: Counts::default(),
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

    /// How many blocks the tables and the engine itself refer to.
    pub(crate) fn blocks(&self) -> u64 {
        2 + (self.processes.entries.len() + self.connections.entries.len()) as u64
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// When the packet that has waited longest expires; `None`: no packet is held.
    pub(crate) fn due(&self) -> Option<u64> {
        Some(self.held.front()?.at + self.bounds.hold_time)
    }

    pub(crate) fn expire(&mut self, now: u64) {
        self.expire_held(now);
        self.forget(now);
    }

    /// Does what [`Engine::tick`](hone_engine::Engine::tick) does.
    pub(crate) fn idle(&mut self, now: u64) {
        self.expire_held(now);
        self.leave(now, 64);
    }

    fn expire_held(&mut self, now: u64) {
        for _ in 0..64 {
            if self.held.front().is_some_and(|held| held.at.abs_diff(now) >= self.bounds.hold_time) {
                self.give_up_at(0, NoOwner::HoldExpired);
            }
        }
    }

    /// Expires entries of the tables, as each read does.
    pub(crate) fn forget(&mut self, now: u64) {
        self.leave(now, 2);
    }

    fn leave(&mut self, now: u64, at_once: usize) {
        self.processes.expire(now, at_once);
        self.connections.expire(now, at_once);
        let Bounds { silence, orphan_silence, .. } = self.bounds;
        let mut looks = at_once;
        loop {
            let Self { processes, connections, .. } = self;
            let silent = connections.silent(now, silence, &mut looks, |known, silent| {
                let limit = if known.owner.is_none() { silence } else { orphan_silence.max(silence) };
                silent >= limit && has_ended(known.owner, processes)
            });
            let Some(silent) = silent else { return };
            self.forget_connection(silent, now);
        }
    }

    /// Makes room for a connection.
    fn make_room(&mut self, connection: u64, now: u64) {
        let limit = self.bounds.orphan_silence;
        let Self { processes, connections, .. } = self;
        let evicted = connections
            .evictable(connection, now, |known, silent| silent >= limit || has_ended(known.owner, processes));
        if let Some(evicted) = evicted {
            self.forget_connection(evicted, now);
        }
    }

    fn forget_connection(&mut self, connection: u64, at: u64) {
        self.tell_closed(connection, None, at);
        self.connections.forget(connection);
    }

    /// Handles an event. Returns whether it is recorded or ignored, rather than lost.
    pub(crate) fn event(&mut self, sketch: &Sketch, at: u64, restated: bool) -> bool {
        let known = match sketch {
            Sketch::Started(process, ..) => self.processes.entries.contains_key(&process.pid),
            Sketch::Opened(id, _) => {
                let known = self.connections.entries.get(id);
                known.is_some_and(|(known, ended)| ended.is_some() || known.owner.is_some())
            }
            _ => false,
        };
        if restated && known {
            return true;
        }
        self.expire(at);
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
            &Sketch::Hashed(process, hash) => {
                self.hashed(process, hash, at);
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
            &Sketch::Packet { connection, owner, length, port } => {
                self.packet(Seen { at, connection, port, length, kept: length, waits: None }, owner);
                true
            }
            &Sketch::Dropped(connection, number) => {
                let dropped = (connection, Wait::Datagram(number));
                let waits = self.expired.iter().position(|&(id, _, wait)| (id, wait) == dropped);
                waits.map(|at| self.expired.remove(at));
                self.release(connection, false, |seen| {
                    let (wait, otherwise) = seen.waits?;
                    (wait == Wait::Datagram(number)).then_some(otherwise)
                });
                true
            }
            &Sketch::Corrected(connection, packets, attribution) => {
                self.corrected(connection, packets, attribution, at);
                true
            }
            &Sketch::Used(connection, process, used) => {
                self.used(connection, process, used, at);
                true
            }
        }
    }

    /// Queues an event about this process or connection for every reader.
    fn tell(&mut self, kind: Kind, about: u64, [opens, continues]: [bool; 2], at: u64, block: &[u8]) {
        let stored = block.len();
        let (process, span) = (None, None);
        let live = Live { kind, about, opens, continues, process, read: false, at, stored, span, renewed: 0 };
        for reader in &mut self.readers {
            reader.offer(live, block.to_vec());
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
        let before = self.processes.entries.get(&process.pid).map(|known| &known.0);
        let before = before.filter(|known| kind == StartKind::Supplemented && known.start == process.start);
        let path = path.or_else(|| from.map(|from| &from.0).or(before)?.path.clone());
        let hash = from.map(|from| &from.0).or(before).and_then(|base| base.hash);
        let parent = parent.or_else(|| before?.parent);
        let kind = match (kind, before) {
            (StartKind::Supplemented, Some(before)) => before.kind,
            (StartKind::Supplemented, None) => StartKind::Started,
            _ => kind,
        };
        let known = self.processes.entries.get(&process.pid);
        let again = known.is_some_and(|(known, _)| known.start == process.start);
        let entry = Process { start: process.start, at, kind, parent, path, hash, block: Vec::new() };
        let entry = entry.emitted(process.pid);
        let block = entry.block.clone();
        let recorded = self.processes.begin(process.pid, entry, at);
        if recorded {
            self.tell(Kind::Process, process.pid.into(), [!again, again], at, &block);
        }
        recorded
    }

    fn hashed(&mut self, process: ProcessKey, hash: ExecutableHash, at: u64) {
        let pid = process.pid;
        match self.processes.entries.remove(&pid) {
            Some((mut known, ended)) if known.start == process.start => {
                if ended.is_none() {
                    known.hash = Some(hash);
                    known = known.emitted(pid);
                }
                self.processes.entries.insert(pid, (known, ended));
            }
            other => return self.processes.entries.extend(other.map(|entry| (pid, entry))),
        }
        let (kind, hash) = (ProcessEventKind::Hashed, Some(hash));
        let event = ProcessEvent { process: pid, timestamp: at, kind, hash, ..ProcessEvent::default() };
        self.tell(Kind::Process, pid.into(), [false, false], at, &emit(&Block::Process(event)));
    }

    fn ended(&mut self, process: ProcessKey, at: u64) {
        match self.processes.entries.get(&process.pid) {
            Some((known, None)) if known.start == process.start => {}
            _ => return,
        }
        self.processes.end(process.pid, at);
        let kind = ProcessEventKind::Ended;
        let event = ProcessEvent { process: process.pid, timestamp: at, kind, ..ProcessEvent::default() };
        self.tell(Kind::Process, process.pid.into(), [false, false], at, &emit(&Block::Process(event)));
    }

    fn opened(&mut self, connection: u64, owner: Option<ProcessKey>, at: u64) -> bool {
        self.make_room(connection, at);
        let recorded = self.tell_opened(connection, owner, at);
        if let Some(owner) = owner {
            self.release(connection, false, |seen| {
                seen.waits.is_none().then_some(Ok((owner, Method::Connection)))
            });
        }
        recorded
    }

    fn tell_opened(&mut self, connection: u64, owner: Option<ProcessKey>, at: u64) -> bool {
        self.connections.hear(connection, at);
        if let Some((known, None)) = self.connections.entries.get(&connection)
            && (owner.is_none() || owner == known.owner)
        {
            return true;
        }
        let opens = !matches!(self.connections.entries.get(&connection), Some((_, None)));
        let process = owner.map_or(0, |owner| owner.pid);
        let event = ConnectionEvent { connection, process, timestamp: at, ..ConnectionEvent::default() };
        let block = emit(&Block::Connection(event));
        let recorded = self.connections.begin(connection, Connection { owner, at, block: block.clone() }, at);
        let before: Vec<_> = self.readers.iter().map(|reader| reader.dropped.connections).collect();
        if recorded {
            self.tell(Kind::Connection, connection, [opens, false], at, &block);
        }
        for (reader, before) in self.readers.iter_mut().zip(before) {
            if !recorded || reader.dropped.connections > before {
                reader.excused.insert(connection);
            }
        }
        recorded
    }

    fn closed(&mut self, connection: u64, process: Option<ProcessKey>, at: u64) {
        if self.connections.entries.get(&connection).is_some_and(|(_, ended)| ended.is_none()) {
            self.tell_closed(connection, process, at);
            self.connections.end(connection, at);
        }
    }

    /// Tells readers that an open connection closes.
    fn tell_closed(&mut self, connection: u64, process: Option<ProcessKey>, at: u64) {
        let process = process.or(self.connections.entries[&connection].0.owner);
        let process = process.map_or(0, |process| process.pid);
        self.release(connection, false, |seen| Some(seen.given_up(NoOwner::UnknownSocket)));
        self.settle(connection);
        let kind = ConnectionEventKind::Closed;
        let event =
            ConnectionEvent { connection, process, timestamp: at, kind, ..ConnectionEvent::default() };
        self.tell(Kind::Connection, connection, [false, false], at, &emit(&Block::Connection(event)));
    }

    /// The blocks that begin a section: header, interface, the state sorted by time.
    fn section(&self, snap_length: u32) -> Vec<Expected> {
        let mut state: Vec<(u64, &Vec<u8>)> = Vec::new();
        state.extend(self.processes.live().map(|process| (process.at, &process.block)));
        state.extend(self.connections.live().map(|connection| (connection.at, &connection.block)));
        state.sort();
        let header = emit(&Block::Section(Section::default()));
        let state = state.into_iter().map(|(_, block)| Expected::Block(block.clone(), None));
        [Expected::Block(header, None), interface(snap_length)].into_iter().chain(state).collect()
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
        let mut reader = Reader::new(snap, slots, pinned, expected.into(), now, self.lost_before());
        reader.excused.extend(self.closed_connections());
        self.readers.push(reader);
    }

    /// Sets a restart mark. Returns whether that succeeds: a reader has at most one mark.
    pub(crate) fn mark(&mut self, reader: usize, now: u64) -> bool {
        if self.readers[reader].marked {
            return false;
        }
        let section = self.section(self.readers[reader].snap);
        let late: Vec<_> = self.closed_connections().collect();
        let lost = self.lost_before();
        let reader = &mut self.readers[reader];
        let began = reader.began;
        let (all, ring) = (reader.received, reader.dropped);
        let events = |kind: fn(PerKind) -> u64| {
            let (received, ring) = (kind(all) - kind(began.received), kind(ring) - kind(began.dropped));
            EventCounts {
                received: Some(received),
                dropped_by_source: Some(kind(lost) - kind(began.lost)),
                dropped_by_ring: Some(ring),
                delivered: Some(received - ring),
            }
        };
        let packets = events(|counts| counts.packets);
        let filtered = reader.filtered - began.filtered;
        let statistics = emit(&Block::Statistics(Statistics {
            interface: 0,
            timestamp: now,
            start_time: Some(began.at),
            end_time: Some(now),
            received: packets.received,
            dropped_by_source: packets.dropped_by_source,
            accepted: packets.received.map(|received| received - filtered),
            dropped_by_ring: packets.dropped_by_ring,
            delivered: packets.delivered.map(|delivered| delivered - filtered),
            processes: events(|counts| counts.processes),
            connections: events(|counts| counts.connections),
            other: Vec::new(),
        }));
        reader.expect(Expected::Block(statistics, None));
        reader.expect(Expected::SectionEnd);
        reader.expected.extend(section);
        reader.excused.extend(late);
        let Reader { received, dropped, filtered, .. } = *reader;
        reader.began = Began { at: now, received, dropped, filtered, lost };
        reader.filled = false;
        reader.marked = true;
        true
    }
}
