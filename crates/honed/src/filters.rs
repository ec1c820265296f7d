//! The filters that a connection has set. They are kept until the connection attaches; then its reader uses them from
//! the first packet on. Owned by the connection. Also counts lists and ids for the memory report.

use std::sync::atomic::Ordering::Relaxed;

use hone_engine::{PreparedFilter, ReaderId};
use hone_queue::{Capture, Queue, Reader};
use hone_select::Selection;

use crate::hub::Hub;

/// The filters of a connection that is not attached yet, by [`PreparedFilter::kind`].
#[derive(Debug, Default)]
pub(crate) struct Filters {
    waiting: [Option<PreparedFilter>; PreparedFilter::KINDS],
    selection: Option<Selection>,
    /// The user, and the bytes of text of its selection, whether it is kept here or by the reader.
    selected: (u32, usize),
    /// How many ids each filter has, whether it is kept here or by the reader.
    ids: [usize; PreparedFilter::KINDS],
}

impl Filters {
    /// Counts a filter that is set.
    pub(crate) fn count(&mut self, hub: &Hub, kind: usize, ids: usize) {
        let level = |ids: usize| (u64::from(ids > 0), ids as u64);
        let (before, after) = (level(self.ids[kind]), level(ids));
        hub.id_lists.fetch_add(after.0.wrapping_sub(before.0), Relaxed);
        hub.ids.fetch_add(after.1.wrapping_sub(before.1), Relaxed);
        self.ids[kind] = ids;
    }

    /// Keeps a filter until the reader is attached.
    pub(crate) fn keep(&mut self, filter: PreparedFilter) {
        let kind = filter.kind();
        self.waiting[kind] = Some(filter);
    }

    /// Keeps a selection until the reader is attached.
    pub(crate) fn keep_selection(&mut self, selection: Option<Selection>) {
        self.selection = selection;
    }

    /// Bytes of text of the selection.
    pub(crate) fn selection_bytes(&self) -> usize {
        self.selected.1
    }

    /// Notes whose selection was set, and its bytes of text.
    pub(crate) fn count_selection(&mut self, user: u32, bytes: usize) {
        self.selected = (user, bytes);
    }

    /// Takes the selection that waits for the reader.
    pub(crate) const fn take_selection(&mut self) -> Option<Selection> {
        self.selection.take()
    }

    /// Hands the filters over to a reader. What is handed back is freed later, without the lock.
    pub(crate) fn hand_over<R: Reader, C: Capture>(&mut self, queue: &mut Queue<R, C>, reader: ReaderId) {
        for filter in &mut self.waiting {
            if let Some(mut filter) = filter.take() {
                // It is attached.
                let _ = queue.engine.exchange_filter(reader, &mut filter);
            }
        }
    }

    /// Turns all filters off.
    pub(crate) fn clear(&mut self, hub: &Hub) {
        self.waiting = Default::default();
        self.selection = None;
        let (user, bytes) = std::mem::take(&mut self.selected);
        hub.selections.put_back(user, bytes, 0);
        for kind in 0..PreparedFilter::KINDS {
            self.count(hub, kind, 0);
        }
    }
}
