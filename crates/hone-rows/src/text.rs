//! Bytes of somebody else's choice, made safe for display.

use std::fmt::Write as _;

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hexadecimal(bytes, &mut text);
    text
}

/// Appends bytes as lower-case hexadecimal digits.
pub fn push_hexadecimal(bytes: &[u8], text: &mut String) {
    bytes.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
}

/// Whether a character prints as itself and does not change how its neighbours print: no control, no direction or
/// other format control, no character that only combines, and no blank but the space. What people are shown has no
/// other characters than these, but escaped.
#[must_use]
pub fn prints(char: char) -> bool {
    matches!(char, ' '..='~') || (char.escape_debug().len() == 1 && !char.is_whitespace())
}

/// Appends bytes of somebody else's choice as one word that differs from any other: no blank in it, nothing that
/// does not print or would change how its neighbours print. `\\`, `\x1b` and `\u{202e}` stand for what was there.
pub fn escape(bytes: &[u8], out: &mut String) {
    for piece in pieces(bytes) {
        escape_piece(piece, out);
    }
}

/// The same in at most `most` characters: a longer word is cut between two characters or escapes, and ends with `..`.
#[must_use]
pub fn escaped(bytes: &[u8], most: usize) -> String {
    let mut out = String::new();
    let (mut length, mut fits) = (0, 0);
    for piece in pieces(bytes) {
        let before = out.len();
        escape_piece(piece, &mut out);
        length += out[before..].chars().count();
        if length > most {
            out.truncate(fits);
            out.push_str("..");
            break;
        }
        if length + 2 <= most {
            fits = out.len();
        }
    }
    out
}

/// The characters of a text, and the bytes that are none.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = Result<char, u8>> {
    bytes
        .utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().copied().map(Err)))
}

fn escape_piece(piece: Result<char, u8>, out: &mut String) {
    let _ = match piece {
        Ok('\\') => out.write_str("\\\\"),
        Ok(char @ ('\0'..=' ' | '\x7f')) => write!(out, "\\x{:02x}", u32::from(char)),
        Ok(char) if prints(char) => out.write_char(char),
        Ok(char) => write!(out, "{}", char.escape_unicode()),
        Err(byte) => write!(out, "\\x{byte:02x}"),
    };
}

/// A word as it is, but `-` for none, and what is really called so escaped.
#[must_use]
pub fn known(word: &str) -> &str {
    match word {
        "" => "-",
        "-" => "\\x2d",
        word => word,
    }
}

/// A machine's identity in the usual form of a GUID, in the order of its bytes.
#[must_use]
pub fn guid_text(guid: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (index, byte) in guid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        push_hexadecimal(&[*byte], &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_and_show_what_was_there() {
        let escaped = |bytes: &[u8]| {
            let mut out = String::new();
            escape(bytes, &mut out);
            out
        };
        assert_eq!(escaped("naïve-ü.sh".as_bytes()), "naïve-ü.sh");
        assert_eq!(escaped(b"a b\t\n\x1b[2J\0\x7f"), "a\\x20b\\x09\\x0a\\x1b[2J\\x00\\x7f");
        assert_eq!(escaped(b"\\x20"), "\\\\x20", "not a blank");
        assert_eq!(escaped(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(
            escaped("a\u{202e}b\u{a0}c\u{85}\u{2028}".as_bytes()),
            "a\\u{202e}b\\u{a0}c\\u{85}\\u{2028}"
        );
    }

    #[test]
    fn words_are_cut_between_escapes() {
        assert_eq!(escaped(b"abcdefgh", 8), "abcdefgh");
        assert_eq!(escaped(b"abcdefghij", 8), "abcdef..");
        assert_eq!(escaped(b"a\\x41", 8), "a\\\\x41");
        assert_eq!(escaped(b"caf\xe9\n", 11), "caf\\xe9\\x0a");
        assert_eq!(escaped(b"caf\xe9\n", 10), "caf\\xe9..");
        assert_eq!(escaped(b"caf\xe9\n", 8), "caf..");
        assert_eq!(escaped("ab\u{202e}c".as_bytes(), 9), "ab..");
    }
}
