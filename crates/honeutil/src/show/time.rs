//! Times as people and machines both read them: RFC 3339, all nine digits of the nanoseconds, in UTC or in local time.

use std::fmt::Write as _;

pub use hone_rows::Span;

use crate::output::file_names::date;
use crate::platform;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Offsets from UTC change only at multiples of this many seconds.
const SECONDS_PER_OFFSET: u64 = 900;

/// Writes times, and remembers the day and second of the last one, for events come in their order.
#[derive(Debug, Default)]
pub(crate) struct Times {
    is_local: bool,
    second: Option<u64>,
    /// `2026-07-30T12:00:00.123456789Z`
    text: String,
    /// Which offset from UTC it was looked up for, and the offset, seconds.
    offset: Option<(u64, i64)>,
    /// How the offset is written.
    zone: String,
}

impl Times {
    /// Characters of a time in UTC without its zone.
    const DIGITS: usize = 29;

    /// Writes local times, with their offsets from UTC.
    pub(crate) fn local() -> Self {
        Self { is_local: true, ..Self::default() }
    }

    /// Characters of every time.
    pub(crate) fn width(&self) -> usize {
        Self::DIGITS + if self.is_local { "+00:00".len() } else { "Z".len() }
    }

    /// The text of a time in nanoseconds since 1970-01-01 UTC.
    pub(crate) fn text(&mut self, nanos: u64) -> &str {
        let (seconds, nanos) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
        if self.second != Some(seconds) {
            self.second = Some(seconds);
            let seconds = self.in_zone(seconds);
            let (year, month, day) = date(seconds / SECONDS_PER_DAY);
            let time = seconds % SECONDS_PER_DAY;
            let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
            self.text.clear();
            let _ = write!(self.text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.");
        }
        self.text.truncate(Self::DIGITS - 9);
        let mut digits = [b'0'; 9];
        let mut rest = nanos;
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.text.push_str(str::from_utf8(&digits).unwrap_or_default());
        self.text.push_str(if self.is_local { &self.zone } else { "Z" });
        &self.text
    }

    /// The seconds that a clock of the zone shows.
    fn in_zone(&mut self, seconds: u64) -> u64 {
        if !self.is_local {
            return seconds;
        }
        let number = seconds / SECONDS_PER_OFFSET;
        let offset = match self.offset {
            Some((known, offset)) if known == number => offset,
            _ => platform::utc_offset(seconds.cast_signed()),
        };
        // Whole minutes can be written. A clock before 1970 is not shown.
        let whole = Some(offset / 60 * 60).filter(|offset| seconds.checked_add_signed(*offset).is_some());
        let offset = whole.unwrap_or(0);
        if self.offset != Some((number, offset)) {
            self.offset = Some((number, offset));
            let minutes = offset.unsigned_abs() / 60;
            self.zone.clear();
            let sign = if offset < 0 { '-' } else { '+' };
            let _ = write!(self.zone, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
        seconds.saturating_add_signed(offset)
    }
}

/// The nanoseconds since 1970-01-01 UTC of a time in RFC 3339, such as [`Times`] writes: with an offset from UTC, or Z.
///
/// # Errors
/// What it must be.
pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
    instant(text).ok_or(
        "must be a time with its offset from UTC, from 1970 on: 2026-07-30T12:00:00Z, 2026-07-30T14:00:00.5+02:00",
    )
}

fn instant(text: &str) -> Option<u64> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(at)?;
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let days = days(year, month, day)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let nanos = digits(fraction)? * 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let (sign, zone) = zone.split_at(1);
    let seconds = match sign {
        "Z" | "z" => Some(seconds).filter(|_| zone.is_empty())?,
        sign => {
            let [hours, minutes] = numbers(zone, ':', [2, 2])?;
            let offset = Some(hours * 3600 + minutes * 60).filter(|_| hours < 24 && minutes < 60)?;
            if sign == "+" { seconds.checked_sub(offset)? } else { seconds + offset }
        }
    };
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

/// Days since 1970-01-01; `None` if there is no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // No later than this: a month has at most 31 days, and a leap day is not before the 1st of March.
    let years = year.checked_sub(1970)?;
    let about = years * 365 + years / 4 + month.checked_sub(1)? * 31 + day;
    // No earlier than this: no month has less than 28 days, and of four centuries three have no leap day.
    let least = about.saturating_sub(40 + years / 100);
    (least..=about).find(|days| date(*days) == (year, month, day))
}

/// The numbers of a text, each with so many digits.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        *number = parts.next().filter(|part| part.len() == length).and_then(digits)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [(u64, &str); 6] = [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_785_412_800_000_000_001, "2026-07-30T12:00:00.000000001Z"),
        (1_785_412_800_999_999_999, "2026-07-30T12:00:00.999999999Z"),
        (1_785_412_801_000_000_000, "2026-07-30T12:00:01.000000000Z"),
        (951_868_799_000_000_000, "2000-02-29T23:59:59.000000000Z"),
        (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
    ];

    #[test]
    fn times() {
        let mut times = Times::default();
        for (nanos, expected) in TIMES {
            assert_eq!(times.text(nanos), expected);
            assert_eq!(expected.len(), times.width());
        }
    }

    #[test]
    fn a_time_that_was_written_is_read() {
        let mut local = Times::local();
        for (nanos, text) in TIMES {
            assert_eq!(parse(text), Ok(nanos));
            let text = local.text(nanos).to_owned();
            assert_eq!(parse(&text), Ok(nanos), "{text}");
            assert_eq!(text.len(), local.width(), "{text}");
        }
        let day = SECONDS_PER_DAY * NANOS_PER_SECOND;
        for days in 0..=u64::MAX / day {
            assert_eq!(parse(Times::default().text(days * day)), Ok(days * day));
        }
    }

    #[test]
    fn times_as_people_write_them() {
        for (text, nanos) in [
            ("2026-07-30T14:00:00+02:00", 1_785_412_800_000_000_000),
            ("2026-07-30 12:00:00Z", 1_785_412_800_000_000_000),
            ("2026-07-30t06:30:00.5-05:30", 1_785_412_800_500_000_000),
            ("2026-07-30T12:00:00.000001z", 1_785_412_800_000_001_000),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
        for text in [
            "",
            "now",
            "12:00:00Z",
            "2026-07-30",
            "2026-07-30T12:00:00",
            "2026-07-30T12:00Z",
            "2026-07-30T24:00:00Z",
            "2026-07-30T12:60:00Z",
            "2026-07-30T12:00:60Z",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2555-01-01T00:00:00Z",
            "2026-07-30T12:00:00.Z",
            "2026-07-30T12:00:00.1234567890Z",
            "2026-07-30T12:00:00+2:00",
            "2026-07-30T12:00:00+24:00",
            "2026-07-30T12:00:00ZZ",
            "+026-07-30T12:00:00Z",
            "2026-07-30T12:00:00\u{e9}",
        ] {
            assert!(parse(text).unwrap_err().contains("offset from UTC"), "{text:?}");
        }
    }
}
