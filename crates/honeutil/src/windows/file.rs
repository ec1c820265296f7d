//! Files and pipes that recordings are written to. New ones are for their owner, administrators and the system only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::io::AsHandle as _;
use std::path::Path;
use std::time::Duration;

use hone_windows::{files, process};

pub use files::rename_new;

/// `ERROR_PIPE_BUSY`: all instances of a named pipe are taken.
const PIPE_BUSY: i32 = 231;

/// `ERROR_PIPE_NOT_CONNECTED`: a named pipe's reader has gone. Unlike the two errors that say the same of other pipes, the
/// standard library has no kind for it.
const PIPE_NOT_CONNECTED: i32 = 233;

/// What an error of a file may be told to do about it: nothing further than what its kind says.
#[must_use]
pub const fn remedy(_error: &io::Error) -> Option<&'static str> {
    None
}

/// Whether it says that nobody reads a pipe any more.
#[must_use]
pub fn is_pipe_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(PIPE_NOT_CONNECTED)
}

/// Makes a file that is not there yet.
///
/// # Errors
/// As Windows has them; [`io::ErrorKind::AlreadyExists`] if there is one of that name.
pub fn create_new(path: &Path) -> io::Result<File> {
    // A device or pipe (`\\.\pipe\...`) is never made by who writes to it.
    if path.as_os_str().as_encoded_bytes().starts_with(br"\\.\") {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    files::create_new(path)
}

/// Opens a file or named pipe that is there; `None`: somebody else has the pipe still.
///
/// # Errors
/// As Windows has them.
pub fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => Ok(None),
        // Windows says that access is denied.
        Err(_) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Err(error) => Err(error),
    }
}

/// Standard output as a file.
///
/// # Errors
/// It is closed.
pub fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Whether it is a regular file.
///
/// # Errors
/// None on Windows.
pub fn is_regular(file: &File) -> io::Result<bool> {
    Ok(files::is_regular(file))
}

/// Whether standard input is a pipe.
///
/// # Errors
/// None on Windows.
pub fn is_input_piped() -> io::Result<bool> {
    Ok(files::is_pipe(io::stdin()))
}

/// Which file something is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId((u64, u64));

impl FileId {
    /// Of an open file.
    ///
    /// # Errors
    /// Windows can't tell.
    pub fn of(file: &File) -> io::Result<Self> {
        files::id(file).map(Self)
    }

    /// Whether this file still has this name.
    #[must_use]
    pub fn is_at(self, path: &Path) -> bool {
        files::id_at(path).is_ok_and(|id| id == self.0)
    }
}

/// Waits until a pipe takes something without blocking: Windows can't tell, so that the write itself waits.
///
/// # Errors
/// None on Windows.
pub fn await_writable(_pipe: &File, _timeout: Duration) -> io::Result<bool> {
    Ok(true)
}

/// Whether nobody reads a pipe any more. On Windows the next write tells.
#[must_use]
pub const fn is_abandoned(_pipe: &File) -> bool {
    false
}

/// Has the calling thread work when others need not.
pub fn lower_priority() {
    // Only a courtesy.
    let _ = process::lower_priority();
}
