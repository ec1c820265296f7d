//! The only functions that let a vector grow. They return an error when memory runs out.
#![expect(clippy::disallowed_methods, reason = "each call below is within capacity that has been reserved")]

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::ReadErrorKind;

/// Appends within capacity that the caller has reserved.
#[inline]
pub(crate) fn extend_reserved(vec: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(vec.capacity() - vec.len() >= bytes.len(), "the caller reserves");
    vec.extend_from_slice(bytes);
}

/// Appends, growing as needed. On error the vector is unchanged.
pub(crate) fn extend(vec: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ReadErrorKind> {
    vec.try_reserve(bytes.len()).map_err(|_| ReadErrorKind::OutOfMemory)?;
    extend_reserved(vec, bytes);
    Ok(())
}

/// Makes a vector at least so long, with zeros. On error it is unchanged.
pub(crate) fn lengthen(vec: &mut Vec<u8>, length: usize) -> Result<(), ReadErrorKind> {
    let more = length.saturating_sub(vec.len());
    vec.try_reserve(more).map_err(|_| ReadErrorKind::OutOfMemory)?;
    vec.resize(vec.len().max(length), 0);
    Ok(())
}

/// Appends one element, growing as needed. On error the vector is unchanged.
pub(crate) fn push<T>(vec: &mut Vec<T>, value: T) -> Result<(), ReadErrorKind> {
    vec.try_reserve(1).map_err(|_| ReadErrorKind::OutOfMemory)?;
    vec.push(value);
    Ok(())
}

/// Appends to a value that may be absent or borrowed: the first part stays borrowed, a second one takes memory.
pub(crate) fn concatenate<'a>(
    value: &mut Option<Cow<'a, [u8]>>,
    part: &'a [u8],
) -> Result<(), ReadErrorKind> {
    match value {
        None => *value = Some(Cow::Borrowed(part)),
        Some(Cow::Owned(whole)) => extend(whole, part)?,
        Some(Cow::Borrowed(first)) => {
            let mut whole = Vec::new();
            extend(&mut whole, first)?;
            extend(&mut whole, part)?;
            *value = Some(Cow::Owned(whole));
        }
    }
    Ok(())
}
