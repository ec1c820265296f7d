//! The engine. This module has the calls for sensors ([`handle`](Engine::handle), [`tick`](Engine::tick)), `control`
//! those for readers, and `attribution` decides which process owns a packet. The engine owns the tables, the held
//! packets and the queue manager, and passes each event to them.

mod attribution;
mod control;
pub(crate) mod new_selection;

use core::fmt;

use crate::{
    Config, ConnectionId, Event, EventError, Method, Nanos, NoOwner, OutOfMemory, ProcessKey, SourceDrops,
    Statistics,
    held::{HeldPackets, Policy},
    readers::{correction::Correction, queues::Queues},
    statistics::Kind,
    tables::{Tables, table},
};

/// Attributes packets to connections and processes, and queues them as blocks for any number of readers.
///
/// No method blocks, reads a clock or aborts when memory runs out. Times are [`Nanos`]. The `now` arguments and the
/// times of events should not go backwards by much, else lingering entries expire too late or too early.
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

    /// Records an event, and queues it for every reader. An event that reports nothing new is ignored and counted as
    /// such: the end of a process or connection that is not known or has ended already, the fork of a process that is
    /// known already, or the opening of a connection that is open with the same owner.
    ///
    /// # Errors
    /// The event could not be recorded, and is counted as lost. The tables still agree with the events that readers
    /// read.
    pub fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        if let Event::Expected(connections) = *event {
            self.tables.expect(connections);
            return Ok(());
        }
        self.expire(event.at());
        let (kind, result) = match *event {
            Event::Expected(_) => return Ok(()),
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
            Event::ProcessHashed { process, hash, at } => {
                (Kind::Process, self.tables.process_hashed(process, hash, at, &mut self.queues))
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

    /// Records a running process or an open connection from a listing that was made when the sensor started. Works like
    /// [`handle`](Self::handle), except that the event is ignored if the process id or the connection is known already,
    /// even as ended: events that the sensor saw are newer than the listing. Only an open connection without an owner
    /// gets the listed owner. Hand over the whole listing within the linger times of [`Config`]; else an entry that has
    /// ended since then, and has expired, would be recorded as running again. Other kinds of events are passed to
    /// `handle`.
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
                    .is_some_and(|known| known.ended().is_some() || known.identity.is_some()) =>
            {
                self.queues.counts.received.connections += 1;
                self.queues.counts.connection_opens += 1;
                self.queues.counts.ignored.connections += 1;
                Ok(())
            }
            _ => self.handle(event),
        }
    }

    /// Sets how many events the platform has lost so far: running totals, not differences.
    pub const fn report_source_drops(&mut self, totals: SourceDrops) {
        self.queues.counts.dropped_by_source = totals;
    }

    /// Sets how many packets the platform has left out so far, because no reader's selection wants them: a running total.
    /// They count as received and filtered for each reader that is attached now. So report it before a reader attaches or
    /// detaches.
    pub fn report_filtered_by_source(&mut self, total: u64) {
        self.queues.report_filtered_by_source(total);
    }

    /// Expires held packets and ended entries that have waited long enough at `now`. Call it while there are no events.
    /// `now` must not be later than the last fully delivered instant: an event before `now` that comes afterwards may
    /// name the owner of a packet that has then expired. Returns the next deadline: call this again no later than that.
    /// `None`: no packet is held.
    pub fn tick(&mut self, now: Nanos) -> Option<Nanos> {
        self.policy().expire(now);
        self.expire_tables(now, table::EXPIRE_WHEN_IDLE);
        self.held.next_expiry()
    }

    /// Queues all held packets now, without waiting longer for their owners. Call it at the end of a recording, so that
    /// the recording includes them. The engine does the same when the last reader detaches.
    pub fn flush_held(&mut self) {
        self.policy().give_up_all();
    }

    /// Whether [`Event::Expected`] makes the next packets cheaper: so many connections are known that their entries are not in
    /// the processor's cache. Else it is ignored, and looking ahead costs more than it spares.
    #[must_use]
    pub fn wants_expected(&self) -> bool {
        self.tables.gains_by_expecting()
    }

    /// The running process with this id; `None`: no such process is known.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<ProcessKey> {
        let known = self.tables.process(pid).filter(|known| known.ended().is_none())?;
        Some(ProcessKey { pid, start: known.identity.start })
    }

    /// The engine's counts and levels up to now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.tables.statistics(self.held.statistics(self.queues.statistics()))
    }

    const fn policy(&mut self) -> Policy<'_> {
        Policy { held: &mut self.held, tables: &self.tables, queues: &mut self.queues }
    }

    /// Expires held packets and ended entries that have waited long enough at `now`.
    fn expire(&mut self, now: Nanos) {
        self.policy().expire(now);
        self.expire_tables(now, table::EXPIRE_WITH_EVENT);
    }

    /// Expires ended entries that have lingered long enough at `now`, at most `at_once` of each table. Looks at as many
    /// open connections, and forgets those that were silent for too long.
    fn expire_tables(&mut self, now: Nanos, at_once: usize) {
        self.queues.advance(now);
        self.tables.expire(now, at_once, &mut self.queues.store);
        if self.tables.has_turn(now) {
            self.forget_silent(now, at_once);
        }
    }

    #[cold]
    fn forget_silent(&mut self, now: Nanos, mut looks: usize) {
        while let Some(connection) = self.tables.silent(now, &mut looks) {
            self.forget(connection, now);
        }
    }

    /// Forgets an open connection. Its held packets leave first, so that they come before the close event.
    fn forget(&mut self, connection: ConnectionId, now: Nanos) {
        self.policy().give_up(connection, NoOwner::UnknownSocket);
        if self.tables.connection_forgotten(connection, now, &mut self.queues).is_err() {
            self.queues.counts.lost.connections += 1;
        }
    }

    /// A connection was opened, or another process became its owner. Held packets that wait for its owner leave after
    /// that.
    fn connection_opened(
        &mut self,
        connection: ConnectionId,
        owner: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        if let Some(silent) = self.tables.evictable(connection, at) {
            self.forget(silent, at);
        }
        let result = self.tables.connection_opened(connection, owner, at, &mut self.queues);
        if let Some(owner) = owner {
            let owner = (owner, Method::Connection);
            self.policy().hand_over_asked(connection, owner);
        }
        result
    }

    /// A connection was closed. Its held packets leave first, so that they come before the close event.
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
