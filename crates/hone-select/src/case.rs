//! Names of files and accounts of Windows, in which upper and lower case are alike.

use core::str;

/// What comes behind `begin` in `name`, if it begins so. A slash is a backslash here, as Windows takes both.
pub(crate) fn behind<'a>(name: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    // Most names differ soon, and in ASCII.
    let are_alike = |(own, other): &(&u8, &u8)| {
        own.is_ascii() && other.is_ascii() && alike(char::from(**own), char::from(**other))
    };
    let count = name.iter().zip(begin).take_while(are_alike).count();
    let (name, begin) = (&name[count..], &begin[count..]);
    match (name.first(), begin.first()) {
        (_, None) => return Some(name),
        (None, _) => return None,
        (Some(own), Some(other)) if own.is_ascii() && other.is_ascii() => return None,
        _ => {}
    }
    let (Ok(text), Ok(begin)) = (str::from_utf8(name), str::from_utf8(begin)) else {
        return name.strip_prefix(begin);
    };
    let mut rest = text.chars();
    begin
        .chars()
        .all(|other| rest.next().is_some_and(|own| alike(own, other)))
        .then_some(rest.as_str().as_bytes())
}

fn alike(one: char, other: char) -> bool {
    one == other || one.is_ascii() == other.is_ascii() && upper(one) == upper(other)
}

/// The letter in upper case, if that is one character: `ß` stays as it is, as in the table of upper case that NTFS has on
/// each volume. So do letters whose upper case is ASCII, such as the dotless i of Turkish.
fn upper(letter: char) -> char {
    if letter.is_ascii() {
        return if letter == '/' { '\\' } else { letter.to_ascii_uppercase() };
    }
    let mut letters = letter.to_uppercase();
    match (letters.next(), letters.next()) {
        (Some(only), None) if !only.is_ascii() => only,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_alike_that_windows_takes_for_alike() {
        for (name, begin, rest) in [
            ("Chrome.EXE", "chrome.exe", Some("")),
            ("Browsér.exe", "BROWSÉR", Some(".exe")),
            ("Ждать.exe", "жДАТЬ.EXE", Some("")),
            (r"C:\Tools\a.exe", "c:/tools/", Some("a.exe")),
            ("straße.exe", "STRASSE.exe", None),
            ("fıle.exe", "FILE.EXE", None),
            ("a", "ab", None),
            ("a", "b", None),
        ] {
            assert_eq!(behind(name.as_bytes(), begin.as_bytes()), rest.map(str::as_bytes), "{name} {begin}");
        }
        for (name, begin, rest) in [
            (&b"A\xff.exe"[..], &b"a"[..], Some(&b"\xff.exe"[..])),
            (b"A\xff.exe", b"a\xff", Some(b".exe")),
            (b"A\xff.exe", b"a\xfe", None),
        ] {
            assert_eq!(behind(name, begin), rest, "{name:?} {begin:?}");
        }
    }
}
