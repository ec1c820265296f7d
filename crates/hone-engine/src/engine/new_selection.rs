//! A selection on its way to a reader. If it has words about processes, all processes that are known are compared with them
//! first, in steps: what holds the lock between two of them is not delayed by many processes and words.
//!
//! 1. [`Engine::begin_selection`]: from here on, starts and executions are compared with the new words, too. Every process
//!    that is known waits to be compared, and so does one that is forked from a process that waits.
//! 2. [`Engine::mark_processes`], again and again: lists those that wait, then compares some of them, parents before their
//!    children, until none waits.
//! 3. [`Engine::exchange_selection`]: the reader has the new selection. Until then, its former one counts.

use alloc::vec::Vec;

use hone_select::{MAX_CONDITIONS, Selection};

use crate::{Engine, Nanos, OutOfMemory, ReaderId, SelectionError, UnknownReader, fallible};

/// Most comparisons of a process with a word that setting a selection makes: 16 words where 65,536 processes are known, and
/// as many as a selection can have where there are 4,096.
pub const MAX_COMPARISONS: usize = 1 << 20;

/// Most comparisons of a step.
const STEP: usize = 2048;
/// How many comparisons are as much work as to look up a process and its parent.
const LOOK_UP: usize = 16;
const _: () = assert!(STEP / (MAX_CONDITIONS + LOOK_UP) > 0);
/// How often those that wait are listed, at most. After each time, only those wait that were forked meanwhile from others
/// that waited, or that started in the same instant as their parent.
const ROUNDS: u32 = 16;
/// In how many of these a process waits for its parent, if that comes behind it in the list.
const WAIT_ROUNDS: u32 = 8;

/// A selection on its way to a reader, and afterwards the former one. Make it, and free it, without the lock.
#[derive(Debug, Default)]
pub struct NewSelection {
    /// `None` while the engine has it.
    selection: Option<Selection>,
    /// The place that it has in the engine.
    place: Option<usize>,
    /// Processes that wait to be compared, by their starts.
    waiting: Vec<(Nanos, u32)>,
    /// How many of them have been compared.
    done: usize,
    rounds: u32,
}

impl NewSelection {
    /// Processes that may start before the list is made.
    const MORE: usize = 64;

    /// This selection; `None`: all packets.
    #[must_use]
    pub const fn new(selection: Option<Selection>) -> Self {
        Self { selection, place: None, waiting: Vec::new(), done: 0, rounds: 0 }
    }

    /// Whether it has words about processes, so that processes have to be marked.
    #[must_use]
    pub fn has_process_words(&self) -> bool {
        self.selection.as_ref().is_some_and(Selection::has_process_words)
    }

    /// Makes room for a list of this many processes and some more.
    ///
    /// # Errors
    /// There is no memory.
    pub fn reserve(&mut self, processes: usize) -> Result<(), SelectionError> {
        self.waiting = fallible::vec(processes.saturating_add(Self::MORE))?;
        Ok(())
    }

    /// Puts parents before their children. Call it before each [`Engine::mark_processes`], without the lock.
    pub fn sort(&mut self) {
        if self.done == 0 {
            self.waiting.sort_unstable();
        }
    }

    /// The new selection, if it was not handed over, or else the former one.
    #[must_use]
    pub fn into_selection(self) -> Option<Selection> {
        self.selection
    }
}

impl Engine {
    /// Begins to set a reader's selection; `reader` is `None` if it is not attached yet. If this succeeds,
    /// [exchange](Self::exchange_selection) or [abandon](Self::abandon_selection) it.
    ///
    /// # Errors
    /// The reader is not attached, too many readers select by processes, there are too many words for so many processes, or
    /// there is no memory. Then nothing has changed.
    pub fn begin_selection(
        &mut self,
        new: &mut NewSelection,
        reader: Option<ReaderId>,
        now: Nanos,
    ) -> Result<(), SelectionError> {
        if reader.is_some_and(|reader| self.queues.reader(reader).is_none()) {
            return Err(SelectionError::UnknownReader);
        }
        let words = new.selection.as_ref().map_or(0, Selection::process_words);
        let processes = self.known_processes();
        if words.saturating_mul(processes) > MAX_COMPARISONS {
            return Err(SelectionError::TooLong { words, processes });
        }
        if words > 0 {
            new.waiting.clear();
            new.waiting.try_reserve(processes.max(1)).map_err(OutOfMemory::from)?;
            let place = self.queues.begin_selection(&mut new.selection, reader, now)?;
            self.tables.await_marks(place);
            (new.place, new.done, new.rounds) = (Some(place), 0, 0);
        }
        Ok(())
    }

    /// One step of marking the processes. Returns whether all are marked. If not, [sort](NewSelection::sort) and call it
    /// again.
    ///
    /// A process counts by what is known of it at its step.
    ///
    /// # Errors
    /// Processes are forked faster than they can be marked. [Abandon](Self::abandon_selection) the selection.
    pub fn mark_processes(&mut self, new: &mut NewSelection) -> Result<bool, SelectionError> {
        let Some(selecting) = new.place.and_then(|place| self.queues.coming(place)) else { return Ok(true) };
        let step = STEP / (selecting.selection.process_words() + LOOK_UP);
        let rest = new.waiting.get(new.done..).unwrap_or_default();
        let some = &rest[..rest.len().min(step)];
        if !some.is_empty() {
            new.done += some.len();
            let waits_for_parent = new.rounds <= WAIT_ROUNDS;
            self.tables.mark_processes(some, selecting, waits_for_parent, &self.queues.store);
            return Ok(false);
        }
        if new.rounds == ROUNDS {
            return Err(SelectionError::Busy);
        }
        (new.done, new.rounds) = (0, new.rounds + 1);
        new.waiting.clear();
        self.tables.list_waiting(selecting, &mut new.waiting);
        Ok(new.waiting.is_empty())
    }

    /// Replaces the reader's selection, which names the packets that it wants, by a new one whose processes are marked.
    /// Applies to packets queued from now on, together with the filters. Process and connection events are queued whatever
    /// is selected. Afterwards `new` has the former one.
    ///
    /// A packet counts by the process that is known when the packet is queued: not by a correction that follows.
    ///
    /// # Errors
    /// The reader is not attached. Then nothing has changed.
    pub fn exchange_selection(
        &mut self,
        reader: ReaderId,
        new: &mut NewSelection,
    ) -> Result<(), UnknownReader> {
        self.queues.exchange_selection(reader, new.place, &mut new.selection)?;
        new.place = None;
        Ok(())
    }

    /// Takes a selection back that was begun and is not to be set after all. No harm if it was not begun, or is set.
    pub fn abandon_selection(&mut self, new: &mut NewSelection) {
        if let Some(place) = new.place.take() {
            new.selection = self.queues.abandon_selection(place);
        }
    }

    /// Sets a reader's selection, with all steps at once: for an engine without a lock. Afterwards `selection` is the former
    /// one.
    ///
    /// # Errors
    /// Those of the steps, or there is no memory. Then nothing has changed.
    pub fn set_selection(
        &mut self,
        reader: ReaderId,
        selection: &mut Option<Selection>,
        now: Nanos,
    ) -> Result<(), SelectionError> {
        let mut new = NewSelection::new(selection.take());
        let set = self.set_new_selection(reader, &mut new, now);
        self.abandon_selection(&mut new);
        *selection = new.into_selection();
        set
    }

    fn set_new_selection(
        &mut self,
        reader: ReaderId,
        new: &mut NewSelection,
        now: Nanos,
    ) -> Result<(), SelectionError> {
        if new.has_process_words() {
            new.reserve(self.known_processes())?;
        }
        self.begin_selection(new, Some(reader), now)?;
        while !self.mark_processes(new)? {
            new.sort();
        }
        Ok(self.exchange_selection(reader, new)?)
    }
}
