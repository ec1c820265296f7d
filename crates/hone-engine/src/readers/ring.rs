//! A reader's ring buffer: which blocks wait for it, and how each is to be cut. Owns the slots; the references to blocks
//! are its reader's. Called by [`Reader`](crate::readers::reader::Reader), under the embedder's one lock.

use alloc::vec::Vec;

use crate::{MIN_RING_BYTES, OutOfMemory, RING_SLOT_BYTES, SnapLength, blocks::BlockIndex, fallible};

/// A ring buffer for a reader that is to be attached. To make and to free one takes time in proportion to its size; so a
/// shell makes it before it takes its lock: [`Engine::attach_with`](crate::Engine::attach_with).
#[derive(Debug)]
pub struct RingBuffer(pub(crate) Ring);

impl RingBuffer {
    /// A ring buffer of at least `bytes` bytes and [`MIN_RING_BYTES`], rounded up to a power of two.
    ///
    /// # Errors
    /// There is no memory, or no such size.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let bytes = bytes.max(MIN_RING_BYTES).checked_next_power_of_two().ok_or(OutOfMemory)?;
        Ring::new(bytes / RING_SLOT_BYTES).map(Self)
    }

    /// Its size, bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.0.slots() * RING_SLOT_BYTES
    }
}

/// One queued block, [`RING_SLOT_BYTES`] in size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) block: BlockIndex,
    /// The reader's snap length when it was queued.
    pub(crate) snap_length: SnapLength,
}

const _: () = assert!(size_of::<Slot>() == RING_SLOT_BYTES);

/// A ring of slots. Positions count up for ever; their low bits are the index.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Slot>,
    head: u64,
    tail: u64,
}

impl Ring {
    /// `slots` is a power of two.
    pub(crate) fn new(slots: usize) -> Result<Self, OutOfMemory> {
        debug_assert!(slots.is_power_of_two());
        Ok(Self {
            slots: fallible::filled(Slot { block: 0, snap_length: SnapLength::ALL }, slots)?,
            head: 0,
            tail: 0,
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps only bits that index a slot")]
    fn index(&self, position: u64) -> usize {
        position as usize & (self.slots.len() - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "never more than the slots there are")]
    pub(crate) const fn len(&self) -> usize {
        (self.tail - self.head) as usize
    }

    pub(crate) fn front(&self) -> Option<Slot> {
        (self.head != self.tail).then(|| self.slots[self.index(self.head)])
    }

    /// The block at a position between head and tail.
    pub(crate) fn block(&self, position: u64) -> BlockIndex {
        self.slots[self.index(position)].block
    }

    /// Puts a slot at a position from head to tail, and what is behind it one further. The caller has checked that there
    /// is room.
    pub(crate) fn insert(&mut self, position: u64, slot: Slot) {
        for to in (position + 1..=self.tail).rev() {
            let (from, to) = (self.index(to - 1), self.index(to));
            self.slots[to] = self.slots[from];
        }
        let index = self.index(position);
        self.slots[index] = slot;
        self.tail += 1;
    }

    /// The slot at a position between head and tail.
    pub(crate) fn slot(&self, position: u64) -> Slot {
        self.slots[self.index(position)]
    }

    /// Takes out the slot at a position between head and tail; what is behind it moves up.
    pub(crate) fn remove(&mut self, position: u64) {
        for to in position..self.tail - 1 {
            let (from, to) = (self.index(to + 1), self.index(to));
            self.slots[to] = self.slots[from];
        }
        self.tail -= 1;
    }

    /// Takes out the front; the caller has seen that there is one.
    pub(crate) const fn pop(&mut self) {
        self.head += 1;
    }

    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// Where the next slot goes.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Slots there are.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }
}
