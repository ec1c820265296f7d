//! One reader's filters. They let through only the packets of some connections or processes, or all except those. Owns
//! the reader's lists of ids. Called when a packet is queued, under the embedder's one lock.

use alloc::vec::Vec;
use core::mem::swap;

use crate::{
    ConnectionId, FilterError, fallible,
    readers::selection::{Inspected, Selecting},
};

/// One of a reader's four filters, with its new list of ids. An empty list turns the filter off.
///
/// A packet passes if every filter that is on lets it pass. Process and connection events always pass. A list has at
/// most [`Config::max_filter_ids`](crate::Config::max_filter_ids) ids, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter<'a> {
    /// Leaves out the packets of these connections.
    ExcludeConnections(&'a [ConnectionId]),
    /// Leaves out the packets of these processes.
    ExcludeProcesses(&'a [u32]),
    /// Leaves out all packets except those of these connections; packets without a connection are left out too.
    IncludeConnections(&'a [ConnectionId]),
    /// Leaves out all packets except those of these processes; packets without a process are left out too.
    IncludeProcesses(&'a [u32]),
}

/// A [`Filter`] with its list copied and sorted. That takes time in proportion to the list. So a shell makes it before
/// it takes its lock, calls [`Engine::exchange_filter`](crate::Engine::exchange_filter), and frees the former list
/// after it has unlocked the lock.
#[derive(Debug)]
pub struct PreparedFilter(Prepared);

#[derive(Debug)]
enum Prepared {
    ExcludeConnections(Ids<ConnectionId>),
    ExcludeProcesses(Ids<u32>),
    IncludeConnections(Ids<ConnectionId>),
    IncludeProcesses(Ids<u32>),
}

impl PreparedFilter {
    /// How many filters a reader has.
    pub const KINDS: usize = 4;

    /// Prepares a filter of at most `most` ids.
    ///
    /// # Errors
    /// The list is longer, or there is no memory.
    pub fn new(filter: Filter<'_>, most: usize) -> Result<Self, FilterError> {
        Ok(Self(match filter {
            Filter::ExcludeConnections(ids) => Prepared::ExcludeConnections(Ids::new(ids, most)?),
            Filter::ExcludeProcesses(ids) => Prepared::ExcludeProcesses(Ids::new(ids, most)?),
            Filter::IncludeConnections(ids) => Prepared::IncludeConnections(Ids::new(ids, most)?),
            Filter::IncludeProcesses(ids) => Prepared::IncludeProcesses(Ids::new(ids, most)?),
        }))
    }

    /// The filter's index among a reader's filters, from 0 to [`KINDS`](Self::KINDS) - 1.
    #[must_use]
    pub const fn kind(&self) -> usize {
        match self.0 {
            Prepared::ExcludeConnections(_) => 0,
            Prepared::ExcludeProcesses(_) => 1,
            Prepared::IncludeConnections(_) => 2,
            Prepared::IncludeProcesses(_) => 3,
        }
    }

    /// How many ids its list has.
    #[must_use]
    pub const fn ids(&self) -> usize {
        match &self.0 {
            Prepared::ExcludeConnections(ids) | Prepared::IncludeConnections(ids) => ids.0.len(),
            Prepared::ExcludeProcesses(ids) | Prepared::IncludeProcesses(ids) => ids.0.len(),
        }
    }
}

/// The ids of a packet that filters compare: its connection and its process.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) process: Option<u32>,
}

/// Sorted ids. A filter with an empty list is off.
#[derive(Debug)]
struct Ids<T>(Vec<T>);

impl<T: Copy + Ord> Ids<T> {
    fn new(ids: &[T], most: usize) -> Result<Self, FilterError> {
        if ids.len() > most {
            return Err(FilterError::TooMany { most });
        }
        let mut sorted = fallible::copied(ids)?;
        sorted.sort_unstable();
        Ok(Self(sorted))
    }

    fn names(&self, id: Option<T>) -> bool {
        id.is_some_and(|id| self.0.binary_search(&id).is_ok())
    }

    fn admits(&self, id: Option<T>) -> bool {
        self.0.is_empty() || self.names(id)
    }
}

/// The two lists of the exclude filters, or of the include filters.
struct Lists {
    connections: Ids<ConnectionId>,
    processes: Ids<u32>,
}

impl Lists {
    const NONE: Self = Self { connections: Ids(Vec::new()), processes: Ids(Vec::new()) };

    const fn is_empty(&self) -> bool {
        self.connections.0.is_empty() && self.processes.0.is_empty()
    }
}

pub(crate) struct Filters {
    exclude: Lists,
    include: Lists,
    /// Whether any list has an id.
    on: bool,
    selecting: Option<Selecting>,
    /// Whether the selection admits the packet that is being queued.
    is_selected: bool,
}

impl Filters {
    pub(crate) const OFF: Self =
        Self { exclude: Lists::NONE, include: Lists::NONE, on: false, selecting: None, is_selected: true };

    /// Replaces one list. Afterwards `filter` has the former one.
    pub(crate) fn exchange(&mut self, filter: &mut PreparedFilter) {
        match &mut filter.0 {
            Prepared::ExcludeConnections(ids) => swap(&mut self.exclude.connections, ids),
            Prepared::ExcludeProcesses(ids) => swap(&mut self.exclude.processes, ids),
            Prepared::IncludeConnections(ids) => swap(&mut self.include.connections, ids),
            Prepared::IncludeProcesses(ids) => swap(&mut self.include.processes, ids),
        }
        self.on = !(self.exclude.is_empty() && self.include.is_empty());
    }

    /// Whether packets of a connection may pass. The filters of processes are not asked.
    pub(crate) fn pass_connection(&self, connection: ConnectionId) -> bool {
        !self.exclude.connections.names(Some(connection)) && self.include.connections.admits(Some(connection))
    }

    /// The selection, if there is one.
    pub(crate) const fn selecting(&self) -> Option<&Selecting> {
        self.selecting.as_ref()
    }

    /// Replaces the selection. Returns the former one.
    pub(crate) fn exchange_selection(&mut self, new: Option<Selecting>) -> Option<Selecting> {
        let former = core::mem::replace(&mut self.selecting, new);
        self.is_selected = true;
        former
    }

    /// Asks the selection about the packet that is being queued. [`pass`](Self::pass) uses the answer.
    pub(crate) fn inspect(&mut self, packet: &Inspected<'_>) {
        self.is_selected = self.selecting.as_ref().is_none_or(|selecting| selecting.admits(packet));
    }

    /// Whether a packet passes all filters and the selection.
    pub(crate) fn pass(&self, packet: Subject) -> bool {
        self.is_selected && self.pass_lists(packet)
    }

    fn pass_lists(&self, packet: Subject) -> bool {
        !self.on
            || !self.exclude.connections.names(packet.connection)
                && !self.exclude.processes.names(packet.process)
                && self.include.connections.admits(packet.connection)
                && self.include.processes.admits(packet.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Subject = Subject { connection: None, process: None };
    const NAMED: Subject = Subject { connection: Some(1 << 40), process: Some(7) };

    fn passes(filters: &[Filter<'_>]) -> [bool; 2] {
        let mut set = Filters::OFF;
        for &filter in filters {
            set.exchange(&mut PreparedFilter::new(filter, 3).expect("there is memory"));
        }
        [set.pass(PLAIN), set.pass(NAMED)]
    }

    #[test]
    fn a_packet_passes_if_every_filter_lets_it() {
        use Filter::{ExcludeConnections, ExcludeProcesses, IncludeConnections, IncludeProcesses};
        assert_eq!(passes(&[]), [true, true]);
        assert_eq!(passes(&[ExcludeConnections(&[5, 1 << 40, 3])]), [true, false]);
        assert_eq!(passes(&[ExcludeConnections(&[0])]), [true, true]);
        assert_eq!(passes(&[ExcludeProcesses(&[9, 7])]), [true, false]);
        assert_eq!(passes(&[IncludeConnections(&[5, 1 << 40, 3])]), [false, true]);
        assert_eq!(passes(&[IncludeProcesses(&[7, 7])]), [false, true]);
        assert_eq!(passes(&[IncludeProcesses(&[7]), IncludeConnections(&[2])]), [false, false]);
        assert_eq!(passes(&[IncludeProcesses(&[7]), ExcludeConnections(&[1 << 40])]), [false, false]);
        assert_eq!(passes(&[ExcludeProcesses(&[7]), ExcludeProcesses(&[])]), [true, true]);
    }

    #[test]
    fn a_list_too_long_is_refused() {
        let refused = PreparedFilter::new(Filter::ExcludeProcesses(&[1, 2, 3, 4]), 3);
        assert_eq!(refused.err(), Some(FilterError::TooMany { most: 3 }));
    }
}
