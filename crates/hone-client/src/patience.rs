//! Waits for the service: each has an end, and the program can look on and give up. Owned by
//! [`Connection`](crate::Connection).

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use crate::error::ReaderError;

/// How long the service may let a client wait for one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often the program looks on.
const TICK: Duration = Duration::from_millis(100);

/// One look at a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What the service is to do, such as "to answer".
    pub what: &'static str,
    /// Since when: zero at the first look.
    pub waited: Duration,
    /// When the wait is given up anyway.
    pub at_most: Duration,
}

/// Looks on while a program waits for the service, ten times a second; false: give up.
pub type Watch = Box<dyn FnMut(Waiting) -> bool + Send>;

/// Who looks on, if anybody.
#[derive(Default)]
pub(crate) struct Watcher(Option<Watch>);

impl Watcher {
    pub(crate) fn new(watch: Watch) -> Self {
        Self(Some(watch))
    }
}

impl Debug for Watcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&self.0.is_some()).finish()
    }
}

/// One wait.
#[derive(Debug)]
pub(crate) struct Wait {
    what: &'static str,
    began: Option<Instant>,
}

impl Wait {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, began: None }
    }

    /// How long to wait until the next look.
    ///
    /// # Errors
    /// The service has had its time, or the program gives up.
    pub(crate) fn next(&mut self, watcher: &mut Watcher) -> Result<Duration, ReaderError> {
        let waited = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        self.began.get_or_insert_with(Instant::now);
        let what = self.what;
        let goes_on = watcher.0.as_mut().is_none_or(|look| look(Waiting { what, waited, at_most: PATIENCE }));
        if !goes_on {
            return Err(ReaderError::GivenUp { what });
        }
        match PATIENCE.checked_sub(waited) {
            Some(left) if !left.is_zero() => Ok(left.min(TICK)),
            _ => Err(ReaderError::Silent { what, seconds: PATIENCE.as_secs() }),
        }
    }
}
