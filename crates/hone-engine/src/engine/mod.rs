//! The engine: what a sensor calls ([`handle`](Engine::handle), [`tick`](Engine::tick)) and, in `control`, what readers
//! call. Owns the tables, the held packets and the queue manager, and leads each event through them; how a packet is
//! attributed is in `attribution`.

mod attribution;
mod control;

use core::fmt;

use crate::{
    Config, ConnectionId, Event, EventError, Method, Nanos, NoOwner, OutOfMemory, ProcessKey, SourceDrops,
    Statistics,
    held::{HeldPackets, Policy},
    readers::{correction::Correction, queues::Queues},
    statistics::Kind,
    tables::{Tables, table},
};

/// Ties packets to connections and processes, and queues them as blocks for any number of readers.
///
/// No method blocks, reads a clock or aborts when memory runs out. Times are [`Nanos`]; each `now` and each event's
/// time should not go backwards by much, else what lingers expires later, or earlier.
pub struct Engine {
    tables: Tables,
    held: HeldPackets,
    queues: Queues,
    /// Most ids in one list of a reader's filters.
    max_filter_ids: usize,
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
        let tables = Tables::new(&config)?;
        let queues = Queues::new(&config, tables.bound())?;
        Ok(Self { tables, held: HeldPackets::new(&config), queues, max_filter_ids: config.max_filter_ids })
    }

    /// Records what happened, and queues it for every reader. An event that reports nothing new is ignored and counted: the
    /// end of what is not known or has ended, a fork of what is known, the opening of what is open with the same owner.
    ///
    /// # Errors
    /// The event could not be recorded, and is counted as lost. The tables still agree with the events that readers read.
    pub fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        self.expire(event.at());
        let (kind, result) = match *event {
            Event::Packet(ref packet) => {
                self.queues.counts.received.packets += 1;
                (Kind::Packet, self.packet(packet))
            }
            Event::ProcessStarted(ref start) => {
                self.queues.counts.received.processes += 1;
                self.queues.counts.process_starts += 1;
                (Kind::Process, self.tables.process_started(start, &mut self.queues))
            }
            Event::ProcessEnded { process, at } => {
                self.queues.counts.received.processes += 1;
                self.queues.counts.process_ends += 1;
                (Kind::Process, self.tables.process_ended(process, at, &mut self.queues))
            }
            Event::ConnectionOpened { connection, owner, at } => {
                self.queues.counts.received.connections += 1;
                self.queues.counts.connection_opens += 1;
                (Kind::Connection, self.connection_opened(connection, owner, at))
            }
            Event::ConnectionUsed { connection, process, used, at } => {
                self.policy().used(connection, process, used, at);
                return Ok(());
            }
            Event::Corrected { connection, direction, packets, attribution, at } => {
                let correction = Correction { connection, direction, packets, attribution };
                (Kind::Connection, self.policy().correct(&correction, at))
            }
            Event::DatagramDropped { connection, number, .. } => {
                self.policy().datagram_dropped(connection, number);
                return Ok(());
            }
            Event::ConnectionClosed { connection, process, at } => {
                self.queues.counts.received.connections += 1;
                self.queues.counts.connection_closes += 1;
                (Kind::Connection, self.connection_closed(connection, process, at))
            }
        };
        if result.is_err() {
            kind.count(&mut self.queues.counts.lost);
        }
        result
    }

    /// Records a running process or an open connection from a listing that was made at the sensor's start, like
    /// [`handle`](Self::handle). But it is ignored if the process id or the connection is known already, even as ended: what
    /// was seen to happen is newer than the listing. Only an open connection without an owner takes the listed one. List
    /// within the linger time of [`Config`], else what has ended since the listing comes back. Other events are handled.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle).
    pub fn restate(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        match *event {
            Event::ProcessStarted(ref start) if self.tables.process(start.process.pid).is_some() => {
                self.queues.counts.received.processes += 1;
                self.queues.counts.process_starts += 1;
                self.queues.counts.ignored.processes += 1;
                Ok(())
            }
            Event::ConnectionOpened { connection, .. }
                if self
                    .tables
                    .connection(connection)
                    .is_some_and(|known| known.ended.is_some() || known.identity.is_some()) =>
            {
                self.queues.counts.received.connections += 1;
                self.queues.counts.connection_opens += 1;
                self.queues.counts.ignored.connections += 1;
                Ok(())
            }
            _ => self.handle(event),
        }
    }

    /// Sets how much the platform has lost so far: running totals, not differences.
    pub const fn report_source_drops(&mut self, totals: SourceDrops) {
        self.queues.counts.dropped_by_source = totals;
    }

    /// Expires what has had its time at `now`: for when nothing happens. `now` must not be later than the last instant of
    /// which everything has been reported, else packets expire whose owner is about to be reported. Returns when the next
    /// held packet expires, which is when to call this again at the latest; `None` if none is held.
    pub fn tick(&mut self, now: Nanos) -> Option<Nanos> {
        self.policy().expire(now);
        self.expire_tables(now, table::EXPIRE_WHEN_IDLE);
        self.held.next_expiry()
    }

    /// Ends the wait of all held packets: at the end of a recording, so that they are still in it.
    /// Also done when the last reader detaches.
    pub fn flush_held(&mut self) {
        self.policy().give_up_all();
    }

    /// The running process with this id.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<ProcessKey> {
        let known = self.tables.process(pid).filter(|known| known.ended.is_none())?;
        Some(ProcessKey { pid, start: known.identity.start })
    }

    /// What the engine did so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.tables.statistics(self.held.statistics(self.queues.statistics()))
    }

    const fn policy(&mut self) -> Policy<'_> {
        Policy { held: &mut self.held, tables: &self.tables, queues: &mut self.queues }
    }

    /// Expires what has lingered or been held long enough.
    fn expire(&mut self, now: Nanos) {
        self.policy().expire(now);
        self.expire_tables(now, table::EXPIRE_WITH_EVENT);
    }

    /// Expires what has lingered long enough, of each table at most `at_once` entries.
    fn expire_tables(&mut self, now: Nanos, at_once: usize) {
        self.queues.advance(now);
        self.tables.expire(now, at_once, &mut self.queues.store);
    }

    /// A connection was opened, or goes to another owner. Held packets that waited for its owner follow.
    fn connection_opened(
        &mut self,
        connection: ConnectionId,
        owner: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        let result = self.tables.connection_opened(connection, owner, at, &mut self.queues);
        if let Some(owner) = owner {
            let owner = (owner, Method::Connection);
            self.policy().hand_over_asked(connection, owner);
        }
        result
    }

    /// A connection was closed. Its held packets leave before that.
    fn connection_closed(
        &mut self,
        connection: ConnectionId,
        process: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        if self.tables.is_open(connection) {
            self.policy().give_up(connection, NoOwner::UnknownSocket);
        }
        self.tables.connection_closed(connection, process, at, &mut self.queues)
    }
}
