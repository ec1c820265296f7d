//! When to stop and when to start the next file: on a signal, after the given time, or when the recording loop requests
//! it.
//!
//! Signal handlers only set the flags in here. The recording thread checks them between its steps.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::platform;

/// How long a stop goes on before a further Ctrl-C or SIGTERM ends the program at once.
/// Not zero, for `timeout` and terminals may send the same signal twice.
pub(crate) const FORCE_AFTER: Duration = Duration::from_millis(500);
/// Exit status after a forced end, as a shell reports SIGINT.
pub(crate) const FORCED_STATUS: i32 = 130;

/// The flags, and the time at which to stop. A clone is the same control.
#[derive(Debug, Clone, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    restart: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
    force: Arc<AtomicBool>,
    times: Arc<Mutex<Times>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Times {
    deadline: Option<Instant>,
    stopping_since: Option<Instant>,
}

impl Control {
    /// A control without signal handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A control that Ctrl-C and similar signals reach: see `signals` of each platform.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn with_signals() -> io::Result<Self> {
        let control = Self::new();
        platform::signals::register(&control)?;
        Ok(control)
    }

    /// A flag that stops the recording when raised.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// A flag that starts the next file when raised.
    #[must_use]
    pub fn restart_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.restart)
    }

    /// A flag that asks for what is kept to be saved, when raised.
    #[must_use]
    pub fn save_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.save)
    }

    /// A flag that is set once a further signal ends the program at once.
    pub(crate) fn force_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.force)
    }

    /// Stop after this time.
    pub fn stop_after(&mut self, duration: Duration) {
        self.times().deadline = Instant::now().checked_add(duration);
    }

    /// Stop now.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Time since a stop was first seen; `None` while there is no reason to stop.
    pub fn stopping(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let mut times = self.times();
        if times.stopping_since.is_none()
            && (self.stop.load(Ordering::Relaxed) || times.deadline.is_some_and(|deadline| now >= deadline))
        {
            times.stopping_since = Some(now);
        }
        let since = now - times.stopping_since?;
        if since >= FORCE_AFTER {
            self.force.store(true, Ordering::Relaxed);
        }
        Some(since)
    }

    /// Returns `most`, or less if the recording must stop before.
    #[must_use]
    pub fn wait_at_most(&self, most: Duration) -> Duration {
        self.times()
            .deadline
            .map_or(most, |deadline| most.min(deadline.saturating_duration_since(Instant::now())))
    }

    /// Only one thread uses it, so the lock is always free.
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next file is to be started; true once for each request.
    pub fn take_restart(&mut self) -> bool {
        self.restart.swap(false, Ordering::Relaxed)
    }

    /// Whether what is kept is to be saved; true once for each request.
    pub fn take_save(&mut self) -> bool {
        self.save.swap(false, Ordering::Relaxed)
    }
}
