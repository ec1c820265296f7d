//! `read --last`: keeps only the newest part of a recording, as files in a directory of its own (the segments), and joins them
//! into one file when told, or when a rule is met.
//!
//! Each segment is a file that stands alone, so that the oldest can be removed, and what a killed recorder leaves is whole.
//! `output` writes the segments and removes the oldest; this room owns the directory, and joins.

mod coverage;
mod join;
mod receive;
pub mod report;
pub mod rules;
mod saver;
mod schedule;

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::coverage::Asked;
pub use self::coverage::Less;
pub use self::join::{JoinError, Saved, join};
pub use self::receive::{ReceiveError, receive};
pub use self::saver::{Saver, Saves, Told, When};
pub use self::schedule::Pace;
use crate::output::archive::{Finished, Keep, Newest};
use crate::output::{Target, file_names};
use crate::platform::host;
use crate::record::rotation::Rotation;
use crate::text::{bytes, duration, shown_path};

/// What the name of the directory ends with.
const ENDING: &str = ".recent";
/// The name of the directory beside recordings that are named by the time.
const NAME: &str = "hone.recent";
/// The file in it that a recorder holds a lock of. It has what is to be kept.
const LOCK: &str = "lock";
/// How often the lock is tried again, and the pause before that: five seconds. A recorder that was killed has it until the
/// kernel has ended all of it.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// In how many segments the kept part is divided: so much more is kept at most, and so much is too new to be whole after a kill.
const SEGMENTS: u32 = 8;
/// A segment is not shorter than this,
const SHORTEST: Duration = Duration::from_secs(1);
/// and not smaller.
const SMALLEST: u64 = 1 << 20;

impl Newest {
    /// When the next segment begins.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        Rotation { size: Some(self.segment_bytes()), time: Some((self.last / SEGMENTS).max(SHORTEST)) }
    }

    /// Which segments are kept.
    #[must_use]
    pub fn keep(&self) -> Keep {
        // The one that is being written is not among those that are counted.
        let bytes = self.bytes.saturating_sub(self.segment_bytes());
        Keep { newest: Some(Newest { last: self.last, bytes }), ..Keep::default() }
    }

    fn segment_bytes(&self) -> u64 {
        (self.bytes / u64::from(SEGMENTS)).max(SMALLEST)
    }
}

/// Why there is no directory for segments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecentError {
    /// It cannot be made, read or locked.
    #[error("cannot keep the newest part in {name}: {source}")]
    Directory {
        /// Its path, fit to be shown.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another program is recording into it.
    #[error(
        "{name} is in use: another `honeutil read --last` keeps its newest part there. Name another file or directory"
    )]
    InUse {
        /// Its path, fit to be shown.
        name: String,
    },
    /// Others could change what is in it.
    #[error(
        "{name} is there already, and is no directory that only this user can change: remove it, or record elsewhere"
    )]
    NotPrivate {
        /// Its path, fit to be shown.
        name: String,
    },
}

/// The directory with the segments, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    limits: Newest,
    _lock: File,
}

impl Directory {
    /// Where the newest part of a recording to `target` is kept, unless somebody says so.
    #[must_use]
    pub fn beside(target: &Target) -> PathBuf {
        match target {
            Target::File(file) => {
                let mut name = file.clone().into_os_string();
                name.push(ENDING);
                PathBuf::from(name)
            }
            Target::Directory(directory) => directory.join(NAME),
            Target::Stdout => PathBuf::from(NAME),
        }
    }

    /// Makes the directory, or takes over one that a recorder which ended has left. Notes what is to be kept in it. Waits a few
    /// seconds for the end of a recorder that was killed.
    ///
    /// # Errors
    /// [`RecentError`].
    pub fn open(path: PathBuf, limits: Newest) -> Result<Self, RecentError> {
        Self::open_pausing(path, limits, |tries, name| {
            if tries == 0 {
                tracing::warn!(
                    "{name} is in use by another recorder: waiting up to {} for its end",
                    duration(PAUSE * TRIES)
                );
            }
            std::thread::sleep(PAUSE);
        })
    }

    /// The same. Before it tries again, it calls `pause` with how often it has paused so far, and the directory's name.
    fn open_pausing(
        path: PathBuf,
        limits: Newest,
        mut pause: impl FnMut(u32, &str),
    ) -> Result<Self, RecentError> {
        let failed = |source| RecentError::Directory { name: shown_path(&path), source };
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Not through a link: in a directory like /tmp it may be another user's.
                let found = path.symlink_metadata().map_err(failed)?;
                let is_private = found.is_dir()
                    && found.uid() == rustix::process::geteuid().as_raw()
                    && found.mode() & 0o022 == 0;
                if !is_private {
                    return Err(RecentError::NotPrivate { name: shown_path(&path) });
                }
            }
            made => made.map_err(failed)?,
        }
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(path.join(LOCK));
        let mut lock = lock.map_err(failed)?;
        let mut tries = 0;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => pause(tries, &shown_path(&path)),
                Err(TryLockError::WouldBlock) => return Err(RecentError::InUse { name: shown_path(&path) }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            tries += 1;
        }
        let earlier = segments(&path).map_err(failed)?;
        let limits = fitting(&path, &earlier, limits).map_err(failed)?;
        Asked::write(&mut lock, limits, !earlier.is_empty()).map_err(failed)?;
        Ok(Self { path, limits, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept: as asked for, or less if the disk has less room.
    #[must_use]
    pub fn limits(&self) -> Newest {
        self.limits
    }

    /// The segments that are there, oldest first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn segments(&self) -> io::Result<Vec<Finished>> {
        segments(&self.path)?.iter().map(|path| Finished::found(path)).collect()
    }

    /// Removes the segments and the directory. What else is in it stays, and so does the directory then.
    pub(crate) fn remove(self) -> io::Result<()> {
        for path in segments(&self.path)? {
            std::fs::remove_file(path)?;
        }
        std::fs::remove_file(self.path.join(LOCK))?;
        std::fs::remove_dir(&self.path)
    }
}

/// What of the limits fits on the disk, with as much room again for a save. Warns if that is less.
fn fitting(directory: &Path, earlier: &[PathBuf], limits: Newest) -> io::Result<Newest> {
    let used: u64 = earlier.iter().filter_map(|path| path.metadata().ok()).map(|data| data.len()).sum();
    let room = free_bytes(directory)?.saturating_add(used) / 2;
    let least = u64::from(SEGMENTS) * SMALLEST;
    if room >= limits.bytes {
        return Ok(limits);
    }
    let most = room.max(least);
    tracing::warn!(
        "the disk of {} has no room for {}, and for as much again when that is saved: at most {} are kept",
        shown_path(directory),
        bytes(limits.bytes),
        bytes(most)
    );
    Ok(Newest { bytes: most, ..limits })
}

/// How many bytes more this user can write to a file system.
fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What a file is called that nobody has named.
#[must_use]
pub fn unnamed() -> PathBuf {
    file_names::by_time(&host::name(), host::now()).into()
}

/// The recordings in a directory, oldest first: by when they were written to last.
///
/// # Errors
/// The directory cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let data = entry.metadata()?;
        if data.is_file() && name.to_str().is_some_and(file_names::is_of_any_host) {
            found.push((data.modified()?, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Newest = Newest { last: Duration::from_secs(600), bytes: 2 << 30 };

    #[test]
    fn segments_are_an_eighth_and_not_too_small() {
        let limits = Newest { last: Duration::from_secs(600), bytes: 2 << 30 };
        assert_eq!(
            limits.rotation(),
            Rotation { size: Some(256 << 20), time: Some(Duration::from_secs(75)) }
        );
        // All that is kept, and the segment that is being written.
        assert_eq!(limits.keep().newest.map(|newest| newest.bytes), Some((2 << 30) - (256 << 20)));
        let least = Newest { last: Duration::from_secs(2), bytes: 8 << 20 };
        assert_eq!(least.rotation(), Rotation { size: Some(1 << 20), time: Some(Duration::from_secs(1)) });
    }

    #[test]
    fn a_directory_is_private_and_has_one_recorder() {
        let place = tempfile::tempdir().unwrap();
        let target = Target::File(place.path().join("a.pcapng"));
        let directory = Directory::open(Directory::beside(&target), LIMITS).unwrap();
        assert_eq!(directory.path(), place.path().join("a.pcapng.recent"));
        assert_eq!(directory.path().metadata().unwrap().mode() & 0o777, 0o700);
        let mut pauses = 0;
        let second = Directory::open_pausing(Directory::beside(&target), LIMITS, |_, _| pauses += 1);
        assert!(matches!(second, Err(RecentError::InUse { .. })));
        assert_eq!(pauses, TRIES);
        std::fs::write(directory.path().join("notes.txt"), "mine").unwrap();
        let path = directory.path().to_owned();
        assert!(directory.remove().is_err());
        assert_eq!(std::fs::read(path.join("notes.txt")).unwrap(), b"mine", "what is not ours stays");
        // A killed recorder's is taken over.
        drop(Directory::open(Directory::beside(&target), LIMITS).unwrap());
    }

    #[test]
    fn the_end_of_a_killed_recorder_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.recent");
        let mut killed = Some(Directory::open(path.clone(), LIMITS).unwrap());
        Directory::open_pausing(path, LIMITS, |_, _| drop(killed.take())).unwrap();
        assert!(killed.is_none());
    }

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let place = tempfile::tempdir().unwrap();
        let target = Target::File(place.path().join("a"));
        let path = place.path().join("a.recent");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            Directory::open(Directory::beside(&target), LIMITS),
            Err(RecentError::NotPrivate { .. })
        ));
        std::fs::remove_dir(&path).unwrap();
        symlink(place.path(), &path).unwrap();
        assert!(matches!(
            Directory::open(Directory::beside(&target), LIMITS),
            Err(RecentError::NotPrivate { .. })
        ));
    }
}
