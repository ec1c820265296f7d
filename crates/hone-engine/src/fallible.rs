//! The only code that grows a collection. Each function reserves memory first and adds then; if there is no memory, it
//! returns [`OutOfMemory`]. Holds no state. Called by every table and ring, and by shells in a kernel.
#![expect(
    clippy::disallowed_methods,
    reason = "each call comes after the reservation that keeps it from allocating"
)]

use alloc::{collections::VecDeque, vec::Vec};
use core::hash::Hash;

use hashbrown::HashMap;

use crate::OutOfMemory;

/// An empty vector with room for exactly `length` elements.
///
/// # Errors
/// There is no memory.
pub fn vec<T>(length: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(length)?;
    Ok(vec)
}

/// A vector of `length` copies of `value`.
pub(crate) fn filled<T: Clone>(value: T, length: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut filled = vec(length)?;
    filled.resize(length, value);
    Ok(filled)
}

/// A copy of `values`.
pub(crate) fn copied<T: Copy>(values: &[T]) -> Result<Vec<T>, OutOfMemory> {
    let mut copied = vec(values.len())?;
    copied.extend_from_slice(values);
    Ok(copied)
}

/// Adds `value` at the end.
///
/// # Errors
/// There is no memory; nothing is added.
pub fn push<T>(to: &mut Vec<T>, value: T) -> Result<(), OutOfMemory> {
    to.try_reserve(1)?;
    to.push(value);
    Ok(())
}

/// Adds `value` at the end. The caller has reserved room for it.
pub fn push_reserved<T>(to: &mut Vec<T>, value: T) {
    debug_assert!(to.len() < to.capacity());
    to.push(value);
}

/// Inserts `value` at `index`. The caller has reserved room for it.
pub fn insert_reserved<T>(to: &mut Vec<T>, index: usize, value: T) {
    debug_assert!(to.len() < to.capacity());
    to.insert(index, value);
}

/// Adds `values` at the end.
///
/// # Errors
/// There is no memory; nothing is added.
pub fn append<T: Copy>(to: &mut Vec<T>, values: &[T]) -> Result<(), OutOfMemory> {
    to.try_reserve(values.len())?;
    to.extend_from_slice(values);
    Ok(())
}

/// Adds `value` at the back.
pub(crate) fn push_back<T>(to: &mut VecDeque<T>, value: T) -> Result<(), OutOfMemory> {
    to.try_reserve(1)?;
    to.push_back(value);
    Ok(())
}

/// Sets `key` to `value`; returns its former value, if it had one.
pub(crate) fn insert<K: Eq + Hash, V>(
    to: &mut HashMap<K, V>,
    key: K,
    value: V,
) -> Result<Option<V>, OutOfMemory> {
    to.try_reserve(1)?;
    Ok(to.insert(key, value))
}
