//! The only code here that grows a collection: reserve, then add. Holds no state.
#![expect(
    clippy::disallowed_methods,
    reason = "each call comes after the reservation that keeps it from allocating"
)]

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use hone_engine::OutOfMemory;

/// An empty vector with room for exactly `length` elements.
pub(crate) fn vec<T>(length: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(length)?;
    Ok(vec)
}

/// Adds `value` at the end.
pub(crate) fn push<T>(to: &mut Vec<T>, value: T) -> Result<(), OutOfMemory> {
    to.try_reserve(1)?;
    to.push(value);
    Ok(())
}

/// Adds `values` at the end.
pub(crate) fn append<T: Copy>(to: &mut Vec<T>, values: &[T]) -> Result<(), OutOfMemory> {
    to.try_reserve(values.len())?;
    to.extend_from_slice(values);
    Ok(())
}

/// One value in memory of its own: a `Box` whose making can fail. For what is too large for a kernel's stack.
pub(crate) struct Own<T>(Vec<T>);

impl<T> Own<T> {
    pub(crate) fn new(value: T) -> Result<Self, OutOfMemory> {
        let mut values = vec(1)?;
        values.push(value);
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
