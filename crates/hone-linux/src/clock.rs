//! Wall-clock time for the boot-clock times of the kernel's records.

use hone_engine::Nanos;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The wall clock: ns since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Nanos {
    nanos(clock_gettime(ClockId::Realtime))
}

/// The distance from the boot clock to the wall clock. Slewing (NTP) moves both alike; only a step changes it.
#[derive(Debug)]
pub(crate) struct WallClock {
    offset: u64,
}

/// A difference below this is the noise of reading two clocks one after the other, not a step of the wall clock.
const STEP: u64 = 1_000_000;

impl WallClock {
    pub(crate) fn start() -> Self {
        Self { offset: measure() }
    }

    /// Follows a wall clock that was set; called now and then.
    pub(crate) fn follow(&mut self) {
        let offset = measure();
        if offset.abs_diff(self.offset) > STEP {
            self.offset = offset;
        }
    }

    /// Wall-clock time of a boot-clock time, both in ns.
    pub(crate) fn wall(&self, boot: u64) -> Nanos {
        boot.wrapping_add(self.offset)
    }
}

/// Wall clock minus boot clock, in ns: of a few readings the one with the least time between them.
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
    fn a_clock_that_is_set_is_followed() {
        const HOUR: u64 = 3_600_000_000_000;
        // As it was before the clock was set back, or forward, by an hour.
        for offset in [measure().wrapping_add(HOUR), measure().wrapping_sub(HOUR)] {
            let mut clock = WallClock { offset };
            clock.follow();
            assert!(clock.offset.abs_diff(measure()) < STEP, "it still goes by {offset}");
        }
    }
}
