//! One regular file that always ends at a whole block.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

use crate::archive::Finished;
use crate::blocks;
use crate::system::file::FileId;

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
}

impl RegularFile {
    /// A file that was just made at `path`. It vanishes again if nothing is written.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        Self { file, written: 0, overwrites: false, path: Some(path), made: true }
    }

    /// An existing file; what it holds is removed at the first write.
    pub(crate) fn overwrite(file: File, path: PathBuf) -> Self {
        Self { file, written: 0, overwrites: true, path: Some(path), made: false }
    }

    /// A file that somebody else opened, written from where it stands.
    pub(crate) fn inherited(file: File) -> Self {
        Self { file, written: 0, overwrites: false, path: None, made: false }
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
        let kept = blocks::whole(&bytes[..done]);
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
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
