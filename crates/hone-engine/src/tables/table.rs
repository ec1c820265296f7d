//! A bounded table, used for processes and for connections. Owns its entries, the order in which ended entries expire,
//! and one reference to each entry's block, which is the latest start or open event. While an entry has not ended, its
//! block also has a place in the [`Timeline`].
//!
//! An ended entry lingers, so that late events still find it. It expires after the linger time, or is evicted earlier
//! when a new entry needs the room. Entries that have not ended are in the table's round ([`round`](super::round)).
//! Called under the embedder's one lock.

use alloc::collections::VecDeque;
use core::hash::Hash;

use hashbrown::HashMap;

use crate::{
    EventError, Nanos, OutOfMemory,
    blocks::{BlockIndex, Store},
    fallible,
    tables::{
        round::{Links, Round},
        timeline::{PlaceIndex, Timeline},
    },
};

/// Most entries of a table that expire in the call for one event, which keeps the call short. One event ends at most
/// one entry.
pub(crate) const EXPIRE_WITH_EVENT: usize = 2;
/// Most entries of a table that expire in one [`Engine::tick`](crate::Engine::tick). So entries that linger after a
/// busy time expire without further events.
pub(crate) const EXPIRE_WHEN_IDLE: usize = 64;

#[derive(Clone, Copy)]
enum Life {
    Live {
        /// When the last event or packet of the entry came.
        heard: Nanos,
    },
    Ended(Nanos),
}

pub(crate) struct Entry<K, I> {
    /// What the table keeps besides the key: a process's start, a connection's owner.
    pub(crate) identity: I,
    pub(crate) block: BlockIndex,
    /// The block's place in the timeline; without meaning once the entry has ended, as are the links.
    place: PlaceIndex,
    pub(super) links: Links<K>,
    life: Life,
}

impl<K, I> Entry<K, I> {
    /// When the entry ended; `None`: it has not ended.
    pub(crate) const fn ended(&self) -> Option<Nanos> {
        match self.life {
            Life::Live { .. } => None,
            Life::Ended(at) => Some(at),
        }
    }

    /// How long ago the last event or packet of an entry came that has not ended, nanoseconds. If that was after `now`,
    /// the clock was set back, and the time begins anew.
    pub(super) fn silent_for(&mut self, now: Nanos) -> Nanos {
        match &mut self.life {
            Life::Live { heard } => {
                *heard = now.min(*heard);
                now - *heard
            }
            Life::Ended(_) => 0,
        }
    }
}

pub(crate) struct Table<K, I> {
    pub(super) entries: HashMap<K, Entry<K, I>>,
    /// Keys and end times of ended entries, the next one to expire in front. An element counts only if the entry still
    /// has that end time: the entry may have begun again since.
    leaving: VecDeque<(K, Nanos)>,
    pub(super) round: Round<K>,
    live: usize,
    bound: usize,
    linger: Nanos,
    full: EventError,
}

impl<K: Copy + Eq + Hash, I> Table<K, I> {
    /// An empty table for at most `bound` entries. `full` is the error if there is no room for one more.
    pub(crate) fn new(bound: u32, linger: Nanos, full: EventError) -> Self {
        Self {
            entries: HashMap::new(),
            leaving: VecDeque::new(),
            round: Round::new(),
            live: 0,
            bound: usize::try_from(bound).unwrap_or(usize::MAX),
            linger,
            full,
        }
    }

    /// Allocates memory for as many entries as the table may hold.
    pub(crate) fn reserve(&mut self) -> Result<(), OutOfMemory> {
        self.entries.try_reserve(self.bound)?;
        self.leaving.try_reserve(self.bound)?;
        Ok(())
    }

    /// Most entries that the table holds.
    pub(crate) const fn bound(&self) -> usize {
        self.bound
    }

    pub(crate) fn get(&self, key: K) -> Option<&Entry<K, I>> {
        self.entries.get(&key)
    }

    /// The entry of `key`, of which an event or packet has come at `at`.
    pub(crate) fn hear(&mut self, key: K, at: Nanos) -> Option<&Entry<K, I>> {
        let entry = self.entries.get_mut(&key)?;
        if let Life::Live { heard } = &mut entry.life {
            *heard = at;
        }
        Some(entry)
    }

    /// Loads the entry of `key` into the processor's cache. Calls for several keys wait for the memory at the same time:
    /// none needs what another has loaded.
    #[inline]
    pub(crate) fn touch(&self, key: K) {
        core::hint::black_box(self.entries.get(&key).is_some_and(|entry| entry.ended().is_some()));
    }

    /// All entries, including those that linger.
    pub(crate) fn known(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut Entry<K, I>> {
        self.entries.get_mut(&key)
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &Entry<K, I>)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    /// All entries, to be changed, in no order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<K, I>> {
        self.entries.values_mut()
    }

    /// Entries that have not ended.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// Makes room for `key` and its entry; evicts ended entries if the table is full. Call it before
    /// [`insert`](Self::insert).
    pub(crate) fn make_room(&mut self, key: K, store: &mut Store) -> Result<(), EventError> {
        while self.entries.len() >= self.bound && !self.entries.contains_key(&key) {
            let Some((oldest, ended)) = self.leaving.pop_front() else { return Err(self.full) };
            self.remove_ended(oldest, ended, store);
        }
        self.entries.try_reserve(1).map_err(OutOfMemory::from)?;
        Ok(())
    }

    /// Begins the entry of `key`, or replaces it if there is one. Takes over the caller's reference to `block`, also if
    /// it fails.
    pub(crate) fn insert(
        &mut self,
        key: K,
        identity: I,
        block: BlockIndex,
        at: Nanos,
        store: &mut Store,
        timeline: &mut Timeline,
    ) -> Result<(), OutOfMemory> {
        let placed = timeline.begin(block, store);
        let back = self.round.ends.map_or(key, |(_, back)| back);
        let known = self.entries.get(&key).filter(|known| known.ended().is_none());
        let links = known.map_or(Links { before: back, after: key }, |known| known.links);
        let inserted = placed.and_then(|place| {
            let entry = Entry { identity, block, place, links, life: Life::Live { heard: at } };
            fallible::insert(&mut self.entries, key, entry).inspect_err(|_| timeline.end(place, store))
        });
        match inserted {
            Ok(old) => {
                if let Some(old) = &old
                    && old.ended().is_none()
                {
                    timeline.end(old.place, store);
                } else {
                    self.live += 1;
                    self.link(key);
                }
                old.into_iter().for_each(|old| store.release(old.block));
                Ok(())
            }
            Err(error) => {
                store.release(block);
                Err(error)
            }
        }
    }

    /// Marks the entry of `key` as ended. It is removed after the linger time, or at once if there is no memory to note
    /// its end.
    pub(crate) fn end(&mut self, key: K, at: Nanos, store: &mut Store, timeline: &mut Timeline) {
        let Some((place, links)) = self.end_entry(key, at) else { return };
        timeline.end(place, store);
        self.unlink(key, links);
        if self.leaving.len() >= self.bound
            && let Some((oldest, ended)) = self.leaving.pop_front()
        {
            self.remove_ended(oldest, ended, store);
        }
        if fallible::push_back(&mut self.leaving, (key, at)).is_err() {
            self.remove_ended(key, at, store);
        }
    }

    /// Marks the entry of `key` as ended, if it has not ended. Returns what it has to give back.
    pub(super) fn end_entry(&mut self, key: K, at: Nanos) -> Option<(PlaceIndex, Links<K>)> {
        let entry = self.entries.get_mut(&key).filter(|entry| entry.ended().is_none())?;
        entry.life = Life::Ended(at);
        self.live -= 1;
        Some((entry.place, entry.links))
    }

    /// Removes at most `at_once` entries that have lingered long enough at `now`.
    pub(crate) fn expire(&mut self, now: Nanos, at_once: usize, store: &mut Store) {
        for _ in 0..at_once {
            match self.leaving.front() {
                // The difference in both directions: an entry must not linger for ever when the clock was set back.
                Some(&(key, ended)) if now.abs_diff(ended) >= self.linger => {
                    self.leaving.pop_front();
                    self.remove_ended(key, ended, store);
                }
                _ => return,
            }
        }
    }

    fn remove_ended(&mut self, key: K, ended: Nanos, store: &mut Store) {
        if self.entries.get(&key).is_some_and(|entry| entry.ended() == Some(ended))
            && let Some(entry) = self.entries.remove(&key)
        {
            store.release(entry.block);
        }
    }
}

// The documentation of `Config` states 200 bytes for each connection and 256 for each process: a map has up to 16 places for 7
// entries, and the order of leaving takes up to 32.
const _: () = assert!(size_of::<(u64, Entry<u64, Option<crate::ProcessKey>>)>() <= 72);
const _: () = assert!(size_of::<(u32, Entry<u32, super::Running>)>() <= 96);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blocks::About, statistics::Kind};

    struct Case {
        table: Table<u32, ()>,
        store: Store,
        timeline: Timeline,
    }

    impl Case {
        fn new(bound: u32) -> Self {
            let table = Table::new(bound, 10, EventError::TooManyProcesses);
            Self { table, store: Store::new(1 << 20), timeline: Timeline::new() }
        }

        fn begin(&mut self, key: u32) -> Result<(), EventError> {
            self.table.make_room(key, &mut self.store)?;
            let block = self.store.insert(fallible::vec(4)?, Kind::Process, 0, About::NONE)?;
            self.table.insert(key, (), block, 0, &mut self.store, &mut self.timeline)?;
            Ok(())
        }

        fn end(&mut self, key: u32, at: Nanos) {
            self.table.end(key, at, &mut self.store, &mut self.timeline);
        }

        /// Numbers of entries, of entries that have not ended, and of blocks in the store.
        fn counts(&self) -> (usize, usize, usize) {
            assert_eq!(self.timeline.live(), self.table.live());
            (self.table.entries.len(), self.table.live(), self.store.live())
        }
    }

    #[test]
    fn a_reserved_table_never_grows() {
        let mut case = Case::new(100);
        case.table.reserve().expect("there is memory");
        let room = |case: &Case| (case.table.entries.capacity(), case.table.leaving.capacity());
        let reserved = room(&case);
        assert!(reserved.0 >= 100 && reserved.1 >= 100);
        for key in 0..100 {
            case.begin(key).expect("there is room");
        }
        for key in 0..100 {
            case.end(key, 0);
        }
        assert_eq!(room(&case), reserved);
    }

    #[test]
    fn an_ended_entry_lingers_then_leaves_with_its_block() {
        let mut case = Case::new(9);
        case.begin(1).expect("there is room");
        case.end(1, 5);
        case.end(1, 6);
        case.table.expire(14, EXPIRE_WITH_EVENT, &mut case.store);
        assert_eq!(case.counts(), (1, 0, 1));
        case.table.expire(15, EXPIRE_WITH_EVENT, &mut case.store);
        assert_eq!(case.counts(), (0, 0, 0));
    }

    #[test]
    fn an_entry_that_began_anew_does_not_leave_with_its_past() {
        let mut case = Case::new(9);
        case.begin(1).expect("there is room");
        case.end(1, 5);
        case.begin(1).expect("there is room");
        case.table.expire(100, EXPIRE_WITH_EVENT, &mut case.store);
        assert_eq!(case.counts(), (1, 1, 1));
    }

    #[test]
    fn a_full_table_lets_go_of_the_ended_first_and_then_refuses() {
        let mut case = Case::new(2);
        case.begin(1).expect("there is room");
        case.begin(2).expect("there is room");
        assert_eq!(case.begin(3), Err(EventError::TooManyProcesses));
        case.begin(2).expect("it is known");
        case.end(1, 5);
        case.begin(3).expect("the ended one leaves");
        assert!(case.table.get(1).is_none());
        assert_eq!(case.counts(), (2, 2, 2));
    }

    #[test]
    fn the_order_of_leaving_is_bounded_and_few_leave_at_once() {
        let mut case = Case::new(4);
        for at in 0..100 {
            case.begin(1).expect("there is room");
            case.end(1, at);
        }
        assert_eq!(case.table.leaving.len(), 4);
        let mut case = Case::new(200);
        for key in 0..150 {
            case.begin(key).expect("there is room");
            case.end(key, 0);
        }
        case.table.expire(100, EXPIRE_WITH_EVENT, &mut case.store);
        assert_eq!(case.counts(), (148, 0, 148));
        case.table.expire(100, EXPIRE_WHEN_IDLE, &mut case.store);
        assert_eq!(case.counts(), (84, 0, 84));
    }
}
