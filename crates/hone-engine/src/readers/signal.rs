//! The readers to wake: those that had nothing to read, and got something since the signals were last taken. Owns the
//! list of them. Called by the queue manager, under the embedder's one lock.
//!
//! # No wake-up is lost
//!
//! A reader reads until [`Read::Empty`](crate::Read::Empty), then waits for its signal. The call after which the reader
//! has something to read again raises the signal, and the embedder takes it before it unlocks the lock of that call. So
//! a block that came before the empty read has been read, and a block that came after it wakes the reader. If the
//! reader waits on an object that remembers a signal, such as an event or an eventfd, it may unlock between the empty
//! read and the wait.

use alloc::vec::Vec;

use crate::{OutOfMemory, ReaderId, fallible};

/// A number that grows each time the signals are taken. A reader keeps the turn in which its signal was raised last.
pub(crate) type Turn = u64;

pub(crate) struct Signals {
    raised: Vec<ReaderId>,
    /// The current turn. Begins at 1, as a reader with a signal that was never raised has turn 0.
    turn: Turn,
}

impl Signals {
    pub(crate) const fn new() -> Self {
        Self { raised: Vec::new(), turn: 1 }
    }

    /// Makes sure that [`raise`](Self::raise) allocates nothing for up to `readers` readers.
    pub(crate) fn reserve(&mut self, readers: usize) -> Result<(), OutOfMemory> {
        Ok(self.raised.try_reserve(readers.saturating_sub(self.raised.len()))?)
    }

    /// Raises the signal of `reader`, unless that was done since the last [`take`](Self::take).
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
