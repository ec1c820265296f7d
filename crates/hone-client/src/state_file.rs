//! The files that `honed` and `honeutil start` keep: the lock and the pid file beside the socket, and the log.
//!
//! Root opens them by name, perhaps in a directory where others may write, such as `/tmp`. A link that somebody puts
//! there must not make root write into another file. So links are not followed. A file that exists is written only if
//! it is a regular file with a single name that belongs to root or to the caller.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Why such a file cannot be used. It was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// The system refused to open it.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The name belongs to something else.
    #[error("{} is {what}: nothing was written to it. Look who made it, then remove it, or use another name", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
        /// What was found there, in words.
        what: String,
    },
}

/// Opens the file for reading and writing, or creates it. Does not change its content.
///
/// # Errors
/// [`StateFileError`].
pub fn open(path: &Path) -> Result<File, StateFileError> {
    open_with(path, OFlags::RDWR, Mode::from_raw_mode(0o644), false)
}

/// Opens a log for reading and appending, or creates it, readable by the owner and the group. A character device, such
/// as `/dev/null`, is also allowed.
///
/// # Errors
/// [`StateFileError`].
pub fn open_log(path: &Path) -> Result<File, StateFileError> {
    open_with(path, OFlags::RDWR | OFlags::APPEND, Mode::from_raw_mode(0o640), true)
}

fn open_with(path: &Path, flags: OFlags, mode: Mode, devices: bool) -> Result<File, StateFileError> {
    let in_the_way = |what: &str| StateFileError::InTheWay { path: path.to_owned(), what: what.to_owned() };
    // NONBLOCK: opening a named pipe must not block the program. It has no effect on regular files.
    let flags =
        flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, mode).map(File::from).map_err(|error| match error {
        Errno::LOOP => in_the_way("a symbolic link"),
        Errno::ISDIR => in_the_way("a directory"),
        Errno::NXIO => in_the_way("a socket or a device"),
        error => StateFileError::Open { path: path.to_owned(), source: error.into() },
    })?;
    let found = file.metadata().map_err(|source| StateFileError::Open { path: path.to_owned(), source })?;
    let caller = rustix::process::geteuid().as_raw();
    if devices && found.file_type().is_char_device() {
        return Ok(file);
    }
    if !found.is_file() {
        return Err(in_the_way("no regular file"));
    }
    if found.uid() != 0 && found.uid() != caller {
        return Err(in_the_way(&format!("a file of another user (uid {})", found.uid())));
    }
    // A hard link is as dangerous as a symbolic one. A count of 0 is a file that was removed just now, which is
    // harmless.
    if found.nlink() > 1 {
        return Err(in_the_way("a file that has another name, too (a hard link)"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refused(path: &Path) -> String {
        let (file, log) =
            (open(path).expect_err("it is refused"), open_log(path).expect_err("it is refused"));
        assert_eq!(file.to_string(), log.to_string());
        let message = file.to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        message
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let (precious, link) = (directory.path().join("precious"), directory.path().join("link"));
        fs::write(&precious, "precious").expect("the directory is ours");
        symlink(&precious, &link).expect("the directory is ours");
        assert!(refused(&link).contains("a symbolic link"));
        fs::remove_file(&link).expect("the directory is ours");
        symlink(directory.path().join("nothing"), &link).expect("the directory is ours");
        assert!(refused(&link).contains("a symbolic link"));
        assert!(!directory.path().join("nothing").exists(), "nor is anything made behind one");
        fs::remove_file(&link).expect("the directory is ours");
        fs::hard_link(&precious, &link).expect("the directory is ours");
        assert!(refused(&link).contains("a hard link"));
        assert_eq!(fs::read(&precious).expect("it is there"), b"precious");
    }

    #[test]
    fn only_a_regular_file_of_ones_own_is_opened() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = |name| directory.path().join(name);
        fs::create_dir(path("directory")).expect("the directory is ours");
        assert!(refused(&path("directory")).contains("a directory"));
        let _socket = UnixListener::bind(path("socket")).expect("the directory is ours");
        assert!(refused(&path("socket")).contains("a socket"));
        let mkfifo =
            std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("coreutils has it");
        assert!(mkfifo.success());
        assert!(refused(&path("pipe")).contains("no regular file"));
        if rustix::process::geteuid().is_root() {
            fs::write(path("foreign"), "").expect("the directory is ours");
            chown(path("foreign"), Some(12_345), None).expect("root may");
            assert!(refused(&path("foreign")).contains("uid 12345"));
        } else {
            eprintln!("skipped: a file of another user: making one takes root");
        }
    }

    #[test]
    fn what_a_file_of_ones_own_holds_stays() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("file");
        for text in ["first", "second"] {
            let mut log = open_log(&path).expect("it is ours");
            log.write_all(text.as_bytes()).expect("there is room");
        }
        drop(open(&path).expect("it is ours"));
        assert_eq!(fs::read(&path).expect("it is there"), b"firstsecond");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o037, 0, "{mode:o}");
        assert!(open_log(Path::new("/dev/null")).is_ok());
    }
}
