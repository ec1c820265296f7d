//! The driver as a whole: what the four modules share. `lib.rs` says who calls it at which IRQL.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hone_engine::Nanos;

use crate::kernel::{Kernel, Lock, Purpose, log};
use crate::queue_manager::State;
use crate::{Host, Status};

/// The driver. Dropped when it is unloaded, after nobody calls it any more.
pub struct Driver<K: Kernel> {
    state: K::Lock<State<K::Event>>,
    /// How many readers are attached: as under the lock, for who wants to know before taking it.
    pub(crate) readers: AtomicUsize,
    pub(crate) loaded: Nanos,
}

impl<K: Kernel> Driver<K> {
    /// A driver that has seen nothing yet.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(host: &Host) -> Result<Self, Status> {
        let loaded = K::now();
        Ok(Self { state: K::Lock::new(State::new(host, loaded)?), readers: AtomicUsize::new(0), loaded })
    }

    /// How many readers are attached.
    pub fn readers(&self) -> usize {
        self.readers.load(Relaxed)
    }

    /// Expires packets that have waited for their owner long enough: for when nothing happens and no program reads.
    /// To be called a few times a second.
    pub fn tick(&self) {
        if self.readers() > 0 {
            self.locked(Purpose::Tick, |state| {
                // What happened until now has been reported: its time, too, was taken under the lock.
                state.queue.engine.tick(state.now);
                state.queue.wake();
            });
        }
    }

    /// Takes the lock, and then the time.
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
