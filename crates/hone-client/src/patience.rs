//! Waits for the service. Each wait has a time limit, and the program can watch it and stop it. Owned by
//! [`Connection`](crate::Connection).

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use crate::error::ReaderError;

/// How long a client waits for one answer of the service.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often the program's [`Watch`] is called.
const TICK: Duration = Duration::from_millis(100);

/// A wait as it is reported to the [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What the service should do, such as "to answer".
    pub what: &'static str,
    /// Time since the wait began: zero at the first call.
    pub waited: Duration,
    /// Time after which the wait ends with an error.
    pub at_most: Duration,
}

/// Called ten times a second while a program waits for the service. Returns false to end the wait.
pub type Watch = Box<dyn FnMut(Waiting) -> bool + Send>;

/// The function to call during waits, if there is one.
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

/// One wait for the service.
#[derive(Debug)]
pub(crate) struct Wait {
    what: &'static str,
    began: Option<Instant>,
}

impl Wait {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, began: None }
    }

    /// How long to wait until the next call of the watcher.
    ///
    /// # Errors
    /// The time limit is over, or the watcher ended the wait.
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
