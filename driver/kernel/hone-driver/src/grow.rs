//! The only code here that grows a collection: reserve, then add. Holds no state.
#![expect(
    clippy::disallowed_methods,
    reason = "each call comes after the reservation that keeps it from allocating"
)]

use alloc::vec::Vec;

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
