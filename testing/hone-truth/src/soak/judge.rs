//! Decides whether a value has grown. It works on numbers only, so it can be tested with series that leak.
//!
//! There are two criteria, because each one finds faults that the other misses:
//!
//! * **Trend**: the first [`WARM_UP`] of the run is ignored. In the rest, the smallest value of the last third must not
//!   be larger than the largest value of the first third plus an allowance. Readers that attach and detach make the
//!   value go up and down; comparing a smallest with a largest value does not take this for growth.
//! * **Return**: before the load begins and after it has ended, the same readers are attached, and the value must be
//!   the same, plus an allowance. This finds even a single descriptor that was not closed.

use std::time::Duration;

/// The share of a run that is warm-up.
const WARM_UP: f64 = 0.2;
/// Fewest samples in a third of the run. With fewer, the trend is not judged.
const FEWEST: usize = 3;

/// The allowance: a value may be larger by `percent` of the earlier value, plus `slack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) percent: u64,
    pub(super) slack: u64,
}

impl Allowed {
    /// No allowance.
    pub(super) const NONE: Self = Self { percent: 0, slack: 0 };

    fn most(self, earlier: u64) -> u64 {
        earlier + earlier * self.percent / 100 + self.slack
    }
}

/// The criteria for a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// How much the trend may rise. `None`: the trend is not judged.
    pub(super) trend: Option<Allowed>,
    /// How much may remain after the load. `None`: this is not judged.
    pub(super) remains: Option<Allowed>,
    /// The largest allowed value at any time.
    pub(super) most: Option<u64>,
}

/// One number over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// Samples under load: the time since the load began, and the value.
    samples: Vec<(Duration, u64)>,
    /// Before the load.
    before: Option<u64>,
    /// After the load.
    after: Option<u64>,
}

impl Series {
    pub(super) fn add(&mut self, time: Duration, value: u64) {
        self.samples.push((time, value));
    }

    /// Adds a value from before or after the load. Of several values, the largest one before and the smallest one after
    /// count, because files change at these times too.
    pub(super) fn settled(&mut self, after_load: bool, value: u64) {
        if after_load {
            self.after = Some(self.after.map_or(value, |after| after.min(value)));
        } else {
            self.before = Some(self.before.map_or(value, |before| before.max(value)));
        }
    }

    /// The value before the load, or the first sample if there is none.
    pub(super) fn start(&self) -> Option<u64> {
        self.before.or_else(|| self.samples.first().map(|(_, value)| *value))
    }

    /// The largest value.
    pub(super) fn peak(&self) -> Option<u64> {
        self.samples.iter().map(|(_, value)| *value).chain(self.before).chain(self.after).max()
    }

    /// The value after the load, or the last sample if there is none.
    pub(super) fn end(&self) -> Option<u64> {
        self.after.or_else(|| self.samples.last().map(|(_, value)| *value))
    }

    /// The last sample.
    pub(super) fn latest(&self) -> Option<u64> {
        self.samples.last().map(|(_, value)| *value).or(self.before)
    }

    /// The violations of this rule. Empty if there are none.
    pub(super) fn faults(&self, rule: Rule) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(allowed) = rule.trend {
            match self.thirds() {
                None => faults.push(format!("{} samples are too few to judge a trend", self.samples.len())),
                Some((largest, smallest)) if smallest > allowed.most(largest) => faults.push(format!(
                    "grew: {largest} at most in the first third, {smallest} at least in the last"
                )),
                Some(_) => {}
            }
        }
        if let Some(allowed) = rule.remains {
            match (self.before, self.after) {
                (Some(before), Some(after)) if after > allowed.most(before) => {
                    faults.push(format!("{before} before the load, {after} after it"));
                }
                (Some(_), Some(_)) => {}
                _ => faults.push("no value before or after the load".to_owned()),
            }
        }
        if let Some((most, peak)) = rule.most.zip(self.peak())
            && peak > most
        {
            faults.push(format!("{peak}, but at most {most} are allowed"));
        }
        faults
    }

    /// The largest value of the first third and the smallest value of the last third, without the warm-up.
    fn thirds(&self) -> Option<(u64, u64)> {
        let end = self.samples.last()?.0;
        let begin = end.mul_f64(WARM_UP);
        let third = (end - begin) / 3;
        let within = |from: Duration, to: Duration| {
            let samples = self.samples.iter().filter(move |(time, _)| (from..=to).contains(time));
            samples.map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let (first, last) = (within(begin, begin + third), within(end - third, end));
        (first.len() >= FEWEST && last.len() >= FEWEST).then_some(())?;
        Some((first.into_iter().max()?, last.into_iter().min()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series with one sample per second, and the function's first and last values before and after the load.
    fn series(count: u32, value: impl Fn(u32) -> u64) -> Series {
        let mut series = Series::default();
        series.settled(false, value(0));
        (0..count).for_each(|second| series.add(Duration::from_secs(second.into()), value(second)));
        series.settled(true, value(count));
        series
    }

    const STRICT: Rule = Rule { trend: Some(Allowed::NONE), remains: Some(Allowed::NONE), most: None };
    const TREND: Rule = Rule { trend: Some(Allowed::NONE), remains: None, most: None };

    /// The effect of readers that attach and detach, different each time.
    fn swing(second: u32) -> u64 {
        u64::from(second * 7919 % 11)
    }

    #[test]
    fn what_swings_but_does_not_grow_is_right() {
        assert_eq!(series(120, |_| 40).faults(STRICT), Vec::<String>::new());
        assert_eq!(series(120, |second| 40 + swing(second)).faults(TREND), Vec::<String>::new());
        // One series shrinks, the other grows in the warm-up only.
        assert_eq!(series(120, |second| 500 - u64::from(second)).faults(STRICT), Vec::<String>::new());
        assert_eq!(series(120, |second| u64::from(second.min(20))).faults(TREND), Vec::<String>::new());
    }

    #[test]
    fn one_descriptor_a_cycle_is_found_among_readers_that_come_and_go() {
        // One leak every two seconds.
        let leak = series(120, |second| 40 + u64::from(second / 2) + swing(second));
        assert_eq!(leak.faults(TREND).len(), 1);
        assert!(leak.faults(TREND)[0].starts_with("grew: "), "{:?}", leak.faults(TREND));
        // Eight restarts in all, each of which leaks one descriptor.
        assert_eq!(series(120, |second| 20 + u64::from(second / 15)).faults(TREND).len(), 1);
    }

    #[test]
    fn a_single_descriptor_that_is_not_closed_is_found_by_what_remains() {
        let run = |after: u64| {
            let mut series = Series::default();
            series.settled(false, 40);
            (0..120).for_each(|second| series.add(Duration::from_secs(second.into()), 40 + swing(second)));
            // A file was being changed at this time.
            series.settled(true, after + 1);
            series.settled(true, after);
            series
        };
        assert!(run(40).faults(STRICT).is_empty());
        assert_eq!(run(41).faults(STRICT), ["40 before the load, 41 after it"]);
    }

    #[test]
    fn memory_may_grow_by_what_is_allowed_and_no_more() {
        let allowed = Some(Allowed { percent: 10, slack: 1 << 20 });
        let rule = Rule { trend: allowed, ..Rule::default() };
        let mib = |count: u64| count << 20;
        assert!(series(120, |second| mib(20) + u64::from(second) * 10_000).faults(rule).is_empty());
        // A leak of 200 KB per second.
        let leak = series(120, |second| mib(20) + u64::from(second) * 200_000);
        assert_eq!(leak.faults(rule).len(), 1);
        // A slower leak of 5 KB per second, found by a longer run of one hour.
        assert_eq!(series(3600, |second| mib(20) + u64::from(second) * 5000).faults(rule).len(), 1);
    }

    #[test]
    fn what_cannot_be_judged_is_no_success() {
        assert_eq!(series(5, |_| 1).faults(TREND), ["5 samples are too few to judge a trend"]);
        let mut unsettled = Series::default();
        unsettled.settled(false, 3);
        let rule = Rule { remains: Some(Allowed::NONE), ..Rule::default() };
        assert_eq!(unsettled.faults(rule), ["no value before or after the load"]);
    }

    #[test]
    fn a_bound_holds_at_every_time() {
        let rule = Rule { most: Some(6), ..Rule::default() };
        assert!(series(60, |second| u64::from(second % 7)).faults(rule).is_empty());
        assert_eq!(series(60, |second| u64::from(second % 8)).faults(rule), ["7, but at most 6 are allowed"]);
    }
}
