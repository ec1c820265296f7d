//! How much of what was asked for is kept, and why it is less.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::output::archive::Newest;
use crate::text::{bytes, duration};

/// Segments are made a moment after the recording begins.
const BEGIN: Duration = Duration::from_secs(2);
/// Most bytes that are read of the lock file.
const MOST: u64 = 256;

/// What a recorder has been asked to keep, as it is written in the lock file: so `save` knows it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    limits: Newest,
    /// When the recording began whose segments are there.
    began: SystemTime,
}

impl Asked {
    /// Writes it into the file. `continues`: there are segments of an earlier recorder, which are kept on.
    pub(super) fn write(file: &mut File, limits: Newest, continues: bool) -> std::io::Result<()> {
        let before = Self::parse(&text(file)).filter(|_| continues);
        let began = before.map_or_else(SystemTime::now, |before| before.began);
        let since = began.duration_since(UNIX_EPOCH).unwrap_or_default();
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{} {} {}", limits.last.as_millis(), limits.bytes, since.as_millis())
    }

    /// What the recorder of a directory has been asked for, if it says so, and whether it runs.
    pub(super) fn of(lock: &Path) -> (Option<Self>, bool) {
        let Ok(mut file) = File::open(lock) else { return (None, false) };
        let is_running = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        (Self::parse(&text(&mut file)), is_running)
    }

    /// What that text says; `None`: it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let limits = Newest { last: Duration::from_millis(next()?), bytes: next()? };
        Some(Self { limits, began: UNIX_EPOCH.checked_add(Duration::from_millis(next()?))? })
    }

    /// Why segments of so many bytes, the oldest of which was begun at `oldest`, cover less than the time; `None`: they
    /// do not.
    pub(super) fn less(&self, covers: Duration, oldest: SystemTime, kept: u64) -> Option<Less> {
        let Newest { last, bytes } = self.limits;
        if covers >= last {
            return None;
        }
        let why = if oldest <= self.began + BEGIN {
            Why::BeganLater
            // The oldest goes when the finished ones have more bytes than that, but for the one that is written.
        } else if kept.saturating_add(2 * self.limits.segment_bytes()) >= bytes {
            Why::Size(bytes)
        } else {
            Why::Removed
        };
        Some(Less { last, why })
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read says nothing.
    let _ = file.take(MOST).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// That less than the time is there, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Less {
    last: Duration,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    BeganLater,
    Size(u64),
    Removed,
}

impl fmt::Display for Less {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "less than the {} asked for: ", duration(self.last))?;
        match self.why {
            Why::BeganLater => f.write_str("the recording began later"),
            Why::Size(most) => write!(f, "the rest did not fit into {}", bytes(most)),
            Why::Removed => {
                f.write_str("older segments were removed, because the disk was full, or by another program")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_its_reason() {
        let second = Duration::from_secs(1);
        let began = UNIX_EPOCH + 1000 * second;
        let asked = Asked { limits: Newest { last: 600 * second, bytes: 16 << 20 }, began };
        let text = |covers: u32, oldest: u32, kept: u64| {
            let less = asked.less(covers * second, UNIX_EPOCH + oldest * second, kept);
            less.map(|less| less.to_string()).unwrap_or_default()
        };
        assert_eq!(text(600, 1001, 0), "");
        assert_eq!(text(5, 1001, 0), "less than the 10 min 00 s asked for: the recording began later");
        assert_eq!(
            text(500, 1100, 14 << 20),
            "less than the 10 min 00 s asked for: the rest did not fit into 16.0 MiB"
        );
        assert!(text(500, 1100, 4 << 20).ends_with("the disk was full, or by another program"));
    }

    #[test]
    fn the_lock_file_says_what_was_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let mut file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        let limits = Newest { last: Duration::from_secs(600), bytes: 1 << 30 };
        Asked::write(&mut file, limits, true).unwrap();
        let (first, is_running) = Asked::of(&path);
        assert_eq!((first.map(|asked| asked.limits), is_running), (Some(limits), false));
        file.lock().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        // Another recorder goes on with what is there.
        let shorter = Newest { last: Duration::from_secs(60), ..limits };
        file.rewind().unwrap();
        Asked::write(&mut file, shorter, true).unwrap();
        let (second, is_running) = Asked::of(&path);
        let second = second.unwrap();
        assert_eq!((second.limits, second.began, is_running), (shorter, first.unwrap().began, true));
        file.rewind().unwrap();
        Asked::write(&mut file, shorter, false).unwrap();
        assert!(Asked::of(&path).0.unwrap().began > second.began);
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(Asked::of(&path).0, None);
    }
}
