//! Which connections that have ended are selected: the kernel sends and takes packets of a TCP connection after its process
//! has closed it. These name the connection, and no process.

use std::collections::{HashMap, VecDeque};

use hone_pcapng::ConnectionId;
use hone_select::Mark;

/// Most connections that are remembered; the oldest is forgotten first. A recording has such packets for at most ten
/// seconds after the end of a connection.
const MOST: usize = 1 << 16;

/// The marks of the processes that had the connections.
#[derive(Debug, Default)]
pub struct Ended {
    marks: HashMap<ConnectionId, Mark>,
    order: VecDeque<ConnectionId>,
}

impl Ended {
    /// Remembers a connection that is closed.
    pub fn note(&mut self, connection: ConnectionId, mark: Mark) {
        if self.marks.insert(connection, mark).is_some() {
            return;
        }
        self.order.push_back(connection);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.marks.remove(&oldest);
        }
    }

    /// The mark of the process that had this connection.
    pub fn mark(&self, connection: ConnectionId) -> Option<Mark> {
        self.marks.get(&connection).copied()
    }

    /// Forgets all connections, because another section begins.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
        self.order.clear();
    }
}
