//! One regular file that always ends at a whole block.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

use crate::blocks;

/// A regular file being written. Owned by [`Output`](crate::output::Output).
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    /// Bytes written by us, always whole blocks.
    written: u64,
    /// An older file of the name is still in there.
    overwrites: bool,
    /// Remove this if nothing gets written: we made it.
    remove: Option<PathBuf>,
}

impl RegularFile {
    /// A file that was just made at `path`. It vanishes again if nothing is written.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        Self { file, written: 0, overwrites: false, remove: Some(path) }
    }

    /// An existing file; what it holds is removed at the first write.
    pub(crate) fn overwrite(file: File) -> Self {
        Self { file, written: 0, overwrites: true, remove: None }
    }

    /// A file that somebody else opened, written from where it stands.
    pub(crate) fn inherited(file: File) -> Self {
        Self { file, written: 0, overwrites: false, remove: None }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
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
        self.remove = None;
        self.written += done as u64;
        Ok(())
    }

    /// `done` bytes are written, and then `error` happened: cuts off the block that has only begun.
    fn cut(&mut self, bytes: &[u8], done: usize, error: io::Error) -> io::Result<()> {
        let kept = blocks::whole(&bytes[..done]);
        if kept > 0 {
            self.remove = None;
        }
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
        if let Some(path) = &self.remove {
            let _ = std::fs::remove_file(path);
        }
    }
}
