//! The id lists that a connection has set: kept until it attaches, for the reader then takes them over from the first
//! packet on. Owned by the connection; also counts lists and ids for the memory report.

use std::sync::atomic::Ordering::Relaxed;

use hone_api::limits::MAX_FILTER_IDS;
use hone_engine::{ConnectionId, Engine, Filter, FilterError, PreparedFilter, ReaderId, UnknownReader};

use crate::hub::Hub;

/// The four lists.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    pub(crate) exclude_connections: Vec<ConnectionId>,
    pub(crate) exclude_processes: Vec<u32>,
    pub(crate) include_connections: Vec<ConnectionId>,
    pub(crate) include_processes: Vec<u32>,
}

impl Filters {
    /// Sets one list, by a function that gives it.
    pub(crate) fn set<T>(&mut self, hub: &Hub, list: impl Fn(&mut Self) -> &mut Vec<T>, ids: Vec<T>) {
        let list = list(self);
        let level = |ids: &Vec<T>| (u64::from(!ids.is_empty()), ids.len() as u64);
        let (before, after) = (level(list), level(&ids));
        hub.id_lists.fetch_add(after.0.wrapping_sub(before.0), Relaxed);
        hub.ids.fetch_add(after.1.wrapping_sub(before.1), Relaxed);
        *list = ids;
    }

    /// Turns all off.
    pub(crate) fn clear(&mut self, hub: &Hub) {
        self.set(hub, |filters| &mut filters.exclude_connections, Vec::new());
        self.set(hub, |filters| &mut filters.exclude_processes, Vec::new());
        self.set(hub, |filters| &mut filters.include_connections, Vec::new());
        self.set(hub, |filters| &mut filters.include_processes, Vec::new());
    }

    /// The lists as the engine takes them: to be made before the lock is taken, and dropped after it.
    pub(crate) fn prepare(&self) -> Result<Prepared, FilterError> {
        let prepare = |filter| PreparedFilter::new(filter, MAX_FILTER_IDS);
        Ok(Prepared([
            prepare(Filter::ExcludeConnections(&self.exclude_connections))?,
            prepare(Filter::ExcludeProcesses(&self.exclude_processes))?,
            prepare(Filter::IncludeConnections(&self.include_connections))?,
            prepare(Filter::IncludeProcesses(&self.include_processes))?,
        ]))
    }
}

/// All four, for a reader; then what it had before.
pub(crate) struct Prepared([PreparedFilter; 4]);

impl Prepared {
    /// Gives them to a reader.
    pub(crate) fn exchange(&mut self, engine: &mut Engine, reader: ReaderId) -> Result<(), UnknownReader> {
        self.0.iter_mut().try_for_each(|filter| engine.exchange_filter(reader, filter))
    }
}
