//! The blocks of running processes and open connections, sorted by time, as they are now and as they were at each
//! moment at which a section began. The latter is the section's snapshot. A snapshot is not copied: its blocks are
//! looked up as they are read. So a section begins at once, however many processes and connections there are. Owns the
//! places of the blocks in this order, and one reference to each block. Called by tables and readers, under the
//! embedder's one lock.
//!
//! The places form a search tree with a rank for each place that is computed from its index; a place with a greater
//! rank lies above one with a lower rank (a treap, Seidel and Aragon, 1996). On average, the depth is at most twice the
//! natural logarithm of the number of places. Moments are numbered. A place has the number of the first moment that
//! sees it and of the first that no longer does. An ended place stays while a snapshot that includes it is being read.
//! Each place also has the range of moments for all places below it, so that a reader can skip branches without a place
//! of its snapshot.
//!
//! Each operation takes time in proportion to the tree's depth, and allocates memory only for places and open moments.

mod tree;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what the test itself allocates may abort")]
mod tests;

use alloc::vec::Vec;

use crate::{
    OutOfMemory,
    blocks::{BlockIndex, Store},
    fallible,
};

/// Index of a place in the [`Timeline`].
pub(crate) type PlaceIndex = u32;

const NONE: PlaceIndex = PlaceIndex::MAX;
/// Stands for the number of a moment in the future: the place has not ended.
const NEVER: u64 = u64::MAX;
/// Most ended places that one call checks for removal. One call ends one or two places.
const SWEEP_AT_ONCE: usize = 4;
/// How many places are allocated at a time. They are never moved, so no call copies all places.
const CHUNK: PlaceIndex = 1024;

struct Place {
    block: BlockIndex,
    left: PlaceIndex,
    right: PlaceIndex,
    above: PlaceIndex,
    /// The neighbours in the order of time.
    before: PlaceIndex,
    after: PlaceIndex,
    /// The next free place, or the next ended one.
    next: PlaceIndex,
    /// The first moment that sees the place.
    began: u64,
    /// The first moment that no longer sees it; [`NEVER`]: it has not ended.
    ended: u64,
    /// The least `began` and the greatest `ended` of this place and all places below it.
    first_began: u64,
    last_ended: u64,
}

/// The moment of a section's snapshot, and how far the snapshot has been read. It must be closed:
/// [`advance`](Timeline::advance) does so at the end, [`close`](Timeline::close) before the end.
pub(crate) struct Moment {
    number: u64,
    front: PlaceIndex,
    /// The block at the front.
    pub(crate) block: BlockIndex,
    /// How many places are left to read, including the front.
    left: usize,
}

pub(crate) struct Timeline {
    chunks: Vec<Vec<Place>>,
    free: PlaceIndex,
    root: PlaceIndex,
    /// The last place in the order of time. Most new places are put after it.
    last: PlaceIndex,
    /// How many places have not ended.
    live: usize,
    /// How many moments there were; also the number of the next moment.
    moments: u64,
    /// Numbers of the moments that are being read, ascending.
    open: Vec<u64>,
    /// First and last in the list of ended places that a moment sees, and how many they are.
    ended_front: PlaceIndex,
    ended_back: PlaceIndex,
    ended: usize,
    /// How many of them are still to be checked for removal.
    unswept: usize,
}

impl Timeline {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: NONE,
            root: NONE,
            last: NONE,
            live: 0,
            moments: 0,
            open: Vec::new(),
            ended_front: NONE,
            ended_back: NONE,
            ended: 0,
            unswept: 0,
        }
    }

    /// Allocates memory for `places` places.
    pub(crate) fn reserve(&mut self, places: usize) -> Result<(), OutOfMemory> {
        while self.chunks.len() * (CHUNK as usize) < places {
            self.grow()?;
        }
        Ok(())
    }

    /// Adds a place for `block`, with a reference to it.
    pub(crate) fn begin(&mut self, block: BlockIndex, store: &mut Store) -> Result<PlaceIndex, OutOfMemory> {
        if self.free == NONE {
            self.grow()?;
        }
        let index = self.free;
        self.free = self.at(index).next;
        store.hold(block);
        let began = self.moments;
        *self.at_mut(index) =
            Place { block, began, ended: NEVER, first_began: began, last_ended: NEVER, ..Place::FREE };
        self.link(index, store);
        self.live += 1;
        Ok(index)
    }

    /// Ends a place: later moments do not see it. Removes it at once if no open moment sees it.
    pub(crate) fn end(&mut self, index: PlaceIndex, store: &mut Store) {
        self.live -= 1;
        if self.open.last().is_none_or(|&last| last < self.at(index).began) {
            self.remove(index, store);
            return;
        }
        self.at_mut(index).ended = self.moments;
        self.refresh_from(index);
        self.push_ended(index);
    }

    /// Removes ended places that no open moment sees; checks at most [`SWEEP_AT_ONCE`].
    pub(crate) fn sweep(&mut self, store: &mut Store) {
        for _ in 0..SWEEP_AT_ONCE.min(self.unswept) {
            self.unswept -= 1;
            let index = self.pop_ended();
            let Place { began, ended, .. } = *self.at(index);
            let first = self.open.partition_point(|&number| number < began);
            if self.open.get(first).is_some_and(|&number| number < ended) {
                self.push_ended(index);
            } else {
                self.remove(index, store);
            }
        }
    }

    /// Begins a snapshot of all places that have not ended, to be read from the first on. `None`: there is no such
    /// place.
    pub(crate) fn moment(&mut self) -> Result<Option<Moment>, OutOfMemory> {
        if self.live == 0 {
            return Ok(None);
        }
        let number = self.moments;
        fallible::push(&mut self.open, number)?;
        self.moments += 1;
        let front = self.first_below(self.root, number);
        let front = if self.at(front).is_seen(number) { front } else { self.following(front, number) };
        Ok(Some(Moment { number, front, block: self.at(front).block, left: self.live }))
    }

    /// Moves a snapshot on to its next place. Closes it and returns `None` if the front was its last place.
    pub(crate) fn advance(&mut self, mut moment: Moment) -> Option<Moment> {
        moment.left -= 1;
        if moment.left == 0 {
            self.close(moment);
            return None;
        }
        moment.front = self.following(moment.front, moment.number);
        moment.block = self.at(moment.front).block;
        Some(moment)
    }

    /// Closes a snapshot that is not read any further.
    pub(crate) fn close(&mut self, moment: Moment) {
        if let Ok(at) = self.open.binary_search(&moment.number) {
            self.open.remove(at);
        }
        self.unswept = self.ended;
    }

    fn push_ended(&mut self, index: PlaceIndex) {
        self.at_mut(index).next = NONE;
        if self.ended_back == NONE {
            self.ended_front = index;
        } else {
            let back = self.ended_back;
            self.at_mut(back).next = index;
        }
        self.ended_back = index;
        self.ended += 1;
    }

    /// Takes the first of the ended places. The caller has checked that there is one.
    fn pop_ended(&mut self) -> PlaceIndex {
        let index = self.ended_front;
        self.ended_front = self.at(index).next;
        if self.ended_front == NONE {
            self.ended_back = NONE;
        }
        self.ended -= 1;
        index
    }

    /// Allocates memory for [`CHUNK`] more places.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let first =
            self.chunks.len().checked_mul(CHUNK as usize).and_then(|first| PlaceIndex::try_from(first).ok());
        let first = first.filter(|&first| first < NONE - CHUNK).ok_or(OutOfMemory)?;
        let mut chunk = fallible::vec(CHUNK as usize)?;
        for index in first + 1..=first + CHUNK {
            fallible::push(&mut chunk, Place { next: index, ..Place::FREE })?;
        }
        if let Some(last) = chunk.last_mut() {
            last.next = self.free;
        }
        fallible::push(&mut self.chunks, chunk)?;
        self.free = first;
        Ok(())
    }

    fn at(&self, index: PlaceIndex) -> &Place {
        &self.chunks[(index / CHUNK) as usize][(index % CHUNK) as usize]
    }

    fn at_mut(&mut self, index: PlaceIndex) -> &mut Place {
        &mut self.chunks[(index / CHUNK) as usize][(index % CHUNK) as usize]
    }
}

// The documentation of `Config` states 64 bytes for each.
const _: () = assert!(size_of::<Place>() <= 64);

impl Place {
    const FREE: Self = Self {
        block: BlockIndex::MAX,
        left: NONE,
        right: NONE,
        above: NONE,
        before: NONE,
        after: NONE,
        next: NONE,
        began: 0,
        ended: 0,
        first_began: 0,
        last_ended: 0,
    };

    const fn is_seen(&self, moment: u64) -> bool {
        self.began <= moment && moment < self.ended
    }
}
