//! Files and pipes that recordings are written to. New ones are for their owner, administrators and the system only.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::AsHandle as _;
use std::path::{Component, Path, PathBuf, Prefix};
use std::time::Duration;

use hone_windows::{files, pipes, process};

pub use files::rename_new;
pub use pipes::has_reader;

/// `SECURITY_IDENTIFICATION`: the program that made a pipe can identify who opens it, but cannot act with that user's
/// rights. Without this flag it could, and a user who records is an administrator.
const IDENTIFICATION: u32 = 1 << 16;

/// `ERROR_PIPE_BUSY`: all instances of a named pipe are taken.
const PIPE_BUSY: i32 = 231;

/// `ERROR_PIPE_NOT_CONNECTED`: a named pipe's reader has gone. Unlike the two errors that say the same of other pipes, the
/// standard library has no kind for it.
const PIPE_NOT_CONNECTED: i32 = 233;

/// What the user can do about an error of a file: nothing further than what follows from its kind.
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
    match name_of(path) {
        Name::File => files::create_new(path),
        Name::Pipe { .. } | Name::Device => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Pipe {
        /// Of this computer.
        own: bool,
    },
    Device,
    File,
}

fn name_of(path: &Path) -> Name {
    let Some(Component::Prefix(prefix)) = path.components().next() else { return Name::File };
    let is_pipe = |space: &OsStr| space.eq_ignore_ascii_case("pipe");
    match prefix.kind() {
        Prefix::DeviceNS(space) | Prefix::Verbatim(space) if is_pipe(space) => Name::Pipe { own: true },
        Prefix::UNC(_, share) | Prefix::VerbatimUNC(_, share) if is_pipe(share) => Name::Pipe { own: false },
        Prefix::DeviceNS(_) => Name::Device,
        _ => Name::File,
    }
}

/// Whether a path names a pipe, be it there or not: `\\.\pipe\NAME`, or `\\COMPUTER\pipe\NAME`.
#[must_use]
pub fn is_pipe_name(path: &Path) -> bool {
    matches!(name_of(path), Name::Pipe { .. })
}

/// Makes a pipe of this computer that is not there yet, to be written once [`has_reader`] says so; `None`: it is there,
/// or what the path names is none.
///
/// # Errors
/// As Windows has them.
pub fn make_pipe(path: &Path) -> io::Result<Option<File>> {
    if !matches!(name_of(path), Name::Pipe { own: true }) {
        return Ok(None);
    }
    match pipes::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        made => made.map(Some),
    }
}

/// Opens a file or named pipe that is there; `None`: somebody else has the pipe still.
///
/// # Errors
/// As Windows has them.
pub fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).security_qos_flags(IDENTIFICATION).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_pipe_name(path) => Err(io::Error::other(
            r"there is no such pipe. A pipe of this computer, \\.\pipe\NAME, is made; another one has to be there before",
        )),
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
    /// Windows does not say.
    pub fn of(file: &File) -> io::Result<Self> {
        files::id(file).map(Self)
    }

    /// Whether this file still has this name.
    #[must_use]
    pub fn is_at(self, path: &Path) -> bool {
        files::id_at(path).is_ok_and(|id| id == self.0)
    }

    /// Removes this file if it still has this name; whether it had.
    ///
    /// # Errors
    /// It cannot be looked at, though there is something of the name, or not be removed.
    pub fn remove_at(self, path: &Path) -> io::Result<bool> {
        match files::id_at(path) {
            Ok(id) if id != self.0 => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Ok(_) => std::fs::remove_file(path).map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Whether this name still leads to this file, be it through links.
    ///
    /// # Errors
    /// There is nothing, or it can't be looked at.
    pub fn is_behind(self, path: &Path) -> io::Result<bool> {
        files::id_behind(path).map(|id| id == self.0)
    }
}

/// How many names an open file has.
///
/// # Errors
/// Windows does not say.
pub fn names_left(file: &File) -> io::Result<u64> {
    files::names_left(file)
}

/// The present path of an open file; `None`: it is being deleted, or its file system has no such paths.
#[must_use]
pub fn current_name(file: &File) -> Option<PathBuf> {
    files::name(file).ok()
}

/// How what is in a file without a name can be saved: on Windows it can't.
#[must_use]
pub const fn rescue(_file: &File) -> Option<String> {
    None
}

/// Waits until a pipe takes something without blocking: Windows does not say, so the write itself waits.
///
/// # Errors
/// None on Windows.
pub fn await_writable(_pipe: &File, _timeout: Duration) -> io::Result<bool> {
    Ok(true)
}

/// Whether nobody reads a pipe any more. On Windows only the next write shows it.
#[must_use]
pub const fn is_abandoned(_pipe: &File) -> bool {
    false
}

/// Lowers the priority of the calling thread.
pub fn lower_priority() {
    // Only a courtesy.
    let _ = process::lower_priority();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_told_from_files_by_their_names() {
        let (own, other) = (Name::Pipe { own: true }, Name::Pipe { own: false });
        for (path, expected) in [
            (r"\\.\pipe\hone", &own),
            ("//./PIPE/hone", &own),
            (r"\\?\pipe\hone", &own),
            (r"\\server\pipe\hone", &other),
            (r"\\?\UNC\server\pipe\hone", &other),
            (r"\\.\COM1", &Name::Device),
            (r"\\server\share\pipe", &Name::File),
            (r"C:\pipe\hone", &Name::File),
            (r"\pipe\hone", &Name::File),
            ("pipe", &Name::File),
        ] {
            assert_eq!(name_of(Path::new(path)), *expected, "{path}");
        }
    }
}
