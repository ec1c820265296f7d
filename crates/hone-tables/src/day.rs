//! Days of the calendar.

/// Nanoseconds of a day.
const NANOS_PER_DAY: u64 = 86_400 * 1_000_000_000;

/// Year, month and day of a day, as days since 1970-01-01. H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
#[must_use]
pub const fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + (month <= 2) as i64, month, day)
}

/// The day of a time in nanoseconds since 1970-01-01 UTC, as days since then.
#[must_use]
pub const fn of(nanos: u64) -> i64 {
    (nanos / NANOS_PER_DAY).cast_signed()
}

/// A day as `2026-07-30`.
#[must_use]
pub fn text(days: i64) -> String {
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_comes_after_the_one_before_it() {
        assert_eq!(text(0), "1970-01-01");
        assert_eq!(text(of(1_785_412_800_000_000_000)), "2026-07-30");
        assert_eq!((text(11_016), text(11_017)), ("2000-02-29".into(), "2000-03-01".into()));
        for days in -1000..200_000 {
            let (before, after) = (date(days), date(days + 1));
            let next =
                if after.2 == 1 { before.2 >= 28 } else { after.2 == before.2 + 1 && after.1 == before.1 };
            assert!(next && before < after, "{before:?} {after:?}");
        }
    }
}
