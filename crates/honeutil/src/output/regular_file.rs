//! A regular file that always ends at a whole block, also if others move or remove it while it is written.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

use hone_engine::BYTE_ORDER;
use hone_pcapng::view;

use crate::output::archive::Finished;
use crate::platform::file::{self, FileId};
/// Where an open file is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was opened, or that cannot be known.
    Same,
    /// Somebody has moved it here.
    Moved(PathBuf),
    /// Under no name that can be found: it was deleted, or another file has its place. When it is closed, it is lost.
    Nowhere,
}

/// A regular file being written. Owned by [`Output`](crate::output::Output).
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    /// Bytes written by us, always whole blocks.
    written: u64,
    /// An older file of the name is still in there.
    overwrites: bool,
    /// Its name, if it was opened by one.
    path: Option<PathBuf>,
    /// We made it. It is removed if nothing gets written.
    made: bool,
    /// It had a name when it was opened, so that it is noticed when it has none any more.
    named: bool,
}

impl RegularFile {
    /// A file that was just made at `path`. It vanishes again if nothing is written.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        let mut new = Self::inherited(file);
        (new.path, new.made) = (Some(path), true);
        new
    }

    /// An existing file; what it holds is removed at the first write.
    pub(crate) fn overwrite(file: File, path: PathBuf) -> Self {
        let mut old = Self::inherited(file);
        (old.path, old.overwrites) = (Some(path), true);
        old
    }

    /// A file that somebody else opened, written from where it stands.
    pub(crate) fn inherited(file: File) -> Self {
        let named = file::names_left(&file).is_ok_and(|names| names > 0);
        Self { file, written: 0, overwrites: false, path: None, made: false, named }
    }

    /// Where it is now.
    pub(crate) fn place(&self) -> Place {
        if !self.named {
            return Place::Same;
        }
        // The system may also say that it does not know the file any more, as of one on a file server.
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

    /// How what is in it can be saved while it has no name, if it can.
    pub(crate) fn rescue(&self) -> Option<String> {
        file::rescue(&self.file)
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Ends it; what it was, if it has a name and anything in it.
    pub(crate) fn finish(mut self) -> Option<Finished> {
        let id = FileId::of(&self.file).ok().filter(|_| self.written > 0)?;
        Some(Finished { path: self.path.take()?, id, made: self.made })
    }

    /// Appends whole blocks. If not all can be written, those that were written whole stay, nothing of the next.
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

    /// `done` bytes are written, and then `error` happened: cuts off the block that has only begun.
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
