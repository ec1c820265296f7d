//! Connection events: changes the connection table and encodes the events as blocks. Called by
//! [`Engine::handle`](crate::Engine::handle), under the embedder's one lock.

use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind};

use crate::{
    ConnectionId, EventError, Nanos, ProcessKey,
    blocks::{About, Role, encode},
    readers::queues::Queues,
    statistics::Kind,
    tables::Tables,
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
        let known = self.connections.get(connection);
        let was_open = known.is_some_and(|known| known.ended.is_none());
        if was_open && known.is_some_and(|known| owner.is_none() || owner == known.identity) {
            queues.counts.ignored.connections += 1;
            return Ok(());
        }
        let bytes = encode(&event(connection, owner, at, ConnectionEventKind::Opened))?;
        self.connections.make_room(connection, &mut queues.store)?;
        let block = queues.store.insert(bytes, Kind::Connection, at)?;
        let role = if was_open { Role::Plain } else { Role::Begins };
        queues.store.set_about(block, About::event(connection, role));
        self.connections.insert(connection, owner, block, &mut queues.store, &mut self.timeline)?;
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
        let Some(known) = self.connection(connection).filter(|known| known.ended.is_none()) else {
            queues.counts.ignored.connections += 1;
            return Ok(());
        };
        let process = process.or(known.identity);
        self.connections.end(connection, at, &mut queues.store, &mut self.timeline);
        if !queues.has_readers() {
            return Ok(());
        }
        let bytes = encode(&event(connection, process, at, ConnectionEventKind::Closed))?;
        queues.offer_event(bytes, Kind::Connection, connection, at)?;
        Ok(())
    }
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
