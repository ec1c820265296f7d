//! A regular file that always ends with a complete block, even if other programs move or remove it while it is written.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use hone_engine::BYTE_ORDER;
use hone_pcapng::view;

use crate::output::archive::Finished;
use crate::platform::file::{self, FileId};
/// A user and a group, to whom files are given.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

/// The present path of an open file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was opened, or this cannot be found out.
    Same,
    /// It was moved to this path.
    Moved(PathBuf),
    /// It has no name that can be found: it was deleted, or another file has its place. Closing it loses its content.
    Nowhere,
}

/// A regular file being written. Owned by [`Output`](crate::output::Output).
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    /// Bytes written by this program: always complete blocks.
    written: u64,
    /// Whether it still contains an older file of the same name.
    overwrites: bool,
    /// Its path, if it was opened by one.
    path: Option<PathBuf>,
    /// Whether this program made it. If so, it is removed if nothing was written.
    made: bool,
    /// Whether it had a name when it was opened. If so, losing the name is noticed.
    named: bool,
}

impl RegularFile {
    /// A file that was just made at `path`. It is removed again if nothing is written.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        let mut new = Self::inherited(file);
        (new.path, new.made) = (Some(path), true);
        new
    }

    /// An existing file. Its content is removed at the first write.
    pub(crate) fn overwrite(file: File, path: PathBuf) -> Self {
        let mut old = Self::inherited(file);
        (old.path, old.overwrites) = (Some(path), true);
        old
    }

    /// A file that another program opened. Written from its current position.
    pub(crate) fn inherited(file: File) -> Self {
        let named = file::names_left(&file).is_ok_and(|names| names > 0);
        Self { file, written: 0, overwrites: false, path: None, made: false, named }
    }

    /// The file's present path.
    pub(crate) fn place(&self) -> Place {
        if !self.named {
            return Place::Same;
        }
        // The system may also report that it does not know the file any more, for example on a file server.
        if file::names_left(&self.file).unwrap_or(0) == 0 {
            return Place::Nowhere;
        }
        let (Some(path), Ok(id)) = (&self.path, FileId::of(&self.file)) else { return Place::Same };
        match id.is_behind(path) {
            Ok(true) => Place::Same,
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Place::Same
            }
            _ => match file::current_name(&self.file).filter(|name| id.is_at(name)) {
                Some(name) => Place::Moved(name),
                None => Place::Nowhere,
            },
        }
    }

    /// How the user can save its content while it has no name, if this is possible.
    pub(crate) fn rescue(&self) -> Option<String> {
        file::rescue(&self.file)
    }

    /// Makes another user its owner, if this program made it where its path says: what was there before, and what a link
    /// leads to, may be anybody's.
    #[cfg(unix)]
    pub(crate) fn give_to(&self, owner: Owner) -> io::Result<()> {
        let is_made_here = self.made
            && self
                .path
                .as_ref()
                .is_some_and(|path| path.symlink_metadata().is_ok_and(|data| data.is_file()));
        if !is_made_here {
            return Ok(());
        }
        std::os::unix::fs::fchown(&self.file, Some(owner.user), Some(owner.group))
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Closes it. Returns what was written, if it has a name and is not empty.
    pub(crate) fn finish(mut self) -> Option<Finished> {
        let id = FileId::of(&self.file).ok().filter(|_| self.written > 0)?;
        Some(Finished {
            path: self.path.take()?,
            id,
            made: self.made,
            bytes: self.written,
            ended: Instant::now(),
        })
    }

    /// Appends complete blocks. After an error, the blocks that were written completely stay, and nothing of the next
    /// one.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.overwrites {
            self.file.set_len(0)?;
            self.overwrites = false;
        }
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write(&bytes[done..]) {
                Ok(0) => return self.cut(bytes, done, io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.cut(bytes, done, error),
            }
        }
        self.written += done as u64;
        Ok(())
    }

    /// Handles `error` after `done` bytes were written: cuts off the incomplete block.
    fn cut(&mut self, bytes: &[u8], done: usize, error: io::Error) -> io::Result<()> {
        let kept = view::whole(&bytes[..done], BYTE_ORDER);
        self.written += kept as u64;
        if kept < done {
            // From the position, for an inherited file may have held something before.
            let end = self.file.stream_position()? - (done - kept) as u64;
            self.file.set_len(end)?;
            self.file.seek(io::SeekFrom::Start(end))?;
        }
        Err(error)
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && self.made
            && self.written == 0
            && FileId::of(&self.file).is_ok_and(|id| id.is_at(path))
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
