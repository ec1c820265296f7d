//! The rates of the last ticks of `top`, for its sparklines.

use std::collections::VecDeque;

/// How many rates are kept.
pub(crate) const TICKS: usize = 30;

/// Bytes per second, both ways, of the last ticks: the latest one last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History(VecDeque<u64>);

impl History {
    /// Adds the rate of a tick.
    pub(crate) fn push(&mut self, rate: u64) {
        if self.0.len() == TICKS {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// Adds the rates of another one, tick by tick.
    pub(crate) fn add(&mut self, other: &Self) {
        while self.0.len() < other.0.len() {
            self.0.push_front(0);
        }
        self.0.iter_mut().rev().zip(other.0.iter().rev()).for_each(|(rate, more)| *rate += more);
    }

    /// The rates, the latest one first.
    pub(crate) fn latest_first(&self) -> impl Iterator<Item = u64> {
        self.0.iter().rev().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ticks_are_kept_and_add_up_tick_by_tick() {
        let (mut old, mut new) = (History::default(), History::default());
        (0..100).for_each(|rate| old.push(rate));
        (0..2).for_each(|_| new.push(1000));
        new.add(&old);
        let all: Vec<_> = new.latest_first().collect();
        assert_eq!((all.len(), &all[..4], all[TICKS - 1]), (TICKS, &[1099, 1098, 97, 96][..], 70));
    }
}
