//! Connection events: changes the connection table and encodes the events as blocks. Called by
//! [`Engine::handle`](crate::Engine::handle), under the embedder's one lock.

use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind};

use crate::{
    ConnectionId, EventError, Nanos, ProcessKey,
    blocks::{About, Role, encode},
    readers::queues::Queues,
    statistics::Kind,
    tables::{Running, Tables, table::Table},
};

/// The process id in a connection event if no process is known. The kernel itself has the same id.
const NO_PROCESS: u32 = 0;

impl Tables {
    /// A connection was opened, or another process became its owner.
    pub(crate) fn connection_opened(
        &mut self,
        connection: ConnectionId,
        owner: Option<ProcessKey>,
        at: Nanos,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let known = self.connections.hear(connection, at);
        let was_open = known.is_some_and(|known| known.ended().is_none());
        if was_open && known.is_some_and(|known| owner.is_none() || owner == known.identity) {
            queues.counts.ignored.connections += 1;
            return Ok(());
        }
        let bytes = encode(&event(connection, owner, at, ConnectionEventKind::Opened))?;
        self.connections.make_room(connection, &mut queues.store)?;
        let role = if was_open { Role::Plain } else { Role::Begins };
        let about = About::event(connection, role);
        let block = queues.store.insert(bytes, Kind::Connection, at, about)?;
        self.connections.insert(connection, owner, block, at, &mut queues.store, &mut self.timeline)?;
        queues.offer(block, Kind::Connection);
        Ok(())
    }

    /// A connection was closed. It stays known for a while.
    pub(crate) fn connection_closed(
        &mut self,
        connection: ConnectionId,
        process: Option<ProcessKey>,
        at: Nanos,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let Some(known) = self.connection(connection).filter(|known| known.ended().is_none()) else {
            queues.counts.ignored.connections += 1;
            return Ok(());
        };
        let process = process.or(known.identity);
        self.connections.end(connection, at, &mut queues.store, &mut self.timeline);
        offer_closed(connection, process, at, queues)
    }

    /// Whether [`silent`](Self::silent) has a connection to look at.
    #[inline]
    pub(crate) const fn has_turn(&self, now: Nanos) -> bool {
        self.connections.has_turn(now, self.silence)
    }

    /// The next connection to be forgotten at `now`, of those whose turn has come: nothing was heard of it for
    /// `Config::connection_silence` and nobody owns it, or for `Config::orphan_silence` and its owner has ended.
    /// Looks at no more than `looks` connections, and counts it down.
    pub(crate) fn silent(&mut self, now: Nanos, looks: &mut usize) -> Option<ConnectionId> {
        let Self { processes, connections, silence, orphan_silence, .. } = self;
        connections.silent(now, *silence, looks, |owner, silent| {
            silent >= *silence
                && (owner.is_none() || silent >= *orphan_silence && has_ended(*owner, processes))
        })
    }

    /// A connection to be forgotten if the table has no room for `connection`, and nothing has ended: one that nobody
    /// owns, or whose owner has ended, or of which nothing was heard for `Config::orphan_silence`.
    pub(crate) fn evictable(&mut self, connection: ConnectionId, now: Nanos) -> Option<ConnectionId> {
        let Self { processes, connections, orphan_silence, .. } = self;
        connections.evictable(connection, now, |owner, silent| {
            owner.is_none() || silent >= *orphan_silence || has_ended(*owner, processes)
        })
    }

    /// Forgets an open connection. Readers see it closed.
    pub(crate) fn connection_forgotten(
        &mut self,
        connection: ConnectionId,
        at: Nanos,
        queues: &mut Queues,
    ) -> Result<(), EventError> {
        let owner = self.connection(connection).and_then(|known| known.identity);
        self.connections.forget(connection, &mut queues.store, &mut self.timeline);
        queues.counts.forgotten += 1;
        offer_closed(connection, owner, at, queues)
    }
}

/// Whether a connection's owner has ended. A process without a start time is known only by its id: it may run, though
/// the table does not have it. Any other was in the table once.
fn has_ended(owner: Option<ProcessKey>, processes: &Table<u32, Running>) -> bool {
    let Some(ProcessKey { pid, start }) = owner else { return false };
    match processes.get(pid) {
        Some(known) => known.identity.start != start || known.ended().is_some(),
        None => start != 0,
    }
}

fn offer_closed(
    connection: ConnectionId,
    process: Option<ProcessKey>,
    at: Nanos,
    queues: &mut Queues,
) -> Result<(), EventError> {
    if !queues.has_readers() {
        return Ok(());
    }
    let bytes = encode(&event(connection, process, at, ConnectionEventKind::Closed))?;
    queues.offer_event(bytes, Kind::Connection, connection, at)?;
    Ok(())
}

fn event(
    connection: ConnectionId,
    process: Option<ProcessKey>,
    timestamp: Nanos,
    kind: ConnectionEventKind,
) -> Block<'static> {
    let process = process.map_or(NO_PROCESS, |process| process.pid);
    Block::Connection(ConnectionEvent { connection, process, timestamp, kind, ..ConnectionEvent::default() })
}
