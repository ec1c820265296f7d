//! What runs and is open, in the order of time, and the same for each earlier moment at which a section began: its snapshot.
//! So a section begins at once, however much is known: its blocks are looked up as they are read. Owns the places in that
//! order, and one reference to the block of each. Called by tables and readers, under the embedder's one lock.
//!
//! The places make a search tree, in which each lies above another by a number drawn from its index: on average no deeper
//! than twice the natural logarithm of how many there are (a treap, Seidel and Aragon, 1996). A place keeps the numbers of
//! the moments between which it stood; one that has ended remains as long as a section that it stood at the beginning
//! of has not been read up to its live blocks. A reader steps over what is not its own by what each place knows of those
//! below it.
//!
//! Each operation takes time in proportion to the tree's depth, and allocates nothing but the room for places.

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
/// The number of a moment that has not come.
const NEVER: u64 = u64::MAX;
/// Most ended places that are looked at in one call whether they can go. One call ends one or two.
const SWEEP_AT_ONCE: usize = 4;
/// Places are allocated so many at a time, and never moved: no call copies all of them.
const CHUNK: PlaceIndex = 1024;

struct Place {
    block: BlockIndex,
    left: PlaceIndex,
    right: PlaceIndex,
    above: PlaceIndex,
    /// The neighbours in the order.
    before: PlaceIndex,
    after: PlaceIndex,
    /// The next that is free, or the next that has ended.
    next: PlaceIndex,
    /// It is seen from this moment on,
    began: u64,
    /// and until before this one.
    ended: u64,
    /// The least `began` and the greatest `ended` of it and those below.
    first_began: u64,
    last_ended: u64,
}

/// The moment of a section's snapshot, and how far it has been read. To be returned:
/// [`advance`](Timeline::advance) does so at the end, [`close`](Timeline::close) before it.
pub(crate) struct Moment {
    number: u64,
    front: PlaceIndex,
    /// The block at the front.
    pub(crate) block: BlockIndex,
    /// Places from the front on.
    left: usize,
}

pub(crate) struct Timeline {
    chunks: Vec<Vec<Place>>,
    free: PlaceIndex,
    root: PlaceIndex,
    /// The last in the order, behind which most go.
    last: PlaceIndex,
    /// Places that have not ended.
    live: usize,
    /// How many moments there were, which is the number of the next.
    moments: u64,
    /// Numbers of those that are being read, ascending.
    open: Vec<u64>,
    /// Places that have ended and were seen, one after the other in no order.
    ended_front: PlaceIndex,
    ended_back: PlaceIndex,
    ended: usize,
    /// How many of them may not be needed any more.
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

    /// Takes the room for so many places.
    pub(crate) fn reserve(&mut self, places: usize) -> Result<(), OutOfMemory> {
        while self.chunks.len() * (CHUNK as usize) < places {
            self.grow()?;
        }
        Ok(())
    }

    /// Puts `block`, to which it refers once more, in its place.
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

    /// A place ends: it stands for nothing from now on.
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

    /// Removes places that no reader will read any more, some at a time.
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

    /// What stands now, to be read from its first place on; `None` if nothing does.
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

    /// Goes past the front; what is left, if anything is.
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

    /// Nobody reads on from here.
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

    /// The caller knows that there is one.
    fn pop_ended(&mut self) -> PlaceIndex {
        let index = self.ended_front;
        self.ended_front = self.at(index).next;
        if self.ended_front == NONE {
            self.ended_back = NONE;
        }
        self.ended -= 1;
        index
    }

    /// Makes room for some more places.
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

// What `Config` says.
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
