//! Limits what the selections of one user cost: how often they are set, and how long they are together. To set one
//! compares every process with it, and its words are compared with packets and processes from then on.
//! Decides before the text is read. Root has no limit. Called without the hub's lock.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// One setting in this time, for each user, in the long run.
const INTERVAL: Duration = Duration::from_millis(50);
/// How many a user may set at once after a pause: as many as there can be readers that select by processes.
const AT_ONCE: u32 = 64;
/// Most bytes of text of all the selections of one user's connections: four of the longest, or 64 of a kilobyte.
const USER_BYTES: usize = 64 << 10;

/// The selections of all users except root.
#[derive(Debug, Default)]
pub(crate) struct Selections(Mutex<HashMap<u32, Used>>);

/// What one user uses.
#[derive(Debug, Clone, Copy)]
struct Used {
    bytes: usize,
    /// When what was set is paid for, one [`INTERVAL`] for each setting.
    paid: Instant,
}

/// Why a selection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Often,
    Long,
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Often => write!(
                f,
                "selections are set too often: each user may set {AT_ONCE} at once, and then {} a second; try again in a \
                 second",
                Duration::from_secs(1).as_millis() / INTERVAL.as_millis()
            ),
            Self::Long => write!(
                f,
                "too much text in the selections of this user's readers: together they may have {USER_BYTES} bytes. \
                 Use fewer words, or end some readers"
            ),
        }
    }
}

impl Selections {
    /// Whether a connection of `user` may replace a selection of `former` bytes of text by one of `bytes`, at `now`. If so,
    /// notes it.
    pub(crate) fn set(&self, user: u32, former: usize, bytes: usize, now: Instant) -> Result<(), Limit> {
        if user == 0 {
            return Ok(());
        }
        let mut users = self.0.lock();
        users.retain(|_, used| used.bytes > 0 || used.paid > now);
        let used = users.entry(user).or_insert(Used { bytes: 0, paid: now });
        let paid = used.paid.max(now) + INTERVAL;
        if paid > now + INTERVAL * AT_ONCE {
            return Err(Limit::Often);
        }
        // What is refused because of its length counts as set: to ask costs something, too.
        used.paid = paid;
        let after = used.bytes.saturating_sub(former) + bytes;
        if bytes > former && after > USER_BYTES {
            return Err(Limit::Long);
        }
        used.bytes = after;
        Ok(())
    }

    /// Notes that a connection of `user` has a selection of `bytes` of text instead of `former` ones: the new one was
    /// refused after all, or the reader is gone.
    pub(crate) fn put_back(&self, user: u32, former: usize, bytes: usize) {
        if let Some(used) = self.0.lock().get_mut(&user) {
            used.bytes = used.bytes.saturating_sub(former) + bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_set_selections_without_pause_and_delays_no_other() {
        let (selections, now) = (Selections::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(selections.set(7, 100, 100, now), Ok(()));
        }
        assert_eq!(selections.set(7, 100, 100, now), Err(Limit::Often));
        assert_eq!(selections.set(8, 0, 100, now), Ok(()), "another user");
        assert_eq!(selections.set(0, 0, 100, now), Ok(()), "root");
        assert_eq!(selections.set(7, 100, 100, now + INTERVAL), Ok(()), "one more after a pause");
        assert_eq!(selections.set(7, 100, 100, now + INTERVAL), Err(Limit::Often));
        let long_after = now + INTERVAL * (AT_ONCE + 1);
        for _ in 0..AT_ONCE {
            assert_eq!(selections.set(7, 100, 100, long_after), Ok(()));
        }
    }

    #[test]
    fn the_text_of_one_users_selections_is_bounded_until_readers_end() {
        let (selections, now) = (Selections::default(), Instant::now());
        let quarter = USER_BYTES / 4;
        for _ in 0..4 {
            assert_eq!(selections.set(7, 0, quarter, now), Ok(()));
        }
        assert_eq!(selections.set(7, 0, 1, now), Err(Limit::Long));
        assert_eq!(selections.set(8, 0, quarter, now), Ok(()), "another user");
        assert_eq!(selections.set(7, quarter, quarter, now), Ok(()), "one is replaced");
        // Refused after all: the former one stays.
        assert_eq!(selections.set(7, quarter, 10, now), Ok(()));
        selections.put_back(7, 10, quarter);
        assert_eq!(selections.set(7, 0, 1, now), Err(Limit::Long));
        selections.put_back(7, quarter, 0);
        assert_eq!(selections.set(7, 0, quarter, now), Ok(()), "there is room again");
    }

    #[test]
    fn a_user_that_is_gone_is_forgotten() {
        let (selections, now) = (Selections::default(), Instant::now());
        selections.set(7, 0, 9, now).expect("it may");
        selections.put_back(7, 9, 0);
        selections.set(8, 0, 9, now + INTERVAL * 2).expect("it may");
        assert_eq!(selections.0.lock().keys().collect::<Vec<_>>(), [&8]);
    }
}
