//! The names of recordings.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Most characters of the host name that are used in a file name.
const MAX_HOST: usize = 64;

/// `HOST_YYYYMMDD_HHMMSS.pcapng`, of a time in nanoseconds since 1970, UTC.
#[must_use]
pub fn by_time(host: &str, nanos: u64) -> String {
    let host = prefix(host);
    let seconds = nanos / NANOS_PER_SECOND;
    let (year, month, day) = date(seconds / SECONDS_PER_DAY);
    let time = seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{host}{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}.pcapng")
}

/// Whether a name is one that [`by_time`] makes for this host, perhaps with a number.
#[must_use]
pub fn is_by_time(host: &str, name: &str) -> bool {
    name.strip_prefix(&prefix(host)).is_some_and(is_time)
}

/// Whether a name is one that [`by_time`] makes for some host, perhaps with a number.
#[cfg(target_os = "linux")]
pub(crate) fn is_of_any_host(name: &str) -> bool {
    name.match_indices('_').any(|(at, _)| is_time(&name[at + 1..]))
}

/// Whether this is the part of a name after the host's.
fn is_time(text: &str) -> bool {
    let digits = |text: &str, length: usize| text.len() == length && is_number(text);
    let time = text.strip_suffix(".pcapng");
    let Some((day, rest)) = time.and_then(|time| time.split_once('_')) else { return false };
    let (time, number) = rest.split_once('_').unwrap_or((rest, "0"));
    digits(day, 8) && digits(time, 6) && is_number(number)
}

/// Whether a name is that of `path`, perhaps with a number.
#[must_use]
pub fn is_numbered(path: &Path, name: &str) -> bool {
    let part =
        |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let dot = path.extension().map_or("", |_| ".");
    let end = format!("{dot}{}", part(path.extension()));
    let between = name.strip_prefix(&part(path.file_stem())).and_then(|rest| rest.strip_suffix(&end));
    between.is_some_and(|number| number.is_empty() || number.strip_prefix('_').is_some_and(is_number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The beginning of the names of a host's recordings.
fn prefix(host: &str) -> String {
    let host: String = host
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '_' })
        .take(MAX_HOST)
        .collect();
    // So that the name is neither that of a hidden file nor looks like an option.
    match host.trim_start_matches(['.', '-']) {
        "" => "host_".to_owned(),
        host => format!("{host}_"),
    }
}

/// `path` itself for 0, else with `_number` before the extension.
#[must_use]
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().map_or_else(OsString::new, OsString::from);
    name.push(format!("_{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last of its year; eras are 400 years of 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_host_and_time() {
        let name = |host, seconds: u64| by_time(host, seconds * NANOS_PER_SECOND + 999_999_999);
        assert_eq!(name("web-1.example", 0), "web-1.example_19700101_000000.pcapng");
        assert_eq!(name("a", 951_782_399), "a_20000228_235959.pcapng");
        assert_eq!(name("a", 951_868_799), "a_20000229_235959.pcapng");
        assert_eq!(name("a", 951_868_800), "a_20000301_000000.pcapng");
        assert_eq!(name("a", 4_107_542_399), "a_21000228_235959.pcapng");
        assert_eq!(name("a", 4_107_542_400), "a_21000301_000000.pcapng");
        assert_eq!(name("a", 1_785_412_799), "a_20260730_115959.pcapng");
    }

    #[test]
    fn a_host_name_cannot_leave_the_directory() {
        assert!(by_time("../../etc/x", 0).starts_with("_.._etc_x_1970"));
        assert!(by_time("-rf *\n", 0).starts_with("rf____1970"));
        assert!(by_time("", 0).starts_with("host_1970"));
        assert!(by_time(&"x".repeat(300), 0).len() < 100);
    }

    #[test]
    fn numbers_go_before_the_extension() {
        let numbered = |path, n| numbered(Path::new(path), n);
        assert_eq!(numbered("a/b.pcapng", 0), Path::new("a/b.pcapng"));
        assert_eq!(numbered("a/b.pcapng", 1), Path::new("a/b_1.pcapng"));
        assert_eq!(numbered("b", 12), Path::new("b_12"));
        assert_eq!(numbered("h.example_2026.pcapng", 2), Path::new("h.example_2026_2.pcapng"));
    }

    #[test]
    fn names_of_recordings_are_known_again() {
        for host in ["box", "web-1.example", "a_b", "..", ""] {
            let name = by_time(host, 7_000_000_000);
            assert!(is_by_time(host, &name), "{name}");
            let numbered = numbered(Path::new(&name), 12);
            assert!(is_by_time(host, numbered.to_str().unwrap()), "{numbered:?}");
            #[cfg(target_os = "linux")]
            assert!(is_of_any_host(&name) && !is_of_any_host(&name[..name.len() - 1]), "{name}");
        }
        for other in [
            "box.pcapng",
            "other_19700101_000007.pcapng",
            "box_1970_000007.pcapng",
            "box_19700101_000007_.pcapng",
        ] {
            assert!(!is_by_time("box", other), "{other}");
        }
        for (path, name, expected) in [
            ("x/a.pcapng", "a.pcapng", true),
            ("x/a.pcapng", "a_12.pcapng", true),
            ("x/a.pcapng", "ab.pcapng", false),
            ("x/a.pcapng", "a_b.pcapng", false),
            ("x/a.pcapng", "a_1.txt", false),
            ("a", "a_1", true),
        ] {
            assert_eq!(is_numbered(Path::new(path), name), expected, "{name}");
        }
    }
}
