//! Spare buffers: the memory of released blocks, kept for new blocks and sorted by size. Owns them. Called by the block
//! store, under the embedder's one lock.
//!
//! There are four size classes between two powers of two. A new buffer's size is rounded up to the next class, at least
//! to 64 bytes. From there on, this makes it larger by a quarter at most. A buffer that is kept in a class is at least
//! as large as the class's size.

use alloc::vec::Vec;

use crate::{OutOfMemory, fallible};

/// Base-2 logarithm of the smallest buffer's size that is kept: 64 bytes.
const SMALLEST: u32 = 6;
/// The same of the largest buffers, which are 256 to 512 KiB: enough for the block of the largest packet.
const LARGEST: u32 = 18;
/// Size classes between two powers of two.
const STEPS: u32 = 4;
const CLASSES: usize = ((LARGEST - SMALLEST + 1) * STEPS) as usize;

pub(crate) struct Spares {
    /// The buffers of each size class; empty until the first buffer is kept. Not an array: with one, the engine would
    /// be too large for a kernel's stack.
    classes: Vec<Vec<Vec<u8>>>,
    bytes: usize,
    bound: usize,
}

impl Spares {
    /// An empty store of spare buffers, which keeps at most `bound` bytes.
    pub(crate) const fn new(bound: usize) -> Self {
        Self { classes: Vec::new(), bytes: 0, bound }
    }

    /// Bytes that the kept buffers take.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty buffer with room for `length` bytes: a kept one, or else a new one.
    pub(crate) fn take(&mut self, length: usize) -> Result<Vec<u8>, OutOfMemory> {
        let length = round_up(length);
        let Some(class) = class(length) else { return fallible::vec(length) };
        let kept = self.classes.get_mut(class).and_then(Vec::pop);
        let Some(buffer) = kept else { return fallible::vec(length) };
        self.bytes -= Self::cost(&buffer);
        Ok(buffer)
    }

    /// Keeps a buffer for later, or frees it if its size has no class or there is no room.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        let cost = Self::cost(&buffer);
        if let Some(class) = class(buffer.capacity())
            && cost <= self.bound.saturating_sub(self.bytes)
            && self.keep(class, buffer).is_ok()
        {
            self.bytes += cost;
        }
    }

    fn keep(&mut self, class: usize, buffer: Vec<u8>) -> Result<(), OutOfMemory> {
        if self.classes.is_empty() {
            let mut classes = fallible::vec(CLASSES)?;
            for _ in 0..CLASSES {
                fallible::push(&mut classes, Vec::new())?;
            }
            self.classes = classes;
        }
        fallible::push(&mut self.classes[class], buffer)
    }

    fn cost(buffer: &Vec<u8>) -> usize {
        buffer.capacity() + size_of::<Vec<u8>>()
    }
}

/// The smallest class size that has room for `length` bytes.
fn round_up(length: usize) -> usize {
    let length = length.max(1 << SMALLEST);
    let step = 1 << (length.ilog2() - STEPS.ilog2());
    length.checked_next_multiple_of(step).unwrap_or(length)
}

/// The largest size class that is not larger than `capacity`, as an index; `None`: buffers of this size are not kept.
fn class(capacity: usize) -> Option<usize> {
    let power = capacity.checked_ilog2().filter(|power| (SMALLEST..=LARGEST).contains(power))?;
    let quarter = capacity >> (power - STEPS.ilog2()) & (STEPS as usize - 1);
    Some((power - SMALLEST) as usize * STEPS as usize + quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_of_a_class_is_large_enough_for_it() {
        // Fewer rounds in Miri, which is some hundred times slower.
        for length in (1..600_000_usize).step_by(if cfg!(miri) { 1009 } else { 1 }) {
            let rounded = round_up(length);
            assert!(rounded >= length && (rounded <= length + length / 4 || rounded == 64), "{length}");
            assert_eq!(round_up(rounded), rounded);
            // Every buffer in the class of a rounded size has room for the length; the smallest has just the rounded
            // size.
            if let (Some(asked), Some(smaller)) = (class(rounded), class(rounded - 1)) {
                assert_eq!(asked, smaller + 1, "{rounded}");
            }
        }
        assert_eq!(
            (class(63), class(64), class(79), class(80), class((1 << 19) - 1)),
            (None, Some(0), Some(0), Some(1), Some(CLASSES - 1))
        );
        assert_eq!(class(1 << 19), None);
    }

    #[test]
    fn buffers_come_back_and_are_bounded() {
        let mut spares = Spares::new(400);
        let buffer = spares.take(100).expect("there is memory");
        let place = buffer.as_ptr();
        assert!(buffer.capacity() >= 112);
        spares.give(buffer);
        assert_eq!(spares.bytes(), 112 + size_of::<Vec<u8>>());
        let larger = spares.take(113).expect("there is memory");
        assert_ne!(larger.as_ptr(), place);
        let again = spares.take(97).expect("there is memory");
        assert_eq!((again.as_ptr(), spares.bytes()), (place, 0));
        for _ in 0..9 {
            spares.give(fallible::vec(100).expect("there is memory"));
        }
        assert_eq!(spares.bytes(), 3 * (100 + size_of::<Vec<u8>>()));
        assert!(spares.take(100).expect("there is memory").capacity() >= 112, "100 bytes are kept as 96");
    }
}
