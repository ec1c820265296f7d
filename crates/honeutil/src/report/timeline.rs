//! Bytes over time for each process, in bounded memory: when there is too much, spans of time become twice as long.

use std::collections::HashMap;

/// Most spans of time between the first and the last packet.
const MAX_BINS: u64 = 4096;
/// Most sums that are kept.
const MAX_SUMS: usize = 1 << 18;
/// The shortest span: 2^20 ns, about a millisecond.
const LEAST_SHIFT: u32 = 20;

/// The sums.
#[derive(Debug)]
pub(super) struct Timeline {
    /// A span is 2^shift nanoseconds long.
    shift: u32,
    /// The first and the last span.
    range: Option<(u64, u64)>,
    /// Complete sums: span, process, bytes. A pair may be there several times.
    sums: Vec<(u64, u32, u64)>,
    current: u64,
    of_current: HashMap<u32, u64>,
    max_sums: usize,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            shift: LEAST_SHIFT,
            range: None,
            sums: Vec::new(),
            current: 0,
            of_current: HashMap::new(),
            max_sums: MAX_SUMS,
        }
    }
}

impl Timeline {
    /// Adds a packet.
    pub(super) fn add(&mut self, nanos: u64, process: u32, bytes: u64) {
        let mut bin = nanos >> self.shift;
        if bin != self.current || self.range.is_none() {
            self.flush();
            let (first, last) = self.range.unwrap_or((bin, bin));
            self.range = Some((first.min(bin), last.max(bin)));
            while self.range.is_some_and(|(first, last)| last - first >= MAX_BINS) {
                self.coarsen();
            }
            if self.sums.len() > self.max_sums {
                self.merge();
                while self.sums.len() > self.max_sums / 2 && self.shift < 63 {
                    self.coarsen();
                }
            }
            bin = nanos >> self.shift;
            self.current = bin;
        }
        *self.of_current.entry(process).or_default() += bytes;
    }

    /// Puts the sums of the current span to the others.
    fn flush(&mut self) {
        let current = self.current;
        self.sums.extend(self.of_current.drain().map(|(process, bytes)| (current, process, bytes)));
    }

    fn coarsen(&mut self) {
        self.shift += 1;
        self.range = self.range.map(|(first, last)| (first >> 1, last >> 1));
        self.sums.iter_mut().for_each(|sum| sum.0 >>= 1);
        self.merge();
    }

    fn merge(&mut self) {
        self.sums.sort_unstable();
        self.sums.dedup_by(|next, sum| {
            let is_same = (next.0, next.1) == (sum.0, sum.1);
            if is_same {
                sum.2 += next.2;
            }
            is_same
        });
    }

    /// The sums with `series` in place of each process, and spans counted from the first one.
    pub(super) fn finish(mut self, series: impl Fn(u32) -> u32) -> Sums {
        self.flush();
        self.sums.iter_mut().for_each(|sum| sum.1 = series(sum.1));
        self.merge();
        let (first, last) = self.range.unwrap_or((0, 0));
        self.sums.iter_mut().for_each(|sum| sum.0 -= first);
        Sums {
            start: first << self.shift,
            width: 1 << self.shift,
            bins: self.range.map_or(0, |_| last - first + 1),
            sums: self.sums,
        }
    }
}

/// What a [`Timeline`] has collected.
#[derive(Debug)]
pub(super) struct Sums {
    /// Nanoseconds since 1970-01-01 UTC at which the first span begins.
    pub(super) start: u64,
    /// Nanoseconds of a span.
    pub(super) width: u64,
    /// The number of spans.
    pub(super) bins: u64,
    /// Span, series, bytes; in this order, each pair once.
    pub(super) sums: Vec<(u64, u32, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn sums_are_exact_whatever_the_order_and_the_length_of_time() {
        for times in [vec![5, 1, 9_000, 3, 1, 86_400 * 30], (0..20_000).collect(), vec![7]] {
            let mut timeline = Timeline::default();
            for (at, time) in times.iter().enumerate() {
                timeline.add(1_700_000_000 * SECOND + time * SECOND, u32::from(at % 3 == 0), 10);
            }
            let sums = timeline.finish(|process| process);
            assert!(sums.bins <= MAX_BINS, "{}", sums.bins);
            assert!(sums.sums.iter().all(|sum| sum.0 < sums.bins));
            assert!(sums.sums.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
            let total: u64 = sums.sums.iter().map(|sum| sum.2).sum();
            assert_eq!(total, 10 * times.len() as u64);
            let first = 1_700_000_000 * SECOND + times.iter().min().unwrap() * SECOND;
            assert!((sums.start..sums.start + sums.width).contains(&first));
        }
    }

    #[test]
    fn many_processes_make_spans_longer() {
        let mut timeline = Timeline { max_sums: 1000, ..Timeline::default() };
        for at in 0..10_000_u32 {
            timeline.add(u64::from(at) * 5_000_000, at % 50, 1);
            assert!(timeline.sums.len() <= 1100);
        }
        let sums = timeline.finish(|process| process);
        assert_eq!(sums.sums.iter().map(|sum| sum.2).sum::<u64>(), 10_000);
    }
}
