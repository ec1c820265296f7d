//! What options take as their values, and in which ranges. A value that is refused is answered with the range.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use hone_engine::{MAX_PACKET_BYTES, SnapLength};
use hone_select::{Condition, Word};

/// Longest recording that can be asked for.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Sizes between which files are rotated.
const MIN_FILE_BYTES: u64 = 1 << 20;
const MAX_FILE_BYTES: u64 = 16 << 40;
/// Shortest time between files.
const MIN_FILE_TIME: Duration = Duration::from_secs(1);
/// Times between two reports or pictures.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest kernel ring buffer, MiB.
#[cfg(target_os = "linux")]
const MAX_BUFFER_MIB: u32 = 1024;

pub(crate) fn snap_length(text: &str) -> Result<SnapLength, String> {
    text.parse()
        .ok()
        .and_then(SnapLength::new)
        .ok_or_else(|| format!("must be 0 (all of each packet) or 1 to {MAX_PACKET_BYTES} bytes"))
}

pub(super) fn count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| format!("must be 1 to {} packets", u64::MAX))
}

pub(super) fn rotate_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    // Only digits: a number's own parser would also take a sign.
    shift
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
        .zip(digits.parse::<u64>().ok())
        .and_then(|(shift, number)| number.checked_mul(1 << shift))
        .filter(|bytes| (MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(bytes))
        .ok_or_else(|| "must be 1M to 16T: a whole number of bytes, or one with K, M, G or T".to_owned())
}

pub(super) fn rotate_time(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| *time >= MIN_FILE_TIME)
        .ok_or_else(|| "must be 1s to 365d: a number, then s (or nothing), m, h or d".to_owned())
}

/// Bytes of what `--last` keeps: segments have a least size.
#[cfg(target_os = "linux")]
pub(super) fn last_size(text: &str) -> Result<u64, String> {
    rotate_size(text)
        .ok()
        .filter(|bytes| *bytes >= 8 * MIN_FILE_BYTES)
        .ok_or_else(|| "must be 8M to 16T: a whole number of bytes, or one with K, M, G or T".to_owned())
}

/// How long it is recorded after an event: nothing, too.
#[cfg(target_os = "linux")]
pub(super) fn save_after(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    duration(text).map_err(|_| "must be 0 to 365d: a number, then ms, s (or nothing), m, h or d".to_owned())
}

pub(super) fn max_files(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("must be 1 to {} files", u32::MAX))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    // Only digits and a point: f64 would also take "inf" and signs.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    unit.filter(|_| plain)
        .zip(number.parse::<f64>().ok())
        .and_then(|(unit, number)| Duration::try_from_secs_f64(number * unit).ok())
        .filter(|duration| (Duration::from_millis(1)..=MAX_DURATION).contains(duration))
        .ok_or_else(|| "must be 1ms to 365d: a number, then ms, s (or nothing), m, h or d".to_owned())
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| (MIN_INTERVAL..=MAX_INTERVAL).contains(time))
        .ok_or_else(|| "must be 0.1 (seconds) to 1d: a number, then ms, s (or nothing), m, h or d".to_owned())
}

#[cfg(target_os = "linux")]
pub(super) fn buffer_size(text: &str) -> Result<u32, String> {
    text.parse::<u32>()
        .ok()
        .filter(|mib| mib.is_power_of_two() && *mib <= MAX_BUFFER_MIB)
        .ok_or_else(|| format!("must be a power of two from 1 to {MAX_BUFFER_MIB} MiB"))
}

/// What options take as their values, for the fuzz targets (`hone-fuzz`): which of them take this text.
#[doc(hidden)]
#[must_use]
pub fn values(text: &str) -> Vec<bool> {
    if let Ok(time) = duration(text) {
        assert!(time <= MAX_DURATION);
    }
    if let Ok(bytes) = rotate_size(text) {
        assert!((MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(&bytes));
    }
    let selected = Word::ALL.into_iter().map(|word| Condition::new(word, false, text).is_ok());
    let others = [
        snap_length(text).is_ok(),
        count(text).is_ok(),
        rotate_size(text).is_ok(),
        rotate_time(text).is_ok(),
        max_files(text).is_ok(),
        duration(text).is_ok(),
    ];
    selected.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |text| duration(text).map(|d| d.as_secs_f64());
        for (text, expected) in [
            ("10", 10.0),
            ("10s", 10.0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("2m", 120.0),
            ("1.5h", 5400.0),
            ("1d", 86_400.0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert!(duration("365d").is_ok());
        let refused =
            ["", "0", "0s", "-1", "+1", "1e3", "inf", "nan", ".", "1.2.3", "s", "10 s", "10x", "366d", "1µs"];
        for text in refused {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn snap_lengths() {
        for text in ["0", "1", "96", "262144"] {
            assert_eq!(snap_length(text).map(|length| length.number().to_string()), Ok(text.to_owned()));
        }
        for text in ["", "-1", "262145", "4294967296", "96k", "0x10"] {
            assert!(snap_length(text).unwrap_err().contains("1 to 262144"), "{text:?}");
        }
    }

    #[test]
    fn rotation() {
        for (text, bytes) in
            [("1M", 1 << 20), ("1048576", 1 << 20), ("1024k", 1 << 20), ("3g", 3 << 30), ("16T", 16 << 40)]
        {
            assert_eq!(rotate_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1023K", "17T", "1.5M", "-1M", "+2M", "M", "1MB", "1 M", "99999999999999999999"]
        {
            assert!(rotate_size(text).unwrap_err().contains("1M to 16T"), "{text:?}");
        }
        assert_eq!(rotate_time("90m"), Ok(Duration::from_secs(5400)));
        for text in ["0", "999ms", "366d", ""] {
            assert!(rotate_time(text).unwrap_err().contains("1s to 365d"), "{text:?}");
        }
        assert!(max_files("0").is_err() && max_files("1").is_ok());
    }

    #[test]
    fn counts() {
        assert_eq!(count("1").map(NonZeroU64::get), Ok(1));
        for text in ["0", "-1", "", "1.5", "18446744073709551616"] {
            assert!(count(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "0.05", "2d", "often"] {
            assert!(interval(text).unwrap_err().contains("0.1 (seconds) to 1d"), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn buffer_sizes() {
        assert_eq!(buffer_size("1024"), Ok(1024));
        for text in ["0", "3", "2048", "-64", "64M", ""] {
            assert!(buffer_size(text).unwrap_err().contains("1 to 1024 MiB"), "{text:?}");
        }
    }
}
