//! Conversion to UTF-8 texts: from Windows' UTF-16, and from format arguments. Keeps no state.

use alloc::vec::Vec;
use core::char;
use core::fmt::{self, Write};

use hone_engine::{OutOfMemory, fallible};

/// `text` in UTF-8. Half a surrogate pair becomes U+FFFD. Ends at the first NUL, because no name contains one.
pub(crate) fn utf8(text: &[u16]) -> Result<Vec<u8>, OutOfMemory> {
    utf8_after(&[], text)
}

/// `start`, and after it `text` as [`utf8`] returns it.
pub(crate) fn utf8_after(start: &[u8], text: &[u16]) -> Result<Vec<u8>, OutOfMemory> {
    let mut bytes = fallible::vec(start.len() + text.len())?;
    fallible::append(&mut bytes, start)?;
    let end = text.iter().position(|&unit| unit == 0).unwrap_or(text.len());
    append(&mut bytes, &text[..end])?;
    Ok(bytes)
}

/// Texts that are separated by NUL, in UTF-8, each followed by NUL.
pub(crate) fn utf8_list(texts: &[u16]) -> Result<Vec<u8>, OutOfMemory> {
    let mut bytes = fallible::vec(texts.len() + 1)?;
    // NUL after the last text separates nothing.
    for text in texts.strip_suffix(&[0]).unwrap_or(texts).split(|&unit| unit == 0) {
        append(&mut bytes, text)?;
        fallible::push(&mut bytes, 0)?;
    }
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, text: &[u16]) -> Result<(), OutOfMemory> {
    for character in char::decode_utf16(text.iter().copied()) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        fallible::append(bytes, character.encode_utf8(&mut [0; 4]).as_bytes())?;
    }
    Ok(())
}

/// The text that `format!` would return, or an error if there is no memory.
pub(crate) fn formatted(arguments: fmt::Arguments<'_>) -> Result<Vec<u8>, OutOfMemory> {
    struct Bytes(Vec<u8>);
    impl Write for Bytes {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            fallible::append(&mut self.0, text.as_bytes()).map_err(|_| fmt::Error)
        }
    }
    let mut bytes = Bytes(Vec::new());
    bytes.write_fmt(arguments).map_err(|_| OutOfMemory)?;
    Ok(bytes.0)
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]
mod tests {
    use super::*;

    fn of(units: &[u16]) -> String {
        String::from_utf8(utf8(units).expect("there is memory")).expect("it is UTF-8")
    }

    #[test]
    fn every_kind_of_character_is_kept_and_half_a_pair_is_replaced() {
        let text: Vec<u16> = "a\u{e9}\u{20ac}\u{1F980}".encode_utf16().collect();
        assert_eq!(of(&text), "a\u{e9}\u{20ac}\u{1F980}");
        assert_eq!(of(&[0xD83E, 0x61]), "\u{FFFD}a");
        assert_eq!(of(&[0x61, 0, 0x62]), "a");
        assert_eq!(of(&[]), "");
    }
}
