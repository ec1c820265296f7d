//! Splits a command line into arguments by the rules of Microsoft's C runtime ("Parsing C command-line arguments",
//! learn.microsoft.com). Keeps no state.

use alloc::vec::Vec;

use hone_engine::OutOfMemory;

use hone_engine::fallible;

/// The arguments of a command line, UTF-8, each followed by NUL.
///
/// Blanks and tabs separate arguments, except between quotation marks. Backslashes are ordinary characters, except
/// before a quotation mark: there, two backslashes mean one, and a single backslash makes the mark an ordinary
/// character. Between quotation marks, two marks in a row mean one ordinary mark. The program's name comes first and
/// has no escapes: if it begins with a mark, it ends at the next one.
pub(crate) fn arguments(command_line: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
    let mut arguments = fallible::vec(command_line.len() + 1)?;
    let (name, mut rest) = match command_line.strip_prefix(b"\"") {
        Some(quoted) => split(quoted, |byte| byte == b'"'),
        None => split(command_line, is_blank),
    };
    if command_line.is_empty() {
        return Ok(arguments);
    }
    fallible::append(&mut arguments, name)?;
    fallible::push(&mut arguments, 0)?;
    if command_line.first() == Some(&b'"') {
        rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    }
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Ok(arguments);
        }
        rest = argument(rest, &mut arguments)?;
        fallible::push(&mut arguments, 0)?;
    }
}

/// Appends the argument at the beginning of `rest` to `to`, and returns what follows it.
fn argument<'a>(mut rest: &'a [u8], to: &mut Vec<u8>) -> Result<&'a [u8], OutOfMemory> {
    let mut is_quoted = false;
    loop {
        let backslashes = rest.iter().take_while(|&&byte| byte == b'\\').count();
        let (slashes, after) = rest.split_at(backslashes);
        match after {
            [b'"', after @ ..] => {
                fallible::append(to, &slashes[..backslashes / 2])?;
                rest = after;
                if backslashes % 2 == 1 {
                    fallible::push(to, b'"')?;
                } else if let (true, [b'"', after @ ..]) = (is_quoted, after) {
                    fallible::push(to, b'"')?;
                    rest = after;
                } else {
                    is_quoted = !is_quoted;
                }
            }
            [byte, ..] if is_blank(*byte) && !is_quoted => {
                fallible::append(to, slashes)?;
                return Ok(after);
            }
            [byte, after @ ..] => {
                fallible::append(to, slashes)?;
                fallible::push(to, *byte)?;
                rest = after;
            }
            [] => {
                fallible::append(to, slashes)?;
                return Ok(after);
            }
        }
    }
}

fn split(bytes: &[u8], at: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|&byte| at(byte)).unwrap_or(bytes.len()))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the test itself allocates may abort"
)]
mod tests {
    use super::*;

    fn of(command_line: &str) -> Vec<String> {
        let bytes = arguments(command_line.as_bytes()).expect("there is memory");
        let text = String::from_utf8(bytes).expect("it is UTF-8");
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn microsofts_own_examples() {
        assert_eq!(of(r#"x "a b c" d e"#), ["x", "a b c", "d", "e"]);
        assert_eq!(of(r#"x "ab\"c" "\\" d"#), ["x", r#"ab"c"#, r"\", "d"]);
        assert_eq!(of(r#"x a\\\b d"e f"g h"#), ["x", r"a\\\b", "de fg", "h"]);
        assert_eq!(of(r#"x a\\\"b c d"#), ["x", r#"a\"b"#, "c", "d"]);
        assert_eq!(of(r#"x a\\\\"b c" d e"#), ["x", r"a\\b c", "d", "e"]);
        assert_eq!(of(r#"x a"b"" c d"#), ["x", r#"ab" c d"#]);
    }

    #[test]
    fn the_programs_name_knows_no_backslashes() {
        assert_eq!(of(r#""C:\Program Files\x.exe" 1"#), [r"C:\Program Files\x.exe", "1"]);
        assert_eq!(of(r"C:\x\ 1"), [r"C:\x\", "1"]);
        assert_eq!(of(r#""unended"#), ["unended"]);
    }

    #[test]
    fn blanks_and_nothing() {
        assert_eq!(of("x \t a\t\tb  "), ["x", "a", "b"]);
        assert_eq!(of(r#"x "" y"#), ["x", "", "y"]);
        assert_eq!(of(" x"), ["", "x"], "a line that begins with a blank names no program");
        assert!(of("").is_empty());
    }
}
