//! The driver as a whole: the state that its four modules share. `lib.rs` lists which caller runs at which IRQL.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use hone_api::LogLevels;
use hone_engine::Nanos;

use crate::kernel::{Kernel, Level, Lock, Purpose, log};
use crate::queue_manager::State;
use crate::{Host, Status};

/// The driver. It is dropped when it is unloaded, after the last call into it has returned.
pub struct Driver<K: Kernel> {
    state: K::Lock<State<K::Event>>,
    /// Number of attached readers. A copy of the number under the lock, for callers that need it without the lock.
    pub(crate) readers: AtomicUsize,
    pub(crate) loaded: Nanos,
    /// The mask of the log levels.
    log_levels: AtomicU32,
}

impl<K: Kernel> Driver<K> {
    /// Makes a driver that has recorded nothing yet.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(host: &Host) -> Result<Self, Status> {
        let loaded = K::now();
        Ok(Self {
            state: K::Lock::new(State::new(host, loaded)?),
            readers: AtomicUsize::new(0),
            loaded,
            log_levels: AtomicU32::new(LogLevels::ALL),
        })
    }

    /// Which messages the driver writes, if the kernel's mask shows them, too.
    #[must_use]
    pub fn log_levels(&self) -> LogLevels {
        LogLevels::from_mask(self.log_levels.load(Relaxed)).unwrap_or(LogLevels::all())
    }

    /// Sets which messages the driver writes. At the start, all: then the kernel's mask alone decides.
    pub fn set_log_levels(&self, levels: LogLevels) {
        self.log_levels.store(levels.mask(), Relaxed);
    }

    /// Takes over the mask of log levels that the registry contains, if there is one. All levels stay on if it has a bit
    /// that is no level.
    pub fn restore_log_levels(&self, mask: Option<u32>) {
        match mask.map(LogLevels::from_mask) {
            None => {}
            Some(Ok(levels)) => self.set_log_levels(levels),
            Some(Err(_)) => {
                let mask = mask.unwrap_or_default();
                log!(
                    self,
                    Warning,
                    "LogLevels is {mask:#x}; allowed: 0 to {:#x}. All are used",
                    LogLevels::ALL
                );
            }
        }
    }

    /// Whether messages of this level are shown; at any IRQL.
    pub(crate) fn shows(&self, level: Level) -> bool {
        self.log_levels.load(Relaxed) & level.bit() != 0 && K::shows(level)
    }

    /// Writes a message to the kernel debugger; at any IRQL.
    #[expect(clippy::unused_self, reason = "the driver's messages")]
    pub(crate) fn show(&self, level: Level, message: fmt::Arguments<'_>) {
        K::show(level, message);
    }

    /// Number of attached readers.
    pub fn readers(&self) -> usize {
        self.readers.load(Relaxed)
    }

    /// Expires held packets that have waited long enough for their owner. The caller runs this a few times a second, so
    /// that packets also expire when nothing else happens and no program reads.
    pub fn tick(&self) {
        if self.readers() > 0 {
            self.locked(Purpose::Tick, |state| {
                // All earlier events have been reported: their time, too, was taken under the lock.
                state.queue.engine.tick(state.now);
                state.queue.wake();
            });
        }
    }

    /// Takes the lock, reads the time, and runs `work`.
    pub(crate) fn locked<R>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(&mut State<K::Event>) -> R + Send,
    ) -> R {
        log!(self, LockStatus, "{purpose:?} takes the lock");
        let result = self.state.with(|state| {
            K::charge(purpose);
            state.now = K::now();
            let result = work(state);
            K::charge(Purpose::Driver);
            result
        });
        log!(self, LockStatus, "{purpose:?} has released the lock");
        result
    }
}

impl<K: Kernel> fmt::Debug for Driver<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("readers", &self.readers()).finish_non_exhaustive()
    }
}
