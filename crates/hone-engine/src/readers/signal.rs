//! Which readers are to be woken: those that had nothing to read, and have something since the signals were last taken.
//! Owns the list of them. Called by the queue manager, under the embedder's one lock.
//!
//! # No wake-up is lost
//!
//! A reader reads until [`Read::Empty`](crate::Read::Empty), then waits for its signal. The engine raises the signal in
//! the call that ends the emptiness, whichever that is, and the embedder takes it before unlocking the lock of that call. So
//! what came before the empty read was read, and what came after it wakes the reader. A reader that waits on something that
//! remembers a signal, such as an event or an eventfd, may unlock between the empty read and the wait.

use alloc::vec::Vec;

use crate::{OutOfMemory, ReaderId, fallible};

/// When a reader's signal was raised last: a turn of [`Signals`].
pub(crate) type Turn = u64;

pub(crate) struct Signals {
    raised: Vec<ReaderId>,
    /// Counts how often the signals were taken; begins above every reader's first turn.
    turn: Turn,
}

impl Signals {
    pub(crate) const fn new() -> Self {
        Self { raised: Vec::new(), turn: 1 }
    }

    /// Makes sure that [`raise`](Self::raise) allocates nothing for so many readers.
    pub(crate) fn reserve(&mut self, readers: usize) -> Result<(), OutOfMemory> {
        Ok(self.raised.try_reserve(readers.saturating_sub(self.raised.len()))?)
    }

    /// Raises the signal of `reader` if it has not been since the last [`take`](Self::take).
    pub(crate) fn raise(&mut self, reader: ReaderId, last: &mut Turn) {
        if *last != self.turn {
            *last = self.turn;
            let reserved = fallible::push(&mut self.raised, reader);
            debug_assert!(reserved.is_ok(), "room is reserved when a reader attaches");
        }
    }

    pub(crate) fn take(&mut self, wake: impl FnMut(ReaderId)) {
        if !self.raised.is_empty() {
            self.turn += 1;
            self.raised.drain(..).for_each(wake);
        }
    }

    pub(crate) fn forget(&mut self, reader: ReaderId) {
        self.raised.retain(|&raised| raised != reader);
    }
}
