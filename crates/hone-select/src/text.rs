//! Names that a user gives, as they are or as Hone prints them.

use alloc::vec::Vec;
use core::str;

use crate::case;
use crate::error::{ConditionError, OutOfMemory};
use crate::fallible::{append, copied};

/// A name to look for.
///
/// `show` escapes what does not print: `evil\x1b.sh`, `caf\xe9`, `\u{202e}`, `\\`. In JSON strings, U+FFFD stands for bytes that
/// are not UTF-8. A name that was copied from there is found too.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    given: Vec<u8>,
    /// What it stands for, if it may be an escaped form.
    unescaped: Option<Vec<u8>>,
    /// Whether it has U+FFFD.
    has_replacement: bool,
}

/// What JSON strings have for bytes that are not UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

impl Text {
    /// The name that a user has written so.
    pub(crate) fn new(given: &str) -> Result<Self, OutOfMemory> {
        let unescaped = if given.contains('\\') { unescaped(given)?.ok() } else { None };
        let has_replacement = given.contains(char::REPLACEMENT_CHARACTER);
        Ok(Self { given: copied(given.as_bytes())?, unescaped, has_replacement })
    }

    /// The same for a file or its path. There, what begins as an escape must be one, except in a path of Windows.
    pub(crate) fn of_file(given: &str) -> Result<Self, ConditionError> {
        if !is_windows_path(given)
            && let Err(rest) = unescaped(given)?
            && (rest.starts_with(r"\x") || rest.starts_with(r"\u{"))
        {
            let before = given.strip_suffix(rest).unwrap_or_default();
            return Err(ConditionError::Escape { at: before.chars().count() + 1 });
        }
        Ok(Self::new(given)?)
    }

    /// As the user has written it.
    #[must_use]
    pub fn given(&self) -> &str {
        str::from_utf8(&self.given).unwrap_or_default()
    }

    /// Whether a name is this one, or of Windows and this one in other case.
    pub(crate) fn is_alike(&self, name: &[u8], is_windows: bool) -> bool {
        self.is(name) || is_windows && self.forms().any(|form| case::behind(name, form) == Some(&[]))
    }

    /// Whether a name begins with this one, or is of Windows and begins so in other case.
    pub(crate) fn begins_alike(&self, name: &[u8], is_windows: bool) -> bool {
        self.begins(name) || is_windows && self.forms().any(|form| case::behind(name, form).is_some())
    }

    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        [Some(&self.given), self.unescaped.as_ref()].into_iter().flatten().map(Vec::as_slice)
    }

    /// Whether a name is this one.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        name == self.given
            || self.unescaped.as_ref().is_some_and(|text| name == text)
            || self.has_lossy(name, false)
    }

    /// Whether a name begins with this one.
    pub(crate) fn begins(&self, name: &[u8]) -> bool {
        name.starts_with(&self.given)
            || self.unescaped.as_ref().is_some_and(|text| name.starts_with(text))
            || self.has_lossy(name, true)
    }

    /// Whether a name is this one and the bytes behind it.
    pub(crate) fn is_with(&self, name: &[u8], end: &[u8]) -> bool {
        name.strip_suffix(end).is_some_and(|begin| self.is(begin))
    }

    /// Whether it names a folder: it ends with a slash, or with a backslash and has no slash, as on Windows.
    pub(crate) fn is_folder(&self) -> bool {
        match self.given.last() {
            Some(b'/') => true,
            Some(b'\\') => !self.given.contains(&b'/'),
            _ => false,
        }
    }

    /// Whether every name that `other` matches, by its beginning or as a whole, begins with this one.
    pub(crate) fn begins_all_of(&self, other: &Self) -> bool {
        other.given.starts_with(&self.given)
    }

    fn has_lossy(&self, name: &[u8], only_begins: bool) -> bool {
        self.has_replacement && lossy(name, &self.given, only_begins)
    }
}

/// Whether it is a whole path of Windows: `C:\Tools`, `\Device\HarddiskVolume1`.
pub(crate) fn is_windows_path(text: &str) -> bool {
    match text.as_bytes() {
        [drive, b':', ..] => drive.is_ascii_alphabetic(),
        [b'\\', b'x' | b'u', ..] => false,
        [b'\\', rest @ ..] => rest.contains(&b'\\'),
        _ => false,
    }
}

/// Whether a name's form with U+FFFD for what is not UTF-8 is this text, or begins with it.
fn lossy(name: &[u8], text: &[u8], only_begins: bool) -> bool {
    let mut rest = text;
    for chunk in name.utf8_chunks() {
        let replacement = if chunk.invalid().is_empty() { &[][..] } else { REPLACEMENT };
        for part in [chunk.valid().as_bytes(), replacement] {
            match rest.strip_prefix(part) {
                Some(behind) => rest = behind,
                None => return only_begins && part.starts_with(rest),
            }
        }
    }
    rest.is_empty()
}

/// The bytes that an escaped form stands for; `Err` if it is none, with the text from its first backslash on that begins
/// no escape.
fn unescaped(given: &str) -> Result<Result<Vec<u8>, &str>, OutOfMemory> {
    let mut out = Vec::new();
    let mut rest = given;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        append(&mut out, before.as_bytes())?;
        rest = if let Some(after) = escape.strip_prefix(r"\\") {
            append(&mut out, b"\\")?;
            after
        } else if let Some((byte, after)) = escaped_byte(escape) {
            append(&mut out, &[byte])?;
            after
        } else if let Some((char, after)) = escaped_char(escape) {
            append(&mut out, char.encode_utf8(&mut [0; 4]).as_bytes())?;
            after
        } else {
            return Ok(Err(escape));
        };
    }
    append(&mut out, rest.as_bytes())?;
    Ok(Ok(out))
}

/// `\xe9`, and what comes behind it.
fn escaped_byte(text: &str) -> Option<(u8, &str)> {
    let (digits, after) = text.strip_prefix(r"\x")?.split_at_checked(2)?;
    Some((u8::try_from(hexadecimal(digits)?).ok()?, after))
}

/// `\u{202e}`, and what comes behind it.
fn escaped_char(text: &str) -> Option<(char, &str)> {
    let (digits, after) = text.strip_prefix(r"\u{")?.split_once('}')?;
    Some((char::from_u32(hexadecimal(digits)?)?, after))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_it_is_and_as_it_is_printed() {
        for (given, name) in [
            ("curl", &b"curl"[..]),
            (r"evil\x1b.sh", b"evil\x1b.sh"),
            (r"evil\x1b.sh", br"evil\x1b.sh"),
            (r"caf\xe9", b"caf\xe9"),
            (r"\u{202e}x", "\u{202e}x".as_bytes()),
            (r"a\\b", br"a\b"),
            (r"C:\Windows", br"C:\Windows"),
            ("caf\u{fffd}", b"caf\xe9"),
            ("\u{fffd}x\u{fffd}", b"\xffx\xfe"),
        ] {
            assert!(Text::new(given).unwrap().is(name), "{given}");
            assert!(!Text::new(given).unwrap().is(&[name, b"x"].concat()), "{given}");
            assert!(Text::new(given).unwrap().begins(&[name, b"x"].concat()), "{given}");
        }
        for given in
            [r"\", r"\x", r"\x1", r"\u", r"\u{", r"\u{}", r"\u{110000}", r"\u{d800}", r"\n", r"\x+1", r"\xé"]
        {
            assert_eq!(Text::new(given).unwrap().unescaped, None, "{given}");
        }
    }

    #[test]
    fn a_folder_ends_with_its_separator() {
        for (given, folder) in [("/usr/", true), ("/usr", false), (r"C:\Tools\", true), (r"/tmp/a\", false)] {
            assert_eq!(Text::new(given).unwrap().is_folder(), folder, "{given}");
        }
    }
}
