//! Names as text.

use std::fmt::Write as _;

/// Most bytes of a name, as DNS bounds them (RFC 1035, section 2.3.4). Longer ones are no host names.
pub const MAX_NAME: usize = 255;

/// A name as text: lower case, without the dot at its end. What does not print, and a backslash, are written as `\DDD`,
/// with three decimal digits (RFC 1035, section 5.1). `None`: it is empty, or too long.
pub(crate) fn name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() || bytes.len() > MAX_NAME {
        return None;
    }
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        push(*byte, &mut out);
    }
    Some(out)
}

/// Text that is no host name, with its upper case letters; `None` if it is empty.
pub(crate) fn as_given(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            byte if byte.is_ascii_uppercase() => out.push((*byte).into()),
            byte => push(*byte, &mut out),
        }
    }
    Some(out).filter(|text| !text.is_empty())
}

/// Appends a label of a DNS name. A dot in it is written as `\046`: it separates nothing.
pub(crate) fn label(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'.' => out.push_str(r"\046"),
            byte => push(*byte, out),
        }
    }
}

fn push(byte: u8, out: &mut String) {
    match byte {
        b'\\' | ..=b' ' | 0x7F.. => _ = write!(out, "\\{byte:03}"),
        byte => out.push(byte.to_ascii_lowercase().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_print() {
        assert_eq!(name(b"WWW.Example.COM.").as_deref(), Some("www.example.com"));
        assert_eq!(name(b"a\x1b[2J\\ \xe2\x80\xae").as_deref(), Some(r"a\027[2j\092\032\226\128\174"));
        assert_eq!((name(b""), name(b"."), name(&[b'a'; 256])), (None, None, None));
    }
}
