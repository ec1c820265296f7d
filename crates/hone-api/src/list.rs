//! A view of values that lie one after the other in a buffer of the caller.

use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;

use crate::{BufferTooSmall, Fixed};

/// Values of fixed length in the buffer they came in.
pub struct List<'a, T> {
    /// The values' bytes. The length is a multiple of one value's length.
    bytes: &'a [u8],
    values: PhantomData<T>,
}

impl<'a, T: Fixed> List<'a, T> {
    /// The empty list.
    pub const EMPTY: Self = Self { bytes: &[], values: PhantomData };

    /// The values in `bytes`. An incomplete value at the end is left out.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: &bytes[..bytes.len() / T::BYTES * T::BYTES], values: PhantomData }
    }

    /// Writes values to the start of a buffer, for a request. The rest of the buffer does not change.
    ///
    /// # Errors
    /// The buffer is too small. It may contain some of the values then.
    pub fn write(values: impl IntoIterator<Item = T>, buffer: &'a mut [u8]) -> Result<Self, BufferTooSmall> {
        let mut end: usize = 0;
        for value in values {
            let start = end;
            end += T::BYTES;
            let available = buffer.len();
            value.put(buffer.get_mut(start..end).ok_or(BufferTooSmall { needed: end, available })?);
        }
        Ok(Self { bytes: &buffer[..end], values: PhantomData })
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / T::BYTES
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + Clone + use<'a, T> {
        self.bytes.chunks_exact(T::BYTES).map(T::get)
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for List<'_, T> {}

impl<T: Fixed + Debug> Debug for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
