//! Where the recording loop and `top` get their blocks from: an engine in this process ([`Local`](super::local::Local)), or
//! the service (`platform/*/service_feed.rs`). The loop is the same.

use std::time::Duration;

use hone_engine::{Nanos, Read};

use super::control::Control;
use super::error::RecordError;
use super::losses::Losses;

/// The result of one call of [`Feed::fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Whether nothing more is waiting.
    pub all: bool,
    /// The latest time in what was fetched; 0: not known.
    pub latest: Nanos,
}

/// A stream of blocks that one reader reads.
pub trait Feed {
    /// How long after a stop older events are still collected.
    fn catch_up_time(&self) -> Duration;

    /// Fetches what has happened, about `most` records at most. Waits up to `wait` if there is nothing.
    ///
    /// # Errors
    /// The source or the service fails.
    fn fetch(&mut self, wait: Duration, most: usize) -> Result<Fetched, RecordError>;

    /// Reads blocks, in portions of any size. Returns [`Read::Empty`] when everything that was fetched has been read.
    ///
    /// # Errors
    /// The service fails, or Hone has a fault.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError>;

    /// Ends the section after the blocks that wait. Reads then return [`Read::SectionEnd`] at this place.
    ///
    /// # Errors
    /// [`RecordError::Restart`] if the section continues, or an error of the service.
    fn end_section(&mut self) -> Result<(), RecordError>;

    /// Called at the end of the recording. Releases held packets at once if that is possible. Returns whether others
    /// are still held.
    fn holds_back(&mut self) -> bool;

    /// Selects other packets from now on. `text`: the text form of a selection.
    ///
    /// # Errors
    /// The service refuses it or cannot do that, or there is no room. The old selection stays.
    fn set_selection(&mut self, text: &[u8]) -> Result<(), RecordError> {
        let _ = text;
        Err(RecordError::CannotSelect)
    }

    /// The time by the clock of the blocks.
    fn now(&self) -> Nanos;

    /// What was lost so far.
    fn losses(&mut self) -> Losses;

    /// How many packets were lost so far. Cheap to call.
    fn dropped_packets(&mut self) -> u64 {
        self.losses().packets()
    }

    /// Whether there is a section that can be ended.
    fn is_attached(&self) -> bool {
        true
    }

    /// After `error`: waits until the stream begins again, with a new section. Returns false on a stop.
    ///
    /// # Errors
    /// `error`, if the stream does not begin again, or another error that happened during the wait.
    fn reattach(&mut self, error: RecordError, control: &mut Control) -> Result<bool, RecordError> {
        let _ = control;
        Err(error)
    }
}
