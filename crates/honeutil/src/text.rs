//! How numbers and names are written for people.

use std::path::Path;
use std::time::Duration;

pub use hone_rows::text::{escape, escaped, hexadecimal, push_hexadecimal};
pub(crate) use hone_rows::text::{known, prints};
pub use hone_select::base_name;

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `number` and what it counts, in singular or plural.
#[must_use]
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// `1536` as `1.5 KiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    // In tenths, rounded: 1023.96 KiB must not read "1024.0 KiB".
    let mut unit = 1024_u128;
    let mut index = 0;
    let tenths = |unit: u128| (u128::from(number) * 10 + unit / 2) / unit;
    while tenths(unit) >= 10_240 && index + 1 < UNITS.len() {
        unit *= 1024;
        index += 1;
    }
    let tenths = tenths(unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[index])
}

/// `12.3 s`, `2 min 05 s`, `1 h 02 min`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A time in nanoseconds since 1970 as `2026-07-30 12:00:00 UTC`.
#[must_use]
pub fn utc(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (year, month, day) = crate::output::file_names::date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `part` of `whole` in per cent. Only all is `100 %`, only none is `0 %`.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    match part {
        0 => "0 %".to_owned(),
        _ if part >= whole => "100 %".to_owned(),
        _ => {
            let tenths = u128::from(part) * 1000 / u128::from(whole);
            if tenths == 0 { "< 0.1 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
        }
    }
}

/// A name that another program or user chose, made safe for a terminal: characters that do not print, or would change
/// how others print, are escaped. At most `most` characters; a longer name is cut and ends with `..`.
#[must_use]
pub fn printable(name: &str, most: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for char in name.chars() {
        let before = out.len();
        push_printable(char, &mut out);
        length += out[before..].chars().count();
        if length > most {
            while out.chars().count() + 2 > most && out.pop().is_some() {}
            out.push_str("..");
            break;
        }
    }
    out
}

/// A path that another program or user chose, made safe for a terminal.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    /// More characters than a path has.
    const MOST: usize = 4096;
    printable(&path.to_string_lossy(), MOST)
}

fn push_printable(char: char, out: &mut String) {
    match char {
        _ if prints(char) => out.push(char),
        '\0' | '\t' | '\n' | '\r' => out.extend(char.escape_debug()),
        _ => out.extend(char.escape_unicode()),
    }
}

/// Text of several lines, made safe for a terminal: as [`printable`], but line ends stay.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push(char),
            _ => push_printable(char, &mut out),
        }
    }
    out
}

/// From `start` on, escapes the characters that the text form also escapes, so that no name can control a terminal.
/// Such characters occur only within JSON strings, where serde_json has already escaped all ASCII controls except the
/// last one.
pub(crate) fn escape_json(start: usize, out: &mut Vec<u8>) {
    // Usually there are none. One check of the line costs less than one of each string.
    if out[start..].iter().copied().max() < Some(b'\x7F') {
        return;
    }
    let line = String::from_utf8_lossy(&out[start..]).into_owned();
    out.truncate(start);
    for char in line.chars() {
        if prints(char) {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "packet"), "1 packet");
        assert_eq!(counted(2, "packet"), "2 packets");
    }

    #[test]
    fn sizes() {
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), expected, "{number}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(duration(Duration::from_secs(3725)), "1 h 02 min");
    }

    #[test]
    fn shares_never_round_to_all_or_nothing() {
        assert_eq!(share(0, 0), "0 %");
        assert_eq!(share(5, 5), "100 %");
        assert_eq!(share(99_999, 100_000), "99.9 %");
        assert_eq!(share(1, 100_000), "< 0.1 %");
    }

    #[test]
    fn base_names() {
        for (path, name) in [
            ("[kworker/0:1]", "[kworker/0:1]"),
            ("/usr/bin/x", "x"),
            ("odd/", "odd"),
            ("/", "/"),
            ("", ""),
            ("\\Device\\HarddiskVolume2\\x.exe", "x.exe"),
            ("/home/a\\b", "a\\b"),
        ] {
            assert_eq!(base_name(path.as_bytes()), name.as_bytes());
        }
    }

    #[test]
    fn lines_stay_and_cannot_steer_the_terminal() {
        assert_eq!(printable_lines("a: \u{e9}\n  b\n"), "a: \u{e9}\n  b\n");
        assert_eq!(printable_lines("a\x1b[2J\r\u{202e}\nb"), "a\\u{1b}[2J\\r\\u{202e}\nb");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("python3.11", 24), "python3.11");
        assert_eq!(printable("o'clock \"x\" ü", 24), "o'clock \"x\" ü");
        assert_eq!(printable("a\x1b[2Jb\r\n", 40), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(printable("abc\u{202e}gpj.exe", 40), "abc\\u{202e}gpj.exe");
        assert_eq!(printable("abcdefghij", 8), "abcdef..");
        assert_eq!(printable("abcdefgh", 8), "abcdefgh");
        assert_eq!(printable("\x1b\x1b\x1b\x1b", 8), "\\u{1b}..");
    }
}
