//! Where events come from, as the recording loop sees it.

use std::time::Duration;

use hone_engine::{Event, Nanos, SourceDrops};

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

    /// The time by the clock that events are stamped with.
    fn now(&self) -> Nanos;
}
