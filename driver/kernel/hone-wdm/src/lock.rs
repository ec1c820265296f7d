//! The spin lock. The code that holds it runs at DISPATCH_LEVEL.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::sys;

/// A value protected by an in-stack queued spin lock. Waiting processors get the lock in the order of their arrival,
/// and each one spins on its own memory.
#[derive(Debug)]
pub struct SpinLock<T> {
    lock: UnsafeCell<usize>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached by who holds the lock, one at a time, on whichever processor.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// Makes an unlocked lock (`KeInitializeSpinLock` stores 0).
    pub const fn new(value: T) -> Self {
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }

    /// Runs `work` with the lock held. Call it at up to DISPATCH_LEVEL, and never within `work`: a processor that takes
    /// a spin lock twice stops forever. `work` is [`Send`], which a [`Passive`](crate::Passive) is not.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: the lock was made by `new`; the handle stays in place until the lock is released below, which nothing
        // skips: a panic in `work` stops the machine.
        unsafe { sys::KeAcquireInStackQueuedSpinLock(self.lock.get(), handle.as_mut_ptr()) };
        // SAFETY: the lock is held, so nobody else has a reference.
        let result = work(unsafe { &mut *self.value.get() });
        // SAFETY: the handle is the one that the lock was taken with, on this processor.
        unsafe { sys::KeReleaseInStackQueuedSpinLock(handle.as_mut_ptr()) };
        result
    }
}
