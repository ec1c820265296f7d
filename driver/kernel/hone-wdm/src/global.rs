//! A value for callbacks that have no context of their own. It is set when the driver is loaded and taken when it is
//! unloaded.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::Passive;

/// A value that is set once between two unloads.
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
    /// Makes an unset value.
    #[must_use]
    pub const fn new() -> Self {
        Self { value: UnsafeCell::new(None), is_set: AtomicBool::new(false) }
    }

    /// Sets the value. Only `DriverEntry` calls this, while the value is not set; nothing else runs at that time.
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

    /// Takes the value. It is released at PASSIVE_LEVEL then.
    ///
    /// # Safety
    /// No reference from [`Self::get`] exists, and nothing calls `get` meanwhile: every callback is unregistered.
    pub unsafe fn take(&self, _: Passive) -> Option<T> {
        self.is_set.store(false, Ordering::Release);
        // SAFETY: the caller says that nobody else looks.
        let value = unsafe { &mut *self.value.get() };
        value.take()
    }
}
