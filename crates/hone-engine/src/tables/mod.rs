//! The tables of processes and connections, the timeline of both, from which snapshots are read, and the
//! open-connection list. `process` and `connection` apply events to them; each change is queued for the readers.

mod connection;
pub(crate) mod open_list;
mod process;
mod round;
pub(crate) mod table;
pub(crate) mod timeline;

use crate::{
    Config, ConnectionId, EventError, Nanos, OutOfMemory, ProcessKey, Statistics, blocks::Store,
    readers::selection::Marks, tuple::Tuple,
};
use open_list::OpenList;
use table::{Entry, Table};
use timeline::Timeline;

/// How many connections are known before it pays to load expected ones early. The entries of fewer stay in a processor's
/// second cache (72 bytes each).
const EXPECT_FROM: usize = 16_384;

/// Distinguishes a process from others with the same process id, and what else the table knows of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// [`ProcessKey::start`].
    pub(crate) start: Nanos,
    /// The time of the process's first event.
    pub(crate) born: Nanos,
    /// The parent that it had first. Later events have another one, if that has ended.
    pub(crate) parent: Option<u32>,
    /// What the readers' selections say of it.
    pub(crate) marks: Marks,
}

pub(crate) struct Tables {
    /// By process id.
    processes: Table<u32, Running>,
    /// By connection id; the identity is the owner, if it is known.
    connections: Table<ConnectionId, Option<ProcessKey>>,
    /// The entries of both tables that have not ended, and the snapshots of earlier moments.
    timeline: Timeline,
    open_list: OpenList,
    max_open_connections: usize,
    /// [`Config::connection_silence`].
    silence: Nanos,
    /// [`Config::orphan_silence`].
    orphan_silence: Nanos,
}

impl Tables {
    pub(crate) fn new(config: &Config) -> Result<Self, OutOfMemory> {
        let (processes, connections) = (config.max_processes, config.max_connections);
        let mut tables = Self {
            processes: Table::new(processes, config.process_linger, EventError::TooManyProcesses),
            connections: Table::new(connections, config.connection_linger, EventError::TooManyConnections),
            timeline: Timeline::new(),
            open_list: OpenList::empty(),
            max_open_connections: config.max_open_connections,
            silence: config.connection_silence,
            orphan_silence: config.orphan_silence,
        };
        if config.reserve {
            tables.processes.reserve()?;
            tables.connections.reserve()?;
            tables.timeline.reserve(tables.bound())?;
        }
        Ok(tables)
    }

    /// Most entries of both tables together.
    pub(crate) const fn bound(&self) -> usize {
        self.processes.bound().saturating_add(self.connections.bound())
    }

    /// Expires entries that ended and have lingered long enough at `now`, at most `at_once` of each table.
    pub(crate) fn expire(&mut self, now: Nanos, at_once: usize, store: &mut Store) {
        self.processes.expire(now, at_once, store);
        self.connections.expire(now, at_once, store);
        self.timeline.sweep(store);
    }

    /// `counts`, with the levels of the tables filled in.
    pub(crate) fn statistics(&self, counts: Statistics) -> Statistics {
        Statistics {
            processes: self.processes.live() as u64,
            connections: self.connections.live() as u64,
            known_processes: self.processes.known() as u64,
            known_connections: self.connections.known() as u64,
            ..counts
        }
    }

    pub(crate) const fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// The entry of a process id, ended or not.
    pub(crate) fn process(&self, pid: u32) -> Option<&Entry<u32, Running>> {
        self.processes.get(pid)
    }

    /// The entry of exactly this process, ended or not; `None` also if the process id is another process's.
    pub(crate) fn same_process(&self, process: ProcessKey) -> Option<&Entry<u32, Running>> {
        self.process(process.pid).filter(|known| known.identity.start == process.start)
    }

    /// The entry of a connection, closed or not.
    pub(crate) fn connection(
        &self,
        connection: ConnectionId,
    ) -> Option<&Entry<ConnectionId, Option<ProcessKey>>> {
        self.connections.get(connection)
    }

    /// Like [`connection`](Self::connection), and notes that a packet of it has come at `at`.
    pub(crate) fn hear(
        &mut self,
        connection: ConnectionId,
        at: Nanos,
    ) -> Option<&Entry<ConnectionId, Option<ProcessKey>>> {
        self.connections.hear(connection, at)
    }

    /// See [`Engine::wants_expected`](crate::Engine::wants_expected).
    pub(crate) fn gains_by_expecting(&self) -> bool {
        self.connections.known() >= EXPECT_FROM
    }

    /// See [`Event::Expected`](crate::Event::Expected).
    pub(crate) fn expect(&self, connections: &[ConnectionId]) {
        if self.gains_by_expecting() {
            connections.iter().for_each(|connection| self.connections.touch(*connection));
        }
    }

    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.connection(connection).is_some_and(|known| known.ended().is_none())
    }

    pub(crate) const fn max_open_connections(&self) -> usize {
        self.max_open_connections
    }

    /// Replaces the open-connection list. Afterwards `list` is the former one.
    pub(crate) const fn exchange_open_list(&mut self, list: &mut OpenList) {
        core::mem::swap(&mut self.open_list, list);
    }

    /// Whether the open-connection list has any record.
    pub(crate) fn has_open_list(&self) -> bool {
        !self.open_list.is_empty()
    }

    /// The process that the open-connection list names for packets with this tuple. `None` also if that process is not
    /// in the process table.
    pub(crate) fn listed(&self, tuple: &Tuple) -> Option<ProcessKey> {
        let owner = self.open_list.owner(tuple)?;
        self.same_process(owner).map(|_| owner)
    }
}
