//! Joins segments into one recording.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hone_select::Selection;

use super::coverage::{Asked, Less};
use crate::cut::{Cut, CutError, CutFile, is_compressed};
use crate::show::input::Input;
use crate::show::time::Span;
use crate::text::{bytes, counted, duration, shown_path};

/// Why segments were not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// There is none.
    #[error("there is nothing recorded in it")]
    Nothing,
    /// One cannot be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// Its path, fit to be shown.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The disk has no room for it. What is kept would have to be removed while it is saved.
    #[error(
        "the disk of {name} has no room for it and for what is still to be kept, {needed}: {free} are free. Free some space, or name another disk"
    )]
    NoRoom {
        /// The file's path, fit to be shown.
        name: String,
        /// How much it needs.
        needed: String,
        /// How much there is.
        free: String,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Cut(#[from] CutError),
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many packets it has.
    pub packets: u64,
    /// How long before the save its oldest segment was begun, if the file system knows that.
    pub covers: Option<Duration>,
    /// Why that is less than was asked for, if it is.
    pub less: Option<Less>,
    /// Whether all segments were read to their last whole block.
    pub is_whole: bool,
}

impl std::fmt::Display for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.covers {
            Some(covers) => write!(f, "Saved the last {}: ", duration(covers))?,
            None => f.write_str("Saved: ")?,
        }
        let packets = counted(self.packets, "packet");
        write!(f, "{packets}, {}: {}", bytes(self.bytes), shown_path(&self.path))?;
        self.less.map_or(Ok(()), |less| write!(f, " ({less})"))
    }
}

/// Segments that are open. They can be read even if they are removed meanwhile.
#[derive(Debug)]
pub(super) struct Segments {
    files: Vec<(PathBuf, File)>,
    /// Until when they were recorded.
    ended: SystemTime,
    asked: Option<Asked>,
}

impl Segments {
    /// Opens those in a directory but `current`. One that is there no more has become too old.
    pub(super) fn open(directory: &Path, current: Option<&Path>) -> Result<Self, JoinError> {
        let paths = super::segments(directory)
            .map_err(|source| JoinError::Open { name: shown_path(directory), source })?;
        let mut files = Vec::new();
        for path in paths.into_iter().filter(|path| Some(path.as_path()) != current) {
            match File::open(&path) {
                Ok(file) => files.push((path, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(JoinError::Open { name: shown_path(&path), source }),
            }
        }
        let (asked, is_running) = Asked::of(&directory.join(super::LOCK));
        // What a killed recorder has left ends when it was written to last.
        let written = files.iter().filter_map(|(_, file)| file.metadata().ok()?.modified().ok()).max();
        let now = SystemTime::now();
        let ended = written.filter(|_| !is_running).unwrap_or(now);
        Ok(Self { files, ended, asked })
    }

    /// Checks that the disk has room for the file `path`, unless that is compressed, and then for what is added until
    /// `to_keep` bytes are kept.
    pub(super) fn check_room(&self, path: &Path, to_keep: u64) -> Result<(), JoinError> {
        let found = self.files.iter().filter_map(|(_, file)| file.metadata().ok());
        let kept: u64 = found.map(|data| data.len()).sum();
        let file = if is_compressed(path) { 0 } else { kept };
        let needed = file.saturating_add(to_keep.saturating_sub(kept));
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Where that cannot be found out, writing tells.
        match super::free_bytes(directory) {
            Ok(free) if free < needed => {
                Err(JoinError::NoRoom { name: shown_path(path), needed: bytes(needed), free: bytes(free) })
            }
            _ => Ok(()),
        }
    }

    /// Joins them into the file `path`, which must not exist.
    pub(super) fn join(&self, path: &Path) -> Result<Saved, JoinError> {
        if self.files.is_empty() {
            return Err(JoinError::Nothing);
        }
        let inputs: Vec<_> = self
            .files
            .iter()
            .map(|(_, file)| Input::File(format!("/proc/self/fd/{}", file.as_raw_fd()).into()))
            .collect();
        let selection = Rc::new(Selection::default());
        let file = CutFile::create(path).map_err(CutError::from)?;
        let cut = Cut::new(&inputs, &selection, Span::default(), true, file);
        let mut is_whole = true;
        let counts = cut.run(|input, error| {
            let index = inputs.iter().position(|one| one == input);
            let name = index.map(|index| shown_path(&self.files[index].0)).unwrap_or_default();
            // A recorder that was killed, or is writing, leaves the last block incomplete.
            if error.is_of_torn_file() {
                tracing::info!("{name} ends within a block: all before it is saved");
            } else {
                is_whole = false;
                tracing::warn!("{name} is not saved to its end: {error}");
            }
        })?;
        if counts.sections == 0 {
            return Err(JoinError::Nothing);
        }
        let found = || self.files.iter().filter_map(|(_, file)| file.metadata().ok());
        let oldest = found().filter_map(|data| data.created().ok()).min();
        let covers = oldest.and_then(|oldest| self.ended.duration_since(oldest).ok());
        let kept = found().map(|data| data.len()).sum();
        let less = self.asked.zip(covers).zip(oldest);
        let less = less.and_then(|((asked, covers), oldest)| asked.less(covers, oldest, kept));
        Ok(Saved {
            bytes: path.metadata().map_or(0, |data| data.len()),
            path: path.to_owned(),
            packets: counts.written,
            covers,
            less,
            is_whole,
        })
    }
}

/// Joins what is in a directory of segments, also if a recorder is still writing there.
///
/// # Errors
/// [`JoinError`].
pub fn join(directory: &Path, path: &Path) -> Result<Saved, JoinError> {
    Segments::open(directory, None)?.join(path)
}
