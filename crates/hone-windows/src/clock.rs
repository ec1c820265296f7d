//! Local time.

use windows_sys::Win32::Foundation::{FILETIME, SYSTEMTIME};
use windows_sys::Win32::System::Time::{
    FileTimeToSystemTime, SystemTimeToFileTime, SystemTimeToTzSpecificLocalTime,
};

use crate::check;

/// Units of a `FILETIME` in a second ("FILETIME structure").
const UNITS: i64 = 10_000_000;
/// 1970-01-01 in seconds since 1601-01-01, where a `FILETIME` begins.
const EPOCH: i64 = 11_644_473_600;

/// How many seconds the local time is ahead of UTC at a time, in seconds since 1970-01-01 UTC; 0 if that is not known.
/// By the rules of the year that is now ("SystemTimeToTzSpecificLocalTime function"): its variant for other years is missing
/// in Wine.
#[must_use]
pub fn utc_offset(seconds: i64) -> i64 {
    let time = seconds.checked_add(EPOCH).and_then(|seconds| seconds.checked_mul(UNITS));
    let local = time.and_then(|time| u64::try_from(time).ok()).and_then(local);
    local.zip(time).map_or(0, |(local, time)| (local - time) / UNITS)
}

/// The local time of a time, both as a `FILETIME` counts them.
fn local(time: u64) -> Option<i64> {
    let file_time = FILETIME {
        dwLowDateTime: u32::try_from(time & u64::from(u32::MAX)).ok()?,
        dwHighDateTime: u32::try_from(time >> 32).ok()?,
    };
    let (mut utc, mut local) = (SYSTEMTIME::default(), SYSTEMTIME::default());
    let mut out = FILETIME::default();
    // SAFETY: both pointers are to variables that live during the call.
    check(unsafe { FileTimeToSystemTime(&raw const file_time, &raw mut utc) }).ok()?;
    // SAFETY: without a time zone it takes the present one; the other pointers are to variables that live during the call.
    check(unsafe { SystemTimeToTzSpecificLocalTime(std::ptr::null(), &raw const utc, &raw mut local) })
        .ok()?;
    // SAFETY: both pointers are to variables that live during the call.
    check(unsafe { SystemTimeToFileTime(&raw const local, &raw mut out) }).ok()?;
    // A SYSTEMTIME has milliseconds: what is smaller is not lost in whole seconds.
    i64::try_from(u64::from(out.dwHighDateTime) << 32 | u64::from(out.dwLowDateTime)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_whole_minutes_from_utc() {
        for seconds in [0, 951_868_799, 1_785_412_800] {
            let offset = utc_offset(seconds);
            assert!(offset.abs() <= 26 * 3600 && offset % 60 == 0, "{offset}");
        }
        assert_eq!(utc_offset(i64::MAX), 0, "a year that has no name");
    }
}
