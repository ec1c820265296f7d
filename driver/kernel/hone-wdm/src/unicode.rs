//! UTF-16 texts of a length that is known at compile time, and views of the kernel's texts.

use core::marker::PhantomData;
use core::slice;

use crate::sys::UNICODE_STRING;

/// A text of ASCII characters in UTF-16, for example the name of a device.
#[derive(Debug)]
pub struct Wide<const UNITS: usize>([u16; UNITS]);

impl<const UNITS: usize> Wide<UNITS> {
    /// Converts `text` to UTF-16. Its length must be the type's.
    ///
    /// # Panics
    /// At compile time, in a constant: the text is not ASCII, or has another length.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        assert!(bytes.len() == UNITS, "the length is not the type's");
        let mut units = [0; UNITS];
        let mut index = 0;
        while index < UNITS {
            assert!(bytes[index].is_ascii(), "only ASCII is one unit a byte");
            units[index] = bytes[index] as u16;
            index += 1;
        }
        Self(units)
    }

    /// The UTF-16 units.
    #[must_use]
    pub const fn units(&self) -> &[u16] {
        &self.0
    }
}

/// A constant text in UTF-16, `&'static [u16]`.
#[macro_export]
macro_rules! wide {
    ($text:literal) => {{
        const TEXT: $crate::Wide<{ $text.len() }> = $crate::Wide::new($text);
        TEXT.units()
    }};
}

/// A view of a text in the form that the kernel's functions take. Valid as long as the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unicode<'a> {
    string: UNICODE_STRING,
    text: PhantomData<&'a [u16]>,
}

impl<'a> Unicode<'a> {
    /// A view of `text`. It is cut at the longest length that the type can express: 32,767 units.
    pub(crate) fn new(text: &'a [u16]) -> Self {
        let bytes = u16::try_from(text.len() * 2).unwrap_or(u16::MAX - 1);
        let string = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.as_ptr() };
        Self { string, text: PhantomData }
    }

    pub(crate) const fn as_ptr(&self) -> *const UNICODE_STRING {
        &raw const self.string
    }
}

/// The units of a text that the kernel passes on. `None` if there is no text.
///
/// # Safety
/// `string` is null, or points to a string with a readable buffer; both stay so for `'a`.
pub(crate) unsafe fn units<'a>(string: *const UNICODE_STRING) -> Option<&'a [u16]> {
    // SAFETY: the caller says that it is null or readable.
    let string = unsafe { string.as_ref() }?;
    if string.Buffer.is_null() {
        return None;
    }
    // SAFETY: the caller says that the buffer is readable; its length is in bytes.
    Some(unsafe { slice::from_raw_parts(string.Buffer, usize::from(string.Length / 2)) })
}
