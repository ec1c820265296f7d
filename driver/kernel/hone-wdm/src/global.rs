//! A value that callbacks without a context of their own reach: set when the driver is loaded, taken when it is unloaded.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that is set once in between two unloads.
#[derive(Debug)]
pub struct Global<T> {
    value: UnsafeCell<Option<T>>,
    is_set: AtomicBool,
}

// SAFETY: `value` is written only by `set`, before `is_set` lets anybody look, and by `take`, whose caller says that
// nobody looks any more.
unsafe impl<T: Send + Sync> Sync for Global<T> {}

impl<T> Default for Global<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Global<T> {
    /// Not set.
    #[must_use]
    pub const fn new() -> Self {
        Self { value: UnsafeCell::new(None), is_set: AtomicBool::new(false) }
    }

    /// Sets the value. To be called by `DriverEntry` only, which nobody else runs beside, and while it is not set.
    pub fn set(&self, value: T) {
        assert!(!self.is_set.load(Ordering::Acquire), "it is set already");
        // SAFETY: it is not set, so nobody has a reference, and only one thread runs `DriverEntry`.
        unsafe { *self.value.get() = Some(value) };
        self.is_set.store(true, Ordering::Release);
    }

    /// The value; `None` if it is not set.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        if !self.is_set.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: it is set, and stays so until `take`, whose caller says that nobody looks any more.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// Takes the value.
    ///
    /// # Safety
    /// Nobody has a reference from [`get`](Self::get), and nobody calls it meanwhile: every callback is unregistered.
    pub unsafe fn take(&self) -> Option<T> {
        self.is_set.store(false, Ordering::Release);
        // SAFETY: the caller says that nobody else looks.
        let value = unsafe { &mut *self.value.get() };
        value.take()
    }
}
