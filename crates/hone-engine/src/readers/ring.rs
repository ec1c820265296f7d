//! A reader's ring buffer: the blocks that wait for the reader, each with its snap length. Owns the slots; the reader
//! owns the references to the blocks. Called by [`Reader`](crate::readers::reader::Reader), under the embedder's one
//! lock.

use alloc::vec::Vec;

use crate::{MIN_RING_BYTES, OutOfMemory, RING_SLOT_BYTES, SnapLength, blocks::BlockIndex, fallible};

/// A ring buffer for a reader that is not attached yet. Making or freeing one takes time in proportion to its size. So
/// a shell makes it before it takes its lock, for [`Engine::attach_with`](crate::Engine::attach_with).
#[derive(Debug)]
pub struct RingBuffer(pub(crate) Ring);

impl RingBuffer {
    /// A ring buffer of `bytes` bytes, but at least [`MIN_RING_BYTES`], rounded up to a power of two.
    ///
    /// # Errors
    /// There is no memory, or `bytes` is too large to be rounded up.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let bytes = bytes.max(MIN_RING_BYTES).checked_next_power_of_two().ok_or(OutOfMemory)?;
        Ring::new(bytes / RING_SLOT_BYTES).map(Self)
    }

    /// The ring buffer's size, bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.0.slots() * RING_SLOT_BYTES
    }
}

/// One queued block, [`RING_SLOT_BYTES`] in size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) block: BlockIndex,
    /// The reader's snap length when the block was queued.
    pub(crate) snap_length: SnapLength,
}

const _: () = assert!(size_of::<Slot>() == RING_SLOT_BYTES);

/// A ring of slots. A position is a number that only grows; its low bits are the index of its slot.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Slot>,
    head: u64,
    tail: u64,
}

impl Ring {
    /// An empty ring. `slots` must be a power of two.
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

    /// The block at a position from head to before tail.
    pub(crate) fn block(&self, position: u64) -> BlockIndex {
        self.slots[self.index(position)].block
    }

    /// Puts a slot at a position from head to tail, and moves the slots from there on by one. The caller has checked
    /// that there is room.
    pub(crate) fn insert(&mut self, position: u64, slot: Slot) {
        for to in (position + 1..=self.tail).rev() {
            let (from, to) = (self.index(to - 1), self.index(to));
            self.slots[to] = self.slots[from];
        }
        let index = self.index(position);
        self.slots[index] = slot;
        self.tail += 1;
    }

    /// The slot at a position from head to before tail.
    pub(crate) fn slot(&self, position: u64) -> Slot {
        self.slots[self.index(position)]
    }

    /// Takes out the slot at a position from head to before tail, and moves the later slots back by one.
    pub(crate) fn remove(&mut self, position: u64) {
        for to in position..self.tail - 1 {
            let (from, to) = (self.index(to + 1), self.index(to));
            self.slots[to] = self.slots[from];
        }
        self.tail -= 1;
    }

    /// Takes out the front. The caller has checked that the ring is not empty.
    pub(crate) const fn pop(&mut self) {
        self.head += 1;
    }

    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// The position of the next slot that is added at the end.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// How many slots the ring has, used or not.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }
}
