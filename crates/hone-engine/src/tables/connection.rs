//! Connection events: what they do to the connection table and what readers are told. Called by [`Engine::handle`],
//! under the embedder's one lock.

use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind};

use crate::{
    ConnectionId, Engine, EventError, Method, Nanos, NoOwner, ProcessKey,
    blocks::{About, Role, encode},
    statistics::Kind,
};

/// What connection events name when no process is known; also the kernel's own id.
const NO_PROCESS: u32 = 0;

impl Engine {
    /// A connection was opened, or goes to another owner. What was held for want of one follows.
    pub(crate) fn connection_opened(
        &mut self,
        connection: ConnectionId,
        owner: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        let result = self.open(connection, owner, at);
        if let Some(owner) = owner {
            self.release_asked(connection, (owner, Method::Connection));
        }
        result
    }

    fn open(
        &mut self,
        connection: ConnectionId,
        owner: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        let known = self.connections.get(connection);
        let was_open = known.is_some_and(|known| known.ended.is_none());
        if was_open && known.is_some_and(|known| owner.is_none() || owner == known.identity) {
            self.counts.ignored.connections += 1;
            return Ok(());
        }
        let bytes = encode(&event(connection, owner, at, ConnectionEventKind::Opened))?;
        self.connections.make_room(connection, &mut self.store)?;
        let block = self.store.insert(bytes, Kind::Connection, at)?;
        let role = if was_open { Role::Plain } else { Role::Begins };
        self.store.set_about(block, About::event(connection, role));
        self.connections.insert(connection, owner, block, &mut self.store, &mut self.timeline)?;
        self.offer(block, Kind::Connection);
        Ok(())
    }

    /// A connection was closed. It stays known for a while.
    pub(crate) fn connection_closed(
        &mut self,
        connection: ConnectionId,
        process: Option<ProcessKey>,
        at: Nanos,
    ) -> Result<(), EventError> {
        let Some(known) = self.connections.get(connection).filter(|known| known.ended.is_none()) else {
            self.counts.ignored.connections += 1;
            return Ok(());
        };
        let process = process.or(known.identity);
        self.give_up(connection, NoOwner::UnknownSocket);
        self.connections.end(connection, at, &mut self.store, &mut self.timeline);
        if self.readers.is_empty() {
            return Ok(());
        }
        let bytes = encode(&event(connection, process, at, ConnectionEventKind::Closed))?;
        self.tell(bytes, Kind::Connection, connection, at)?;
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
