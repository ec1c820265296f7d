//! When what the rules ask for is saved: some time after the event, and not too often.

use std::time::{Duration, Instant};

use super::rules::{Met, Noted};

/// How long a rule waits.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After the event, before what is kept is saved.
    pub after: Duration,
    /// Between two saves that rules begin.
    pub apart: Duration,
}

impl Pace {
    /// Least time between two saves, unless half of what is kept is less.
    const APART: Duration = Duration::from_secs(60);

    /// Events stay within what is kept until they are saved, as both times are less than `last`.
    #[must_use]
    pub fn new(after: Duration, last: Duration) -> Self {
        Self { after, apart: Self::APART.min(last / 2) }
    }
}

/// A save that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// What met the rule.
    pub(super) met: Met,
    /// How many events met a rule after it.
    pub(super) more: u64,
    due: Instant,
}

/// The saves that rules ask for.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    saved: Option<Instant>,
    asked: Option<Asked>,
}

impl Schedule {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, saved: None, asked: None }
    }

    /// Notes what met rules. Returns how long it is until the save, for the first one of a save.
    pub(super) fn note(&mut self, noted: Noted, now: Instant) -> Option<(&Met, Duration)> {
        let met = noted.first?;
        if let Some(asked) = &mut self.asked {
            asked.more += noted.count;
            return None;
        }
        let due = now + self.pace.after;
        let due = self.saved.map_or(due, |saved| due.max(saved + self.pace.apart));
        let asked = self.asked.insert(Asked { met, more: noted.count - 1, due });
        Some((&asked.met, due - now))
    }

    /// The save that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Asked> {
        let asked = self.asked.take_if(|asked| asked.due <= now)?;
        self.saved = Some(now);
        Some(asked)
    }

    /// The save that is asked for, due or not: for the end of the recording.
    pub(super) fn take(&mut self) -> Option<Asked> {
        self.asked.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(count: u64) -> Noted {
        let met = Met { rule: "listener".to_owned(), what: "listens".to_owned(), process: None, at: 1 };
        Noted { first: Some(met), count }
    }

    #[test]
    fn events_before_a_save_are_one_and_saves_are_apart() {
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::new(Pace::new(10 * second, 600 * second));
        let begin = Instant::now();
        assert_eq!(schedule.note(Noted::default(), begin), None);
        assert_eq!(schedule.note(noted(3), begin).map(|(_, wait)| wait), Some(10 * second));
        assert_eq!(schedule.note(noted(5), begin + 9 * second), None, "it does not wait longer for that");
        assert_eq!(schedule.take_due(begin + 9 * second), None);
        assert_eq!(schedule.take_due(begin + 10 * second).map(|asked| asked.more), Some(7));
        assert_eq!(schedule.take_due(begin + 10 * second), None);
        let next = schedule.note(noted(1), begin + 11 * second).map(|(_, wait)| wait);
        assert_eq!(next, Some(59 * second), "a minute after the last one");
        assert_eq!(schedule.take().map(|asked| asked.more), Some(0));
        let next = schedule.note(noted(1), begin + 500 * second).map(|(_, wait)| wait);
        assert_eq!(next, Some(10 * second));
    }

    #[test]
    fn a_short_recording_is_saved_before_it_is_too_old() {
        let last = Duration::from_secs(8);
        assert_eq!(Pace::new(Duration::ZERO, last).apart, Duration::from_secs(4));
    }
}
