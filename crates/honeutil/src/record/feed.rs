//! Where the recording loop and `top` get their blocks from: an engine in this process ([`Local`](super::local::Local)), or
//! the service (`platform/*/service_feed.rs`). The loop is the same.

use std::time::Duration;

use hone_engine::{Nanos, Read};

use super::control::Control;
use super::error::RecordError;
use super::losses::Losses;

/// What one call of [`Feed::fetch`] has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Whether nothing more waits.
    pub all: bool,
    /// The latest time among it; 0: not known.
    pub latest: Nanos,
}

/// A stream of blocks that one reader reads.
pub trait Feed {
    /// How long after a stop to go on collecting what happened before it.
    fn catch_up_time(&self) -> Duration;

    /// Brings in what has happened, about `most` records at the most. Waits up to `wait` if there is nothing.
    ///
    /// # Errors
    /// The source or the service fails.
    fn fetch(&mut self, wait: Duration, most: usize) -> Result<Fetched, RecordError>;

    /// Reads blocks, in any portions. Returns [`Read::Empty`] when all that was fetched has been read.
    ///
    /// # Errors
    /// The service fails, or Hone has a fault.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError>;

    /// Ends the section after the blocks that wait. Reads then come to [`Read::SectionEnd`].
    ///
    /// # Errors
    /// [`RecordError::Restart`] if the section just goes on, or the service fails.
    fn end_section(&mut self) -> Result<(), RecordError>;

    /// Called as the recording ends: delivers held packets at once where that is possible, and says whether others are still
    /// held.
    fn holds_back(&mut self) -> bool;

    /// The time by the clock of the blocks.
    fn now(&self) -> Nanos;

    /// What is missing so far.
    fn losses(&mut self) -> Losses;

    /// Packets missing so far; cheap.
    fn dropped_packets(&mut self) -> u64 {
        self.losses().packets()
    }

    /// Whether there is a section that can be ended.
    fn is_attached(&self) -> bool {
        true
    }

    /// After `error`: waits until the stream begins anew, with a section of its own. Returns false on a stop.
    ///
    /// # Errors
    /// `error`, if the stream does not come back; or another error that was met meanwhile.
    fn reattach(&mut self, error: RecordError, control: &mut Control) -> Result<bool, RecordError> {
        let _ = control;
        Err(error)
    }
}
