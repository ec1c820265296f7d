//! The spin lock. Who holds it is at DISPATCH_LEVEL.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::sys;

/// A value under an in-stack queued spin lock: those who wait get it in the order in which they came, and each spins on
/// memory of its own.
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
    /// A free lock (`KeInitializeSpinLock` stores 0).
    pub const fn new(value: T) -> Self {
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }

    /// Takes the lock for the length of `work`. At up to DISPATCH_LEVEL, and not within `work`: a spin lock taken twice
    /// stops the processor for good.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
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
