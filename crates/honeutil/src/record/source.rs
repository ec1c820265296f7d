//! Where events come from, as the recording loop sees it.

use std::time::Duration;

use hone_engine::{Event, Nanos, ProcessKey, SourceDrops};
use hone_select::PacketTest;

/// A source's failure; its text says what is wrong and what to do.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A source of events: the sensor, or a test's script.
pub trait Source {
    /// Delivers events for what runs and what is open now.
    ///
    /// # Errors
    /// The source fails.
    fn restate(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError>;

    /// Waits for records up to `timeout` and delivers at most `most` of them. Returns how many.
    ///
    /// # Errors
    /// The source fails.
    fn poll(
        &mut self,
        timeout: Duration,
        most: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError>;

    /// What was lost so far before it could be delivered.
    ///
    /// # Errors
    /// The source fails.
    fn drops(&mut self) -> Result<SourceDrops, SourceError>;

    /// Leaves out packets that these tests reject, from now on, if it can; no tests reject none. With `None`, nothing is left
    /// out.
    ///
    /// # Errors
    /// The source fails. Then it leaves nothing out.
    fn select(&mut self, tests: Option<&[PacketTest]>) -> Result<(), SourceError> {
        let _ = tests;
        Ok(())
    }

    /// Says whether packets of this process are left out, until it executes another program. Only after [`select`](Self::select).
    fn set_process(&mut self, process: ProcessKey, is_left_out: bool) {
        let _ = (process, is_left_out);
    }

    /// Says whether [`Event::Expected`] is of use.
    fn announce(&mut self, is_wanted: bool) {
        let _ = is_wanted;
    }

    /// How many packets the tests have left out so far.
    ///
    /// # Errors
    /// The source fails.
    fn left_out(&mut self) -> Result<u64, SourceError> {
        Ok(0)
    }

    /// The time by the clock that events are stamped with.
    fn now(&self) -> Nanos;
}
