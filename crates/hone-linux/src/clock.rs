//! Wall-clock time for the boot-clock times of the kernel's records.

use hone_engine::Nanos;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The wall clock: ns since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Nanos {
    nanos(clock_gettime(ClockId::Realtime))
}

/// How many seconds the local time is ahead of UTC at a time, in seconds since 1970-01-01 UTC; 0 if that is not known.
#[must_use]
pub fn utc_offset(seconds: i64) -> i64 {
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to variables that live during the call, and it writes only the second one.
    let done = unsafe { libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    if done.is_null() {
        return 0;
    }
    // SAFETY: the call has filled it in; zeros are a valid value, too.
    let local = unsafe { local.assume_init() };
    local.tm_gmtoff
}

/// The distance from the kernel's boot clock, which BPF programs read, to the wall clock. Slewing (NTP) moves both alike;
/// only a step changes it.
#[derive(Debug)]
pub(crate) struct WallClock {
    offset: u64,
    /// What this process's boot clock shows more than the kernel's: 0, but in a time namespace that says otherwise.
    namespace: u64,
}

/// A difference below this is the noise of reading two clocks one after the other, not a step of the wall clock.
const STEP: u64 = 1_000_000;

impl WallClock {
    pub(crate) fn start() -> Self {
        let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        let namespace = boot_offset(&offsets).unwrap_or(0);
        Self { offset: measure().wrapping_add(namespace), namespace }
    }

    /// Says of every time what it is by the boot clock.
    pub(crate) const fn since_boot() -> Self {
        Self { offset: 0, namespace: 0 }
    }

    /// Follows a wall clock that was set; called now and then.
    pub(crate) fn follow(&mut self) {
        let offset = measure().wrapping_add(self.namespace);
        if offset.abs_diff(self.offset) > STEP {
            self.offset = offset;
        }
    }

    /// Wall-clock time of a boot-clock time, both in ns.
    pub(crate) fn wall(&self, boot: u64) -> Nanos {
        boot.wrapping_add(self.offset)
    }
}

/// The boot clock's offset in a time namespace, in ns, from `/proc/PID/timens_offsets` (time_namespaces(7)): lines of
/// clock, seconds, nanoseconds, where the seconds may be negative. `None`: a kernel without time namespaces.
fn boot_offset(offsets: &str) -> Option<u64> {
    let mut words = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?.split_whitespace();
    let seconds: i64 = words.next()?.parse().ok()?;
    let nanos: i64 = words.next()?.parse().ok()?;
    Some(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos).cast_unsigned())
}

/// Wall clock minus this process's boot clock, in ns: of a few readings the one with the least time between them.
fn measure() -> u64 {
    let mut best = (u64::MAX, 0);
    for _ in 0..5 {
        let before = nanos(clock_gettime(ClockId::Boottime));
        let wall = now();
        let after = nanos(clock_gettime(ClockId::Boottime));
        let width = after.wrapping_sub(before);
        if width < best.0 {
            best = (width, wall.wrapping_sub(before + width / 2));
        }
    }
    best.1
}

fn nanos(time: Timespec) -> u64 {
    // Neither clock is before its epoch on a running system; wrapping keeps a broken one from being a panic.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_becomes_wall_time() {
        let clock = WallClock::start();
        let boot = nanos(clock_gettime(ClockId::Boottime));
        let wall = now();
        let told = clock.wall(boot);
        assert!(wall.abs_diff(told) < 1_000_000_000, "{wall} and {told} are not the same moment");
    }

    #[test]
    fn local_time_is_whole_minutes_from_utc() {
        for seconds in [0, 951_868_799, 1_785_412_800] {
            let offset = utc_offset(seconds);
            assert!(offset.abs() <= 26 * 3600 && offset % 60 == 0, "{offset}");
        }
        assert_eq!(utc_offset(i64::MAX), 0, "a year that has no name");
    }

    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        let offsets = "monotonic           0         0\nboottime       -86400 500000000\n";
        assert_eq!(boot_offset(offsets), Some((-86_399_500_000_000_i64).cast_unsigned()));
        assert_eq!(boot_offset(""), None);
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        const HOUR: u64 = 3_600_000_000_000;
        // As it was before the clock was set back, or forward, by an hour.
        for offset in [measure().wrapping_add(HOUR), measure().wrapping_sub(HOUR)] {
            let mut clock = WallClock { offset, namespace: 0 };
            clock.follow();
            assert!(clock.offset.abs_diff(measure()) < STEP, "it still goes by {offset}");
        }
    }
}
