//! The only code that grows a collection: it reserves memory first.
#![expect(
    clippy::disallowed_methods,
    reason = "each call comes after the reservation that keeps it from allocating"
)]

use alloc::vec::Vec;

use crate::error::OutOfMemory;

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

/// A copy of `values`.
pub(crate) fn copied<T: Copy>(values: &[T]) -> Result<Vec<T>, OutOfMemory> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len())?;
    copy.extend_from_slice(values);
    Ok(copy)
}
