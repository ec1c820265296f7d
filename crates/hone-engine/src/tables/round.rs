//! The round of a [`Table`]: its entries that have not ended, in a ring. The table looks at one after the other, so that
//! it finds those of which nothing was heard for long, and evicts them when there is no room. The ring is a linked
//! list: each entry has the keys of its neighbours. Called under the embedder's one lock.
//!
//! One round takes half the time after which an entry counts as silent. So an entry is found after it was silent for
//! that time, and before it was silent for twice that time, if the table is used often enough.

use core::hash::Hash;

use crate::{
    Nanos,
    blocks::Store,
    tables::{table::Table, timeline::Timeline},
};

/// Most entries that are looked at to make room for one new entry.
const EVICT_LOOKS: usize = 8;

/// The neighbours of an entry. The front has no meaningful `before`, the back no meaningful `after`.
#[derive(Clone, Copy)]
pub(super) struct Links<K> {
    pub(super) before: K,
    pub(super) after: K,
}

/// Front and back of the ring, and when its front is looked at next.
pub(super) struct Round<K> {
    pub(super) ends: Option<(K, K)>,
    next_look: Nanos,
}

impl<K> Round<K> {
    pub(super) const fn new() -> Self {
        Self { ends: None, next_look: 0 }
    }
}

impl<K: Copy + Eq + Hash, I> Table<K, I> {
    /// Puts an entry at the back. It has its links already: its `before` is the former back.
    pub(super) fn link(&mut self, key: K) {
        let Some((front, back)) = self.round.ends else {
            self.round.ends = Some((key, key));
            return;
        };
        if let Some(back) = self.entries.get_mut(&back) {
            back.links.after = key;
        }
        self.round.ends = Some((front, key));
    }

    /// Takes an entry with these links out.
    pub(super) fn unlink(&mut self, key: K, Links { before, after }: Links<K>) {
        let Some((front, back)) = self.round.ends else { return };
        self.round.ends = match (key == front, key == back) {
            (true, true) => None,
            (true, false) => Some((after, back)),
            (false, true) => Some((front, before)),
            (false, false) => Some((front, back)),
        };
        if key != front
            && let Some(before) = self.entries.get_mut(&before)
        {
            before.links.after = after;
        }
        if key != back
            && let Some(after) = self.entries.get_mut(&after)
        {
            after.links.before = before;
        }
    }

    /// Puts the front at the back.
    fn rotate(&mut self) {
        let Some((front, back)) = self.round.ends.filter(|(front, back)| front != back) else { return };
        let Some(entry) = self.entries.get_mut(&front) else { return };
        let links = core::mem::replace(&mut entry.links, Links { before: back, after: front });
        self.unlink(front, links);
        self.link(front);
    }

    /// Whether the turn of the front has come at `now`, or the clock was set back. Called for each event.
    #[inline]
    pub(crate) const fn has_turn(&self, now: Nanos, silence: Nanos) -> bool {
        let wait = self.round.next_look.saturating_sub(now);
        wait == 0 || wait > silence
    }

    /// Looks at the entries whose turn has come at `now`, at most `looks`; counts `looks` down. Returns the first one
    /// for which `is_over` returns true, with the time since it was heard of. It is still in the table.
    pub(crate) fn silent(
        &mut self,
        now: Nanos,
        silence: Nanos,
        looks: &mut usize,
        is_over: impl Fn(&I, Nanos) -> bool,
    ) -> Option<K> {
        let round = silence / 2;
        while *looks > 0
            && let Some((front, _)) = self.round.ends
        {
            if !self.has_turn(now, silence) {
                return None;
            }
            *looks -= 1;
            let step = round / u64::try_from(self.live()).unwrap_or(u64::MAX);
            // What was missed is made up for, but no more than one round.
            let turn = self.round.next_look.clamp(now.saturating_sub(round), now);
            self.round.next_look = turn.saturating_add(step);
            if self.is_front_over(now, &is_over) {
                return Some(front);
            }
            self.rotate();
        }
        None
    }

    /// The first entry for which `is_over` returns true, of those that are looked at for `key`. `None` if there is room
    /// for `key` or none is found.
    pub(crate) fn evictable(&mut self, key: K, now: Nanos, is_over: impl Fn(&I, Nanos) -> bool) -> Option<K> {
        if self.live() < self.bound() || self.get(key).is_some() {
            return None;
        }
        for _ in 0..EVICT_LOOKS {
            let (front, _) = self.round.ends?;
            if self.is_front_over(now, &is_over) {
                return Some(front);
            }
            self.rotate();
        }
        None
    }

    fn is_front_over(&mut self, now: Nanos, is_over: &impl Fn(&I, Nanos) -> bool) -> bool {
        let front = self.round.ends.and_then(|(front, _)| self.entries.get_mut(&front));
        front.is_some_and(|entry| {
            let silent = entry.silent_for(now);
            is_over(&entry.identity, silent)
        })
    }

    /// Removes an entry that has not ended, without a linger time.
    pub(crate) fn forget(&mut self, key: K, store: &mut Store, timeline: &mut Timeline) {
        if let Some((place, links)) = self.end_entry(key, 0) {
            timeline.end(place, store);
            self.unlink(key, links);
            if let Some(entry) = self.entries.remove(&key) {
                store.release(entry.block);
            }
        }
    }
}
