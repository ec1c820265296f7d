//! Files and pipes that recordings are written to. New ones are readable by their owner only.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// What the user can do about an error of a file, further to what follows from its kind.
#[must_use]
pub fn remedy(error: &io::Error) -> Option<&'static str> {
    (Errno::from_io_error(error) == Some(Errno::FBIG))
        .then_some(": raise the limit (ulimit -f), or start a new file in time (--rotate-size, SIGHUP)")
}

/// Whether it says that nobody reads a pipe any more.
#[must_use]
pub fn is_pipe_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Makes a file that is not there yet.
///
/// # Errors
/// As open(2) has them; [`io::ErrorKind::AlreadyExists`] if there is one of that name.
pub fn create_new(path: &Path) -> io::Result<File> {
    Ok(open_with(path, OFlags::CREATE | OFlags::EXCL)?)
}

/// Whether a path names a pipe, be it there or not: on Linux, a path does not show that.
#[must_use]
pub const fn is_pipe_name(_path: &Path) -> bool {
    false
}

/// Makes a pipe that the path names: on Linux, mkfifo(1) does that.
///
/// # Errors
/// None on Linux.
pub const fn make_pipe(_path: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// Whether a pipe that [`make_pipe`] has made is read: on Linux there is none.
///
/// # Errors
/// None on Linux.
pub const fn has_reader(_pipe: &File) -> io::Result<bool> {
    Ok(true)
}

/// Opens a file or named pipe that is there, or makes a file behind a symbolic link; `None`: nobody reads the pipe yet.
///
/// # Errors
/// As open(2) has them.
pub fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match open_with(path, OFlags::CREATE) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_with(path: &Path, more: OFlags) -> Result<File, Errno> {
    // NONBLOCK: opening a named pipe must not hang. Regular files do not care.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Standard output as a file.
///
/// # Errors
/// It is closed.
pub fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn file_type(file: impl AsFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

/// Whether it is a regular file.
///
/// # Errors
/// As fstat(2) has them.
pub fn is_regular(file: &File) -> io::Result<bool> {
    Ok(file_type(file)? == FileType::RegularFile)
}

/// Whether standard input is a pipe.
///
/// # Errors
/// As fstat(2) has them.
pub fn is_input_piped() -> io::Result<bool> {
    Ok(file_type(io::stdin())? == FileType::Fifo)
}

/// Renames, but not over another file.
///
/// # Errors
/// As rename(2) has them; [`io::ErrorKind::AlreadyExists`].
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it: a look must do.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        result => Ok(result?),
    }
}

/// Which file something is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of an open file.
    ///
    /// # Errors
    /// As fstat(2) has them.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|data| Self { device: data.dev(), inode: data.ino() })
    }

    /// Whether this file still has this name.
    #[must_use]
    pub fn is_at(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|data| Self { device: data.dev(), inode: data.ino() } == self)
    }

    /// Removes this file if it still has this name; whether it had.
    ///
    /// # Errors
    /// As lstat(2) and unlink(2) have them, but that there is nothing of the name.
    pub fn remove_at(self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(data) if (Self { device: data.dev(), inode: data.ino() }) != self => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Ok(_) => fs::remove_file(path).map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Whether this name still leads to this file, be it through links.
    ///
    /// # Errors
    /// As stat(2) has them.
    pub fn is_behind(self, path: &Path) -> io::Result<bool> {
        fs::metadata(path).map(|data| Self { device: data.dev(), inode: data.ino() } == self)
    }
}

/// How many names an open file has.
///
/// # Errors
/// As fstat(2) has them; a file server may say so that it has removed the file.
pub fn names_left(file: &File) -> io::Result<u64> {
    file.metadata().map(|data| data.nlink())
}

/// The name that an open file has now, if the kernel knows it.
#[must_use]
pub fn current_name(file: &File) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    // What NFS and FUSE call a file that was deleted while it is open.
    let name = path.file_name()?.as_bytes();
    (![&b".nfs"[..], b".fuse_hidden"].iter().any(|begin| name.starts_with(begin))).then_some(path)
}

/// How what is in a file without a name can be saved as long as this program has it open.
#[must_use]
pub fn rescue(file: &File) -> Option<String> {
    Some(format!(
        "until then, `cp /proc/{}/fd/{} FILE` saves what is in it",
        std::process::id(),
        file.as_raw_fd()
    ))
}

/// Waits until a pipe takes something without blocking; false: the time has passed, or a signal came.
///
/// # Errors
/// As poll(2) has them.
pub fn await_writable(pipe: &File, timeout: Duration) -> io::Result<bool> {
    writable(pipe, timeout).map(|state| !state.is_empty())
}

/// Whether nobody reads a pipe any more, also while there is nothing to write.
#[must_use]
pub fn is_abandoned(pipe: &File) -> bool {
    writable(pipe, Duration::ZERO).is_ok_and(|state| state.intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Waits until something can be written or its other end is gone, or the time has passed or a signal came: then nothing.
pub(super) fn writable(file: &impl AsFd, timeout: Duration) -> io::Result<PollFlags> {
    let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => Ok(fds[0].revents()),
        Err(Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error.into()),
    }
}

/// Lowers the priority of the calling thread.
pub fn lower_priority() {
    // Only a courtesy. 10 of 19: half way.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}
