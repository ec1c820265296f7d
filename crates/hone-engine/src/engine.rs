//! The engine: what an embedder calls. Owns the tables, the block store, the readers and the counts; the work on
//! events is in `process`, `connection` and `packet`, that on sections in `section`.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    AttachError, Config, ConnectionId, Event, EventError, MIN_RING_BYTES, Nanos, OutOfMemory, PerKind,
    ProcessKey, RING_SLOT_BYTES, Read, ReadError, ReaderId, ReaderOptions, ReaderStatistics, RestartError,
    SectionInfo, SourceDrops, Statistics,
    block::{BlockIndex, Store},
    grow,
    packet::kept_bytes,
    reader::Reader,
    section,
    statistics::Kind,
    table::Table,
};

/// Ties packets to connections and processes, and queues them as blocks for any number of readers.
///
/// No method blocks, reads a clock or aborts when memory runs out. Times are [`Nanos`]; each `now` and each event's
/// time should not go backwards by much, else what lingers stays longer, or leaves earlier.
pub struct Engine {
    pub(crate) info: SectionInfo,
    pub(crate) store: Store,
    /// By process id; what tells reused ids apart is the start.
    pub(crate) processes: Table<u32, Nanos>,
    /// By connection id; with the owner.
    pub(crate) connections: Table<ConnectionId, Option<ProcessKey>>,
    pub(crate) readers: Vec<Reader>,
    /// Most bytes of a packet's data that any reader wants.
    pub(crate) keep: u32,
    /// The section header, the same for all sections.
    pub(crate) header: BlockIndex,
    pub(crate) counts: Statistics,
    max_readers: u32,
    max_ring_bytes: usize,
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
    /// There is no memory for a section header.
    pub fn new(config: Config) -> Result<Self, OutOfMemory> {
        let mut store = Store::new(config.max_block_bytes);
        let header = store.insert(section::header(&config.section)?, Kind::Frame, 0)?;
        Ok(Self {
            info: config.section,
            store,
            processes: Table::new(config.max_processes, config.process_linger, EventError::TooManyProcesses),
            connections: Table::new(
                config.max_connections,
                config.connection_linger,
                EventError::TooManyConnections,
            ),
            readers: Vec::new(),
            keep: 0,
            header,
            counts: Statistics::default(),
            max_readers: config.max_readers,
            max_ring_bytes: config.max_ring_bytes,
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
                (Kind::Process, self.process_started(start))
            }
            Event::ProcessEnded { process, at } => {
                self.counts.received.processes += 1;
                (Kind::Process, self.process_ended(process, at))
            }
            Event::ConnectionOpened { connection, owner, at } => {
                self.counts.received.connections += 1;
                (Kind::Connection, self.connection_opened(connection, owner, at))
            }
            Event::ConnectionClosed { connection, process, at } => {
                self.counts.received.connections += 1;
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
    /// seen happening is newer than what was listed. List within the linger time of [`Config`], or what ended since
    /// the listing comes back. Other events are handled.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle).
    pub fn restate(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        match *event {
            Event::ProcessStarted(ref start) if self.processes.get(start.process.pid).is_some() => {
                self.counts.received.processes += 1;
                self.counts.ignored.processes += 1;
                Ok(())
            }
            Event::ConnectionOpened { connection, .. } if self.connections.get(connection).is_some() => {
                self.counts.received.connections += 1;
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

    /// Attaches a reader. It begins with a section of the state at this moment, stated at `now`.
    ///
    /// # Errors
    /// An option is out of range, there are too many readers, or there is no memory.
    pub fn attach(&mut self, options: &ReaderOptions, now: Nanos) -> Result<ReaderId, AttachError> {
        if self.readers.len() >= usize::try_from(self.max_readers).unwrap_or(usize::MAX) {
            return Err(AttachError::TooManyReaders);
        }
        let max = 1 << self.max_ring_bytes.max(MIN_RING_BYTES).ilog2();
        if !(MIN_RING_BYTES..=max).contains(&options.ring_bytes) {
            return Err(AttachError::RingBytes { min: MIN_RING_BYTES, max });
        }
        let slots = options.ring_bytes.next_power_of_two() / RING_SLOT_BYTES;
        self.readers.try_reserve(1).map_err(OutOfMemory::from)?;
        let id = ReaderId(self.counts.readers_total);
        let mut reader = Reader::new(id, slots, options.pinned_bytes, options.snap_length, now)?;
        reader.begin(self.section(options.snap_length)?, self.dropped_before());
        grow::push(&mut self.readers, reader)?;
        self.counts.readers_total += 1;
        self.keep = self.keep.max(kept_bytes(options.snap_length));
        Ok(id)
    }

    /// Fills `buffer` with what waits for the reader: as many whole blocks as fit. A block larger than all of `buffer`
    /// goes in parts; with a buffer larger than the largest block every read ends at the end of a block.
    ///
    /// # Errors
    /// The reader is not attached, or `buffer` is empty.
    pub fn read(&mut self, reader: ReaderId, buffer: &mut [u8], now: Nanos) -> Result<Read, ReadError> {
        self.expire(now);
        let index = self.index(reader).ok_or(ReadError::UnknownReader)?;
        if buffer.is_empty() {
            return Err(ReadError::EmptyBuffer);
        }
        Ok(self.readers[index].read(buffer, &mut self.store))
    }

    /// Ends the reader's section behind what is queued for it, and begins another with the state at this moment: the
    /// reader reads the rest of its section, the section's statistics block, one [`Read::SectionEnd`], and then the
    /// new section. Nothing is lost or told twice but that state.
    ///
    /// # Errors
    /// The reader is not attached, has not come to its last mark yet, or there is no memory. Then nothing has changed.
    pub fn mark_restart(&mut self, reader: ReaderId, now: Nanos) -> Result<(), RestartError> {
        let index = self.index(reader).ok_or(RestartError::UnknownReader)?;
        let reader = &self.readers[index];
        if reader.is_marked() {
            return Err(RestartError::Pending);
        }
        let dropped_before = self.dropped_before();
        let (began, totals) = reader.section_totals(dropped_before);
        let statistics = section::statistics(began, now, &totals)?;
        let next = self.section(reader.snap_length)?;
        match self.store.insert(statistics, Kind::Frame, now) {
            Ok(statistics) => {
                self.readers[index].mark(statistics, next, dropped_before, now);
                Ok(())
            }
            Err(error) => {
                next.release(&mut self.store);
                Err(error.into())
            }
        }
    }

    /// Detaches a reader; what it has not read is given up. Does nothing if it is not attached.
    pub fn detach(&mut self, reader: ReaderId) {
        if let Some(index) = self.index(reader) {
            self.readers.swap_remove(index).release(&mut self.store);
            self.keep = self.readers.iter().map(|reader| kept_bytes(reader.snap_length)).max().unwrap_or(0);
        }
    }

    /// What the reader got so far; `None` if it is not attached. Takes time in proportion to what is queued.
    #[must_use]
    pub fn reader_statistics(&self, reader: ReaderId) -> Option<ReaderStatistics> {
        self.index(reader).map(|index| self.readers[index].statistics(&self.store))
    }

    /// What the engine did so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            processes: self.processes.live() as u64,
            connections: self.connections.live() as u64,
            readers: self.readers.len() as u64,
            blocks: self.store.live() as u64,
            block_bytes: self.store.bytes_taken() as u64,
            ..self.counts
        }
    }

    /// Everything lost before any reader could be told.
    fn dropped_before(&self) -> PerKind {
        self.counts.dropped_by_source.plus(self.counts.lost)
    }

    /// Lets go of what has lingered long enough.
    fn expire(&mut self, now: Nanos) {
        self.processes.expire(now, &mut self.store);
        self.connections.expire(now, &mut self.store);
    }

    fn index(&self, reader: ReaderId) -> Option<usize> {
        self.readers.iter().position(|candidate| candidate.id == reader)
    }

    /// Queues a block for every reader.
    pub(crate) fn offer(&mut self, block: BlockIndex, kind: Kind) {
        let bytes = self.store.bytes(block).len();
        for reader in &mut self.readers {
            reader.offer(block, kind, bytes, &mut self.store);
        }
    }

    /// Queues a block of which nothing else is kept.
    pub(crate) fn tell(&mut self, bytes: Vec<u8>, kind: Kind, at: Nanos) -> Result<(), OutOfMemory> {
        let block = self.store.insert(bytes, kind, at)?;
        self.offer(block, kind);
        self.store.release(block);
        Ok(())
    }
}
