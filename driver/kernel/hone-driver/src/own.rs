//! A value in its own allocation. Keeps no state.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use hone_engine::{OutOfMemory, fallible};

/// One value in its own allocation: like `Box`, but making it can fail. For values that are too large for a kernel
/// stack.
pub(crate) struct Own<T>(Vec<T>);

impl<T> Own<T> {
    pub(crate) fn new(value: T) -> Result<Self, OutOfMemory> {
        let mut values = fallible::vec(1)?;
        fallible::push_reserved(&mut values, value);
        Ok(Self(values))
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[0]
    }
}

impl<T> DerefMut for Own<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0[0]
    }
}
