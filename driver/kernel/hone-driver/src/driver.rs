//! The driver as a whole: the state that its four modules share. `lib.rs` lists which caller runs at which IRQL.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hone_engine::Nanos;

use crate::kernel::{Kernel, Lock, Purpose, log};
use crate::queue_manager::State;
use crate::{Host, Status};

/// The driver. It is dropped when it is unloaded, after the last call into it has returned.
pub struct Driver<K: Kernel> {
    state: K::Lock<State<K::Event>>,
    /// Number of attached readers. A copy of the number under the lock, for callers that need it without the lock.
    pub(crate) readers: AtomicUsize,
    pub(crate) loaded: Nanos,
}

impl<K: Kernel> Driver<K> {
    /// Makes a driver that has recorded nothing yet.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(host: &Host) -> Result<Self, Status> {
        let loaded = K::now();
        Ok(Self { state: K::Lock::new(State::new(host, loaded)?), readers: AtomicUsize::new(0), loaded })
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
    pub(crate) fn locked<R>(&self, purpose: Purpose, work: impl FnOnce(&mut State<K::Event>) -> R) -> R {
        log!(K, LockStatus, "{purpose:?} takes the lock");
        let result = self.state.with(|state| {
            K::charge(purpose);
            state.now = K::now();
            let result = work(state);
            K::charge(Purpose::Driver);
            result
        });
        log!(K, LockStatus, "{purpose:?} has released the lock");
        result
    }
}

impl<K: Kernel> core::fmt::Debug for Driver<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Driver").field("readers", &self.readers()).finish_non_exhaustive()
    }
}
