//! Connections: what the section has said of each so far, and what of it is written. Memory is limited: closed
//! connections are forgotten first, then those that are not written.

use std::collections::HashMap;
use std::rc::Rc;

use hone_pcapng::{ConnectionEvent, ConnectionEventKind, ConnectionId};

use super::processes::{Process, Processes};

/// Most bytes of the table, approximately.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of an entry, and of an event besides its block, approximately.
const ENTRY_BYTES: usize = 100;
const EVENT_BYTES: usize = 64;
/// Most events of a connection that are kept: beyond, the first and the latest.
const MAX_EVENTS: usize = 8;

#[derive(Debug, Default)]
struct Connection {
    /// Its events, each with its process.
    events: Vec<(Vec<u8>, Option<Rc<Process>>)>,
    is_closed: bool,
    is_written: bool,
}

impl Connection {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.events.iter().map(|(event, _)| EVENT_BYTES + event.capacity()).sum::<usize>()
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_id: HashMap<ConnectionId, Connection>,
    bytes: usize,
    /// Whether some were forgotten for lack of room.
    has_forgotten: bool,
    /// How many events came, and how many were written.
    came: u64,
    written: u64,
}

impl Connections {
    /// Removes all connections, because another section begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether an event was not written.
    pub(super) fn has_left_out(&self) -> bool {
        self.came != self.written
    }

    /// Whether the events of this connection are written.
    pub(super) fn is_written(&self, id: ConnectionId) -> bool {
        self.by_id.get(&id).is_some_and(|connection| connection.is_written)
    }

    /// Takes an event, which `raw` is. Writes it if the connection was written, after its process.
    pub(super) fn event(
        &mut self,
        event: &ConnectionEvent<'_>,
        raw: &[u8],
        processes: &mut Processes,
        out: &mut Vec<u8>,
    ) {
        self.came += 1;
        let is_opened = event.kind == ConnectionEventKind::Opened;
        let known = self.by_id.get(&event.connection);
        if known.is_none() && !is_opened {
            return;
        }
        let process = processes.get(event.process).cloned();
        let connection = entry(&mut self.by_id, &mut self.bytes, event.connection);
        // Another input may have reported it already.
        if connection.events.iter().any(|(known, _)| known == raw) {
            return;
        }
        self.bytes -= connection.bytes();
        if is_opened && connection.is_closed {
            *connection = Connection::default();
        }
        connection.is_closed |= event.kind == ConnectionEventKind::Closed;
        if connection.events.len() == MAX_EVENTS {
            connection.events.remove(1);
        }
        if connection.is_written {
            process.iter().for_each(|process| processes.need_process(process, out));
            self.written += 1;
            out.extend(raw);
        }
        connection.events.push((raw.to_vec(), process));
        self.bytes += connection.bytes();
        if self.bytes > MAX_BYTES {
            self.shrink();
        }
    }

    /// Writes the connection with this id, unless it is written; false: it may have been forgotten.
    pub(super) fn need(&mut self, id: ConnectionId, processes: &mut Processes, out: &mut Vec<u8>) -> bool {
        let is_known = self.by_id.contains_key(&id);
        // Of one that nothing is known of, later events are written.
        let connection = entry(&mut self.by_id, &mut self.bytes, id);
        if !std::mem::replace(&mut connection.is_written, true) {
            for (event, process) in &connection.events {
                process.iter().for_each(|process| processes.need_process(process, out));
                self.written += 1;
                out.extend(event);
            }
        }
        is_known || !self.has_forgotten
    }

    /// Makes room.
    fn shrink(&mut self) {
        self.has_forgotten = true;
        self.retain(|connection| !connection.is_closed);
        if self.bytes > MAX_BYTES / 2 {
            self.retain(|connection| connection.is_written);
        }
        if self.bytes > MAX_BYTES / 2 {
            self.retain(|_| false);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.by_id.retain(|_, connection| keep(connection));
        self.bytes = self.by_id.values().map(Connection::bytes).sum();
    }
}

/// The entry of a connection.
fn entry<'a>(
    by_id: &'a mut HashMap<ConnectionId, Connection>,
    bytes: &mut usize,
    id: ConnectionId,
) -> &'a mut Connection {
    by_id.entry(id).or_insert_with(|| {
        *bytes += ENTRY_BYTES;
        Connection::default()
    })
}

#[cfg(test)]
mod tests {
    use hone_pcapng::ByteOrder;

    use super::*;

    #[test]
    fn the_table_is_bounded_and_says_what_it_has_forgotten() {
        let (mut connections, mut processes) = (Connections::default(), Processes::default());
        let mut out = Vec::new();
        for connection in 0..300_000 {
            for kind in [ConnectionEventKind::Opened, ConnectionEventKind::Closed] {
                let event = ConnectionEvent { connection, kind, ..ConnectionEvent::default() };
                let mut raw = Vec::new();
                event.emit(ByteOrder::Little, &mut raw).unwrap();
                connections.event(&event, &raw, &mut processes, &mut out);
            }
            assert!(connections.bytes <= MAX_BYTES);
            if connection == 0 {
                assert!(connections.need(0, &mut processes, &mut out));
            }
        }
        let before = out.len();
        assert!(connections.need(299_999, &mut processes, &mut out) && out.len() > before);
        assert!(!connections.need(1, &mut processes, &mut out), "it was forgotten");
        connections.clear();
        assert_eq!(connections.bytes, 0);
        assert!(connections.need(1, &mut processes, &mut out), "nobody knew it");
    }
}
