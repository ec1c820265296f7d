//! What a recording follows, besides time and signals: the processes of a command.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hone_engine::BYTE_ORDER;
use hone_pcapng::view;
use hone_pcapng::{ConnectionEvent, ConnectionEventKind, ProcessEvent, ProcessEventKind, block};

/// How often processes are looked for whose end was not recorded.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What sees the blocks of a recording, and says when it is over.
pub trait Companion {
    /// Called once everything that happens is recorded and the output takes it.
    fn begun(&mut self);

    /// Called with all blocks that are written.
    fn note(&mut self, blocks: &[u8]);

    /// Called in each round of the loop. Returns whether the recording is over.
    fn is_over(&mut self) -> bool;
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    With(u8),
    /// By this signal.
    BySignal(i32),
}

impl Ended {
    /// The exit status as shells have it.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::With(status) => status,
            Self::BySignal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// The processes that descend from a command, while they run, and the connections that these have opened.
#[derive(Debug)]
pub struct Family {
    pids: HashSet<u32>,
    connections: HashSet<u64>,
    /// How long connections that are still open are waited for.
    linger: Duration,
    /// When the last process ended.
    last: Option<Instant>,
    looked: Instant,
}

impl Family {
    /// The family of one process.
    #[must_use]
    pub fn of(pid: u32, linger: Duration) -> Self {
        let (pids, connections) = (HashSet::from([pid]), HashSet::new());
        Self { pids, connections, linger, last: None, looked: Instant::now() }
    }

    /// Notes which processes begin and end, and what they open and close.
    pub fn note(&mut self, blocks: &[u8]) {
        for found in view::blocks(blocks, BYTE_ORDER) {
            match found.kind() {
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(found.body(), BYTE_ORDER) {
                        self.process(&event);
                    }
                }
                block::CONNECTION => {
                    if let Some(event) = found.connection() {
                        self.connection(&event);
                    }
                }
                _ => {}
            }
        }
    }

    fn process(&mut self, event: &ProcessEvent<'_>) {
        match event.kind {
            ProcessEventKind::Ended => {
                self.pids.remove(&event.process);
            }
            _ if event.parent.is_some_and(|parent| self.pids.contains(&parent)) => {
                self.pids.insert(event.process);
            }
            _ => {}
        }
    }

    fn connection(&mut self, event: &ConnectionEvent<'_>) {
        match event.kind {
            ConnectionEventKind::Closed => {
                self.connections.remove(&event.connection);
            }
            ConnectionEventKind::Opened if self.pids.contains(&event.process) => {
                self.connections.insert(event.connection);
            }
            _ => {}
        }
    }

    /// How many of its processes run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.pids.len()
    }

    /// Whether no process runs and no connection is open, or connections were waited for long enough. `exists`: whether
    /// there is a process with this id; it is asked from time to time, as the event of an end can be lost.
    pub fn is_gone(&mut self, exists: impl Fn(u32) -> bool) -> bool {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.pids.retain(|pid| exists(*pid));
        }
        if !self.pids.is_empty() {
            return false;
        }
        let last = *self.last.get_or_insert_with(Instant::now);
        self.connections.is_empty() || last.elapsed() >= self.linger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(family: &mut Family, pid: u32, kind: ProcessEventKind, parent: u32) {
        let event = ProcessEvent { process: pid, kind, parent: Some(parent), ..ProcessEvent::default() };
        let mut bytes = Vec::new();
        event.emit(BYTE_ORDER, &mut bytes).unwrap();
        family.note(&bytes);
    }

    fn connection(family: &mut Family, connection: u64, process: u32, kind: ConnectionEventKind) {
        let event = ConnectionEvent { connection, process, kind, ..ConnectionEvent::default() };
        let mut bytes = Vec::new();
        event.emit(BYTE_ORDER, &mut bytes).unwrap();
        family.note(&bytes);
    }

    #[test]
    fn a_daemon_outlives_its_parents_and_their_connections_are_waited_for() {
        use ConnectionEventKind::{Closed, Opened};
        use ProcessEventKind::{Ended, Forked, Started};
        let mut family = Family::of(10, Duration::from_secs(3600));
        process(&mut family, 11, Forked, 10);
        process(&mut family, 12, Forked, 11);
        process(&mut family, 50, Forked, 1);
        process(&mut family, 12, Started, 11);
        connection(&mut family, 7, 12, Opened);
        connection(&mut family, 8, 50, Opened);
        process(&mut family, 11, Ended, 0);
        process(&mut family, 10, Ended, 0);
        assert_eq!((family.running(), family.is_gone(|_| true)), (1, false));
        process(&mut family, 12, Ended, 0);
        assert!(!family.is_gone(|_| true), "its connection is open");
        connection(&mut family, 7, 12, Closed);
        assert!(family.is_gone(|_| true));
    }

    #[test]
    fn an_end_that_was_not_recorded_does_not_keep_it_for_ever() {
        let mut family = Family::of(10, Duration::ZERO);
        family.looked = Instant::now() - 2 * LOOK_EVERY;
        assert!(family.is_gone(|_| false));
    }
}
