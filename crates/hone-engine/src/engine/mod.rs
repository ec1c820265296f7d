//! The engine: what a sensor calls. Owns the tables, the block store, the readers and the counts; the work on events is
//! in `process`, `connection` and `packet`, what readers call in `control`, the work on sections in `section`.

pub(crate) mod attribution;
mod control;

use alloc::vec::Vec;
use core::fmt;

use crate::{
    Config, ConnectionId, DEFAULT_RING_BYTES, Event, EventError, MAX_PACKET_BYTES, MIN_RING_BYTES, Nanos,
    OutOfMemory, ProcessKey, RING_SLOT_BYTES, SourceDrops, Statistics,
    blocks::{About, BlockIndex, Role, Store},
    held::datagram_reads::Takes,
    held::expired::ExpiredPackets,
    held::queue::Hold,
    readers::correction::Correction,
    readers::filter::Subject,
    readers::reader::Reader,
    readers::section,
    readers::signal::Signals,
    statistics::Kind,
    tables::open_list::OpenList,
    tables::table::{self, Table},
    tables::timeline::Timeline,
};

/// What tells a process apart from others with the same id, and since when it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// [`ProcessKey::start`].
    pub(crate) start: Nanos,
    /// When the first event of it was.
    pub(crate) born: Nanos,
}

/// Ties packets to connections and processes, and queues them as blocks for any number of readers.
///
/// No method blocks, reads a clock or aborts when memory runs out. Times are [`Nanos`]; each `now` and each event's
/// time should not go backwards by much, else what lingers stays longer, or leaves earlier.
pub struct Engine {
    pub(crate) store: Store,
    /// By process id.
    pub(crate) processes: Table<u32, Running>,
    /// By connection id; with the owner.
    pub(crate) connections: Table<ConnectionId, Option<ProcessKey>>,
    /// What of both has not ended, for sections to begin with.
    pub(crate) timeline: Timeline,
    pub(crate) open_list: OpenList,
    pub(crate) max_open_connections: usize,
    /// Packets that wait for their connection's owner.
    pub(crate) hold: Hold,
    pub(crate) hold_time: Nanos,
    /// Packets that have waited in vain.
    pub(crate) expired: ExpiredPackets,
    /// Reads of datagrams of which it is not known yet which they took.
    pub(crate) takes: Takes,
    pub(crate) readers: Vec<Reader>,
    pub(crate) signals: Signals,
    /// Most bytes of a packet's data that any reader wants.
    pub(crate) keep: u32,
    /// The section header and the interface, the same for all sections.
    pub(crate) frames: [BlockIndex; 2],
    pub(crate) counts: Statistics,
    /// The latest time told.
    pub(crate) now: Nanos,
    /// Since when there are readers, if there are.
    pub(crate) logging_since: Nanos,
    /// Ring buffer of readers that do not ask for a size, bytes.
    pub(crate) ring_bytes: usize,
    pub(crate) max_readers: u32,
    pub(crate) max_ring_bytes: usize,
    pub(crate) max_filter_ids: usize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with empty tables and no reader.
    ///
    /// # Errors
    /// There is no memory for a section header and an interface.
    pub fn new(config: Config) -> Result<Self, OutOfMemory> {
        let mut store = Store::new(config.max_block_bytes);
        let frames = section::frames(&config.section, &mut store)?;
        let max_ring_bytes = 1 << config.max_ring_bytes.max(MIN_RING_BYTES).ilog2();
        let (processes, connections) = (config.max_processes, config.max_connections);
        let mut processes = Table::new(processes, config.process_linger, EventError::TooManyProcesses);
        let mut connections =
            Table::new(connections, config.connection_linger, EventError::TooManyConnections);
        let mut timeline = Timeline::new();
        if config.reserve {
            processes.reserve()?;
            connections.reserve()?;
            let known = processes.bound().saturating_add(connections.bound());
            timeline.reserve(known)?;
            store.reserve(known.saturating_add(max_ring_bytes / RING_SLOT_BYTES))?;
        }
        Ok(Self {
            store,
            processes,
            connections,
            timeline,
            open_list: OpenList::empty(),
            max_open_connections: config.max_open_connections,
            hold: Hold::new(config.max_held_packets, config.max_held_bytes),
            hold_time: config.hold_time,
            expired: ExpiredPackets::default(),
            takes: Takes::default(),
            readers: Vec::new(),
            signals: Signals::new(),
            keep: 0,
            frames,
            counts: Statistics { loaded: config.loaded, ..Statistics::default() },
            now: 0,
            logging_since: 0,
            ring_bytes: DEFAULT_RING_BYTES.min(max_ring_bytes),
            max_readers: config.max_readers,
            max_ring_bytes,
            max_filter_ids: config.max_filter_ids,
        })
    }

    /// Takes in what happened, and queues it for every reader. What says nothing new is ignored and counted: the end of
    /// what is not known or has ended, a fork of what is known, the opening of what is open with the same owner.
    ///
    /// # Errors
    /// The event could not be recorded, and is counted as lost; the tables still agree with what readers were told.
    pub fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        self.expire(event.at());
        let (kind, result) = match *event {
            Event::Packet(ref packet) => {
                self.counts.received.packets += 1;
                (Kind::Packet, self.packet(packet))
            }
            Event::ProcessStarted(ref start) => {
                self.counts.received.processes += 1;
                self.counts.process_starts += 1;
                (Kind::Process, self.process_started(start))
            }
            Event::ProcessEnded { process, at } => {
                self.counts.received.processes += 1;
                self.counts.process_ends += 1;
                (Kind::Process, self.process_ended(process, at))
            }
            Event::ConnectionOpened { connection, owner, at } => {
                self.counts.received.connections += 1;
                self.counts.connection_opens += 1;
                (Kind::Connection, self.connection_opened(connection, owner, at))
            }
            Event::ConnectionUsed { connection, process, used, at } => {
                self.used(connection, process, used, at);
                return Ok(());
            }
            Event::Corrected { connection, direction, packets, attribution, at } => {
                let correction = Correction { connection, direction, packets, attribution };
                (Kind::Connection, self.corrected(&correction, at))
            }
            Event::DatagramDropped { connection, number, .. } => {
                self.datagram_dropped(connection, number);
                return Ok(());
            }
            Event::ConnectionClosed { connection, process, at } => {
                self.counts.received.connections += 1;
                self.counts.connection_closes += 1;
                (Kind::Connection, self.connection_closed(connection, process, at))
            }
        };
        if result.is_err() {
            self.counts.lost.add(kind);
        }
        result
    }

    /// Takes in a running process or an open connection that a listing shows, at the sensor's start. It is recorded as
    /// by [`handle`](Self::handle) unless the process id or the connection is known at all, be it as ended: what was
    /// seen happening is newer than what was listed. But an open connection without an owner takes the one listed. List within the linger time of [`Config`], or what ended since
    /// the listing comes back. Other events are handled.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle).
    pub fn restate(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        match *event {
            Event::ProcessStarted(ref start) if self.processes.get(start.process.pid).is_some() => {
                self.counts.received.processes += 1;
                self.counts.process_starts += 1;
                self.counts.ignored.processes += 1;
                Ok(())
            }
            Event::ConnectionOpened { connection, .. }
                if self
                    .connections
                    .get(connection)
                    .is_some_and(|known| known.ended.is_some() || known.identity.is_some()) =>
            {
                self.counts.received.connections += 1;
                self.counts.connection_opens += 1;
                self.counts.ignored.connections += 1;
                Ok(())
            }
            _ => self.handle(event),
        }
    }

    /// Notes how much the platform has lost so far: running totals, not what is new.
    pub const fn report_source_drops(&mut self, totals: SourceDrops) {
        self.counts.dropped_by_source = totals;
    }

    /// Lets go of what has had its time at `now`: for when nothing happens. `now` is a time until which all that
    /// happened has been told, or packets are given up whose process is known already. Gives when the next packet
    /// held has had its time, which is when to call this again at the latest; `None` if none is held.
    pub fn tick(&mut self, now: Nanos) -> Option<Nanos> {
        self.expire_held(now);
        self.let_go(now, table::LEAVE_WHEN_IDLE);
        self.hold.oldest().map(|(_, at)| at.saturating_add(self.hold_time))
    }

    /// The running process with this id.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<ProcessKey> {
        let known = self.processes.get(pid).filter(|known| known.ended.is_none())?;
        Some(ProcessKey { pid, start: known.identity.start })
    }

    /// What the engine did so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let logging = if self.readers.is_empty() { 0 } else { self.now.saturating_sub(self.logging_since) };
        Statistics {
            logging_time: self.counts.logging_time + logging,
            held: self.hold.count() as u64,
            held_bytes: self.hold.bytes() as u64,
            ring_bytes: self.ring_bytes as u64,
            snap_length: if self.keep == MAX_PACKET_BYTES { 0 } else { self.keep },
            processes: self.processes.live() as u64,
            connections: self.connections.live() as u64,
            readers: self.readers.len() as u64,
            blocks: self.store.live() as u64,
            block_bytes: self.store.bytes_taken() as u64,
            ..self.counts
        }
    }

    /// Lets go of what has lingered or been held long enough.
    fn expire(&mut self, now: Nanos) {
        self.expire_held(now);
        self.forget(now);
    }

    /// Lets go of what has lingered long enough.
    pub(crate) fn forget(&mut self, now: Nanos) {
        self.let_go(now, table::LEAVE_WITH_EVENT);
    }

    /// The same, of each table at most so many entries.
    fn let_go(&mut self, now: Nanos, at_once: usize) {
        self.now = self.now.max(now);
        self.processes.expire(now, at_once, &mut self.store);
        self.connections.expire(now, at_once, &mut self.store);
        self.timeline.sweep(&mut self.store);
    }

    /// Queues a block for every reader.
    pub(crate) fn offer(&mut self, block: BlockIndex, kind: Kind) {
        let bytes = self.store.bytes(block).len();
        for reader in &mut self.readers {
            if reader.offer(block, kind, bytes, &mut self.store) {
                self.signals.raise(reader.id, &mut reader.signalled);
            }
        }
    }

    /// Queues a packet for every reader whose filters it passes.
    pub(crate) fn offer_packet(&mut self, block: BlockIndex, packet: Subject) {
        let bytes = self.store.bytes(block).len();
        for reader in &mut self.readers {
            if reader.offer_packet(block, packet, bytes, &mut self.store) {
                self.signals.raise(reader.id, &mut reader.signalled);
            }
        }
    }

    /// Queues an event of which nothing else is kept, about this process or connection.
    pub(crate) fn tell(
        &mut self,
        bytes: Vec<u8>,
        kind: Kind,
        about: u64,
        at: Nanos,
    ) -> Result<(), OutOfMemory> {
        let block = self.store.insert(bytes, kind, at)?;
        self.store.set_about(block, About::event(about, Role::Plain));
        self.offer(block, kind);
        self.store.release(block);
        Ok(())
    }
}
