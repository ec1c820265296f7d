//! Times as people and machines both read them: RFC 3339, UTC, all nine digits of the nanoseconds.

use std::fmt::Write as _;

use crate::output::file_names::date;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// Writes times, and remembers the day and second of the last one, for events come in their order.
#[derive(Debug, Default)]
pub(crate) struct Times {
    second: Option<u64>,
    /// `2026-07-30T12:00:00.123456789Z`
    text: String,
}

impl Times {
    /// Characters of every time.
    pub(crate) const WIDTH: usize = 30;

    /// The text of a time in nanoseconds since 1970-01-01 UTC.
    pub(crate) fn text(&mut self, nanos: u64) -> &str {
        let (seconds, nanos) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
        if self.second != Some(seconds) {
            self.second = Some(seconds);
            let (year, month, day) = date(seconds / SECONDS_PER_DAY);
            let time = seconds % SECONDS_PER_DAY;
            let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
            self.text.clear();
            let _ = write!(self.text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.");
        }
        self.text.truncate(Self::WIDTH - 10);
        let _ = write!(self.text, "{nanos:09}Z");
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let mut times = Times::default();
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_785_412_800_000_000_001, "2026-07-30T12:00:00.000000001Z"),
            (1_785_412_800_999_999_999, "2026-07-30T12:00:00.999999999Z"),
            (1_785_412_801_000_000_000, "2026-07-30T12:00:01.000000000Z"),
            (951_868_799_000_000_000, "2000-02-29T23:59:59.000000000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(times.text(nanos), expected);
            assert_eq!(expected.len(), Times::WIDTH);
        }
    }
}
