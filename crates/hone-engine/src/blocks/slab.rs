//! Places for many things of one size, named by a number that stays: in chunks, which are never moved, so that no call
//! copies all of them, and which go back to the system when nothing is in them. Owns the places. Called by the block
//! store, under the embedder's one lock.

use alloc::vec::Vec;

use crate::{OutOfMemory, fallible};

/// Places in a chunk.
const CHUNK: usize = 1 << BITS;
const BITS: u32 = 10;
const NONE: u32 = u32::MAX;
/// Empty chunks kept for what comes next.
const SPARE: usize = 4;

pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Of the chunks with room: the first, from which places are taken, and the last. Those without memory are at the end.
    first: u32,
    last: u32,
    /// Chunks that have memory and nothing in it, and how many of them are kept.
    empty: usize,
    keep: usize,
}

struct Chunk<T> {
    /// As many as were ever used; memory for all, or none.
    places: Vec<Place<T>>,
    /// The first that is free and was used before.
    free: u32,
    live: u32,
    /// Its neighbours among the chunks with room.
    before: u32,
    after: u32,
}

enum Place<T> {
    Used(T),
    /// With the next that is free in the chunk.
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

    /// Takes the memory for so many, and keeps it.
    pub(crate) fn reserve(&mut self, most: usize) -> Result<(), OutOfMemory> {
        let chunks = most.div_ceil(CHUNK);
        self.keep = self.keep.max(chunks);
        while self.chunks.len() < chunks {
            self.grow()?;
        }
        Ok(())
    }

    /// Another chunk, the first with room.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let chunk = u32::try_from(self.chunks.len()).map_err(|_| OutOfMemory)?;
        // The last number stands for none.
        if chunk >= NONE >> BITS {
            return Err(OutOfMemory);
        }
        let places = fallible::vec(CHUNK)?;
        fallible::push(&mut self.chunks, Chunk { places, free: NONE, live: 0, before: NONE, after: NONE })?;
        self.empty += 1;
        self.link_first(chunk);
        Ok(())
    }

    /// Takes a thing in; its number.
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

    /// Takes a thing out.
    ///
    /// # Panics
    /// The number names nothing.
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

    /// A chunk has nothing in it any more: it is used again after all others, or its memory is freed.
    fn emptied(&mut self, number: u32) {
        self.unlink(number);
        let keeps = self.empty < self.keep;
        let chunk = &mut self.chunks[number as usize];
        chunk.free = NONE;
        if keeps {
            chunk.places.clear();
            self.empty += 1;
            // Before those without memory.
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
        // One of each chunk stays: none goes back.
        for (value, index) in (0..count).zip(&indexes).filter(|(value, _)| value % PLACES != 7) {
            assert_eq!(slab.remove(*index), value);
        }
        assert_eq!(chunks(&slab), 20);
        // What comes now goes where there is something already.
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
