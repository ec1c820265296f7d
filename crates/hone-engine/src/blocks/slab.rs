//! Storage for many values of one type. Each value has an index that does not change. Values are stored in chunks that
//! are never moved, so no call copies all values; the memory of empty chunks is freed. Owns the values. Called by the
//! block store, under the embedder's one lock.

use alloc::vec::Vec;

use crate::{OutOfMemory, fallible};

/// How many values a chunk has room for.
const CHUNK: usize = 1 << BITS;
const BITS: u32 = 10;
const NONE: u32 = u32::MAX;
/// Most empty chunks with memory that are kept for later values.
const SPARE: usize = 4;

pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// First and last chunk in the list of those with room. New values go into the first. Chunks without memory are at
    /// the end.
    first: u32,
    last: u32,
    /// How many chunks have memory but no value, and how many such chunks are kept at most.
    empty: usize,
    keep: usize,
}

struct Chunk<T> {
    /// The places that have been used since the chunk got its memory. There is memory for a whole chunk, or none.
    places: Vec<Place<T>>,
    /// The first in the list of places that were used before and are free.
    free: u32,
    live: u32,
    /// The chunk's neighbours in the list of chunks with room.
    before: u32,
    after: u32,
}

enum Place<T> {
    Used(T),
    /// A free place, with the next free one of the chunk.
    Free(u32),
}

impl<T> Chunk<T> {
    const fn has_memory(&self) -> bool {
        self.places.capacity() > 0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the masks keep what fits")]
const fn split(index: u32) -> (usize, u32) {
    ((index >> BITS) as usize, index & (CHUNK as u32 - 1))
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), first: NONE, last: NONE, empty: 0, keep: SPARE }
    }

    /// Allocates memory for `most` values, and keeps it even without values.
    pub(crate) fn reserve(&mut self, most: usize) -> Result<(), OutOfMemory> {
        let chunks = most.div_ceil(CHUNK);
        self.keep = self.keep.max(chunks);
        while self.chunks.len() < chunks {
            self.grow()?;
        }
        Ok(())
    }

    /// Adds a chunk at the front of those with room.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let chunk = u32::try_from(self.chunks.len()).map_err(|_| OutOfMemory)?;
        // The last index means "none", so it cannot be used.
        if chunk >= NONE >> BITS {
            return Err(OutOfMemory);
        }
        let places = fallible::vec(CHUNK)?;
        fallible::push(&mut self.chunks, Chunk { places, free: NONE, live: 0, before: NONE, after: NONE })?;
        self.empty += 1;
        self.link_first(chunk);
        Ok(())
    }

    /// Adds a value; returns its index.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32, OutOfMemory> {
        if self.first == NONE {
            self.grow()?;
        }
        let number = self.first;
        let chunk = &mut self.chunks[number as usize];
        if !chunk.has_memory() {
            chunk.places = fallible::vec(CHUNK)?;
            self.empty += 1;
        }
        let place = match chunk.places.get_mut(chunk.free as usize) {
            Some(free) => {
                let place = chunk.free;
                if let Place::Free(next) = *free {
                    chunk.free = next;
                }
                *free = Place::Used(value);
                place
            }
            None => {
                fallible::push_reserved(&mut chunk.places, Place::Used(value));
                #[expect(clippy::cast_possible_truncation, reason = "no more than places of a chunk")]
                let place = chunk.places.len() as u32 - 1;
                place
            }
        };
        self.empty -= usize::from(chunk.live == 0);
        chunk.live += 1;
        if chunk.live as usize == CHUNK {
            self.unlink(number);
        }
        Ok(number << BITS | place)
    }

    /// Takes out the value with this index.
    ///
    /// # Panics
    /// No value has this index.
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let (number, place) = split(index);
        let chunk = &mut self.chunks[number];
        let free = Place::Free(chunk.free);
        let Place::Used(value) = core::mem::replace(&mut chunk.places[place as usize], free) else {
            unreachable!("what is taken out is there");
        };
        chunk.free = place;
        chunk.live -= 1;
        let (live, number) = (chunk.live, index >> BITS);
        if live as usize == CHUNK - 1 {
            self.link_first(number);
        }
        if live == 0 {
            self.emptied(number);
        }
        value
    }

    /// The last value of a chunk was taken out. Keeps the chunk's memory for new values, or frees it if enough is kept.
    fn emptied(&mut self, number: u32) {
        self.unlink(number);
        let keeps = self.empty < self.keep;
        let chunk = &mut self.chunks[number as usize];
        chunk.free = NONE;
        if keeps {
            chunk.places.clear();
            self.empty += 1;
            // Chunks with memory come before those without.
            self.link_first(number);
        } else {
            chunk.places = Vec::new();
            self.link_last(number);
        }
    }

    pub(crate) fn get(&self, index: u32) -> &T {
        let (chunk, place) = split(index);
        match &self.chunks[chunk].places[place as usize] {
            Place::Used(value) => value,
            Place::Free(_) => unreachable!("what is looked up is there"),
        }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let (chunk, place) = split(index);
        match &mut self.chunks[chunk].places[place as usize] {
            Place::Used(value) => value,
            Place::Free(_) => unreachable!("what is looked up is there"),
        }
    }

    fn link_first(&mut self, number: u32) {
        let after = self.first;
        (self.chunks[number as usize].before, self.chunks[number as usize].after) = (NONE, after);
        match self.chunks.get_mut(after as usize) {
            Some(after) => after.before = number,
            None => self.last = number,
        }
        self.first = number;
    }

    fn link_last(&mut self, number: u32) {
        let before = self.last;
        (self.chunks[number as usize].before, self.chunks[number as usize].after) = (before, NONE);
        match self.chunks.get_mut(before as usize) {
            Some(before) => before.after = number,
            None => self.first = number,
        }
        self.last = number;
    }

    fn unlink(&mut self, number: u32) {
        let Chunk { before, after, .. } = self.chunks[number as usize];
        match self.chunks.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match self.chunks.get_mut(after as usize) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what the test itself allocates may abort")]
mod tests {
    use super::*;

    /// Places in a chunk.
    const PLACES: u32 = 1 << BITS;

    /// Chunks that have memory.
    fn chunks(slab: &Slab<u32>) -> usize {
        slab.chunks.iter().filter(|chunk| chunk.has_memory()).count()
    }

    #[test]
    fn numbers_stay_and_memory_goes_back() {
        let mut slab = Slab::new();
        let count = 20 * PLACES;
        let indexes: Vec<_> = (0..count).map(|value| slab.insert(value).expect("there is memory")).collect();
        assert_eq!(chunks(&slab), 20);
        for (value, index) in (0..count).zip(&indexes) {
            assert_eq!(*slab.get(*index), value);
        }
        // One value stays in each chunk, so no chunk is freed.
        for (value, index) in (0..count).zip(&indexes).filter(|(value, _)| value % PLACES != 7) {
            assert_eq!(slab.remove(*index), value);
        }
        assert_eq!(chunks(&slab), 20);
        // A new value goes into a chunk that has a value already.
        let again = slab.insert(9).expect("there is memory");
        slab.remove(again);
        for value in (0..count).filter(|value| value % PLACES == 7) {
            assert_eq!(slab.remove(indexes[value as usize]), value);
        }
        assert_eq!((chunks(&slab), slab.empty), (SPARE, SPARE));
        let more: Vec<_> = (0..count).map(|value| slab.insert(value).expect("there is memory")).collect();
        assert_eq!((chunks(&slab), slab.chunks.len(), slab.empty), (20, 20, 0));
        assert!((0..count).zip(&more).all(|(value, index)| *slab.get(*index) == value));
    }

    #[test]
    fn what_is_reserved_is_kept() {
        let mut slab = Slab::new();
        slab.reserve(9 * CHUNK + 1).expect("there is memory");
        assert_eq!(chunks(&slab), 10);
        let indexes: Vec<_> = (0..10_000).map(|value| slab.insert(value).expect("there is memory")).collect();
        for index in indexes {
            slab.remove(index);
        }
        assert_eq!(chunks(&slab), 10);
    }
}
