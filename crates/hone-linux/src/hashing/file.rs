//! Which file a process executes, and how that very file is opened and read afterwards.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hone_engine::NoHash;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;

/// How long after a file's last change a further change certainly gets another time: the kernel's clock for files moves on
/// at least every 10 ms (`CONFIG_HZ=100`).
const SETTLES: Duration = Duration::from_millis(50);
/// The same for file systems that keep whole seconds, or every second one (vfat).
const SETTLES_SLOWLY: Duration = Duration::from_millis(2100);

/// A file as the kernel had it when a process executed it. The same again is the same content, as far as
/// [`Changes`] says, and if the file was not younger than it takes to [settle](Self::settles_in).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    /// The kernel's number of its file system (`s_dev`), which stat(2) shows for most file systems.
    pub(crate) device: u32,
    /// The kind of file system (`s_magic`, include/uapi/linux/magic.h); of a file in the upper layer of overlayfs, that of the
    /// layer.
    pub(crate) kind: u32,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// When its content or its attributes changed last: `st_ctime`.
    pub(crate) changed: (i64, u32),
}

/// What the change time of a file says about its content. Nobody can write to a file while a process executes it
/// (`ETXTBSY`), and a write(2) always changes the time. But a write through shared memory (mmap(2)) need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    /// The kernel's own copy of the time is always right: what it saw at an exec is enough.
    ShowAtExec,
    /// stat(2) has the right time, the kernel's copy can be older: a file of overlayfs that is not in its upper layer.
    ShowWhenOpened,
    /// A write through shared memory does not change the time: tmpfs, and with it memfd_create(2). So it is perhaps with file
    /// systems that are not known here.
    Hidden,
    /// A program answers for the file system, and could keep the reader waiting: FUSE.
    Foreign,
}

/// A file that was opened as the one that a process executes.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// `/proc/PID` of the process, if it still runs. It is not another process's when the id is used again.
    process: Option<OwnedFd>,
}

impl FileId {
    pub(super) const fn changes(&self) -> Changes {
        match self.kind {
            // ext2 to ext4, XFS, Btrfs, F2FS, exFAT, FAT, EROFS, squashfs, ISO 9660
            0xEF53 | 0x5846_5342 | 0x9123_683E | 0xF2F5_2010 | 0x2011_BAB0 | 0x4D44 | 0xE0F5_E1E2
            | 0x7371_7368 | 0x9660 => Changes::ShowAtExec,
            // overlayfs
            0x794C_7630 => Changes::ShowWhenOpened,
            // FUSE
            0x6573_5546 => Changes::Foreign,
            _ => Changes::Hidden,
        }
    }

    /// Whether this open file is the one that was executed, and shows no change since. Of stat(2), the device is another
    /// one on Btrfs and overlayfs, so it is not compared.
    fn is(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|found| {
            found.is_file()
                && found.ino() == self.inode
                && found.size() == self.size
                && (found.ctime(), found.ctime_nsec()) == (self.changed.0, self.changed.1.into())
        })
    }

    /// How long to wait before the file is read. A change during that time, or afterwards, gives it another time.
    pub(super) fn settles_in(&self, now: SystemTime) -> Duration {
        let (Ok(seconds), nanos) = (u64::try_from(self.changed.0), self.changed.1) else {
            return Duration::ZERO;
        };
        let settles = if nanos == 0 { SETTLES_SLOWLY } else { SETTLES };
        let since = now.duration_since(UNIX_EPOCH + Duration::new(seconds, nanos));
        // A time in the future is not that of a change from now on.
        since.map_or(Duration::ZERO, |since| settles.saturating_sub(since))
    }

    /// Opens the file for reading, by the process that executes it, or by its path if it has ended by now.
    ///
    /// # Errors
    /// It is not found any more, or not as it was, or it cannot be read.
    pub(super) fn open(&self, process: u32, parent: u32, path: &[u8]) -> Result<Opened, NoHash> {
        let directory = open_path(&format!("/proc/{process}"), OFlags::DIRECTORY);
        let executed = directory.as_ref().map_err(|&error| error).and_then(open_executable);
        let mut reason = match self.reopen(executed) {
            Ok(file) => return Ok(Opened { file, process: directory.ok() }),
            Err(NoHash::Unreadable) => NoHash::Unreadable,
            // It has ended, or executes another program by now.
            Err(_) => NoHash::Gone,
        };
        let path = Path::new(OsStr::from_bytes(path)).strip_prefix("/");
        let Some(path) = path.ok().filter(|_| self.changes() != Changes::Hidden) else { return Err(reason) };
        // The path is one of the process's mounts. If it has ended, its parent has mostly the same.
        let roots = [process, parent, 1].map(|process| format!("/proc/{process}/root"));
        for root in roots.into_iter().chain(["/".to_owned()]) {
            let Ok(root) = open_path(&root, OFlags::DIRECTORY) else { continue };
            let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match self.reopen(openat2(root, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)) {
                Ok(file) => return Ok(Opened { file, process: None }),
                Err(found) if reason == NoHash::Gone => reason = found,
                Err(_) => {}
            }
        }
        Err(reason)
    }

    /// Opens what was found for reading, if it is this file. It could be a device otherwise.
    fn reopen(&self, found: Result<OwnedFd, Errno>) -> Result<File, NoHash> {
        let found = found.map(File::from).map_err(|error| match error {
            Errno::NOENT | Errno::SRCH | Errno::NOTDIR | Errno::LOOP => NoHash::Gone,
            _ => NoHash::Unreadable,
        })?;
        if !self.is(&found) {
            return Err(NoHash::Changed);
        }
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).map(File::from).map_err(|_| NoHash::Unreadable)
    }
}

impl Opened {
    /// Whether what was read until now is what was executed.
    ///
    /// # Errors
    /// It may be something else.
    pub(super) fn check(&self, id: &FileId) -> Result<(), NoHash> {
        if !id.is(&self.file) {
            return Err(NoHash::Changed);
        }
        if id.changes() != Changes::Hidden || self.is_executed() {
            return Ok(());
        }
        // Nobody could write to it while the process ran. Since then, a change need not show.
        Err(NoHash::Gone)
    }

    /// Whether the process still executes the file.
    fn is_executed(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let place = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
        let executed = open_executable(process).map(File::from).ok();
        executed
            .is_some_and(|executed| place(&executed).is_some_and(|found| Some(found) == place(&self.file)))
    }
}

/// Opens a path without reading what is there.
fn open_path(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    open(path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// What the process executes whose directory in /proc this is.
fn open_executable(process: impl AsFd) -> Result<OwnedFd, Errno> {
    openat(process, "exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
