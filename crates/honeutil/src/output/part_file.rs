//! An unfinished file. It has the finished file's name with `.part` added, until it is complete.
//!
//! It is locked while it is written. So a file that is not locked was left behind by a program that was killed, or when
//! the computer lost power, and can be removed.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::platform::file::{FileId, create_new, rename_new};

/// The extension of unfinished files.
pub(crate) const SUFFIX: &str = ".part";
/// How often to try again if another program removes the file before it is locked.
const TRIES: u32 = 10;

/// An unfinished file. Dropping it removes it, unless it was finished.
#[derive(Debug)]
pub(crate) struct Part {
    name: PathBuf,
    path: PathBuf,
    file: File,
    id: FileId,
}

impl Part {
    /// Begins the file that will be called `name`, readable by its owner only. Removes one that was left behind.
    ///
    /// # Errors
    /// Another program is making it, or it cannot be made.
    pub(crate) fn create(name: &Path) -> io::Result<Self> {
        let path = with_suffix(name, SUFFIX);
        for _ in 0..TRIES {
            let file = match create_new(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    remove_left_behind(&path)?;
                    continue;
                }
                made => made?,
            };
            let locked = file.try_lock();
            let part = Self { name: name.to_owned(), id: FileId::of(&file)?, path: path.clone(), file };
            match locked {
                // Another program may have removed it as left behind, before it was locked.
                Ok(()) if !part.id.is_at(&path) => {}
                Err(TryLockError::WouldBlock) => {}
                // The file system has no locks, so no program treats the file as left behind.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(part),
            }
        }
        Err(in_use(&path))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Waits until the whole file is on the disk, then renames it. Never replaces another file.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`]: the name is taken. Or it cannot be written or renamed. It is removed then.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.id.is_at(&self.path) {
            return Err(io::Error::other(format!("{} is gone", self.path.display())));
        }
        rename_new(&self.path, &self.name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // A finished file does not have this name any more.
        if self.id.is_at(&self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes an unfinished file that no program writes any more.
///
/// # Errors
/// A program still writes it, or this cannot be found out; or it is not a regular file, or cannot be removed.
pub(crate) fn remove_left_behind(path: &Path) -> io::Result<()> {
    let said = |error: &dyn std::fmt::Display| {
        io::Error::other(format!(
            "{} is in the way: {error}. Remove it if no honeutil writes it",
            path.display()
        ))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(said(&error)),
        Ok(found) if !found.is_file() => return Err(said(&"it is no file")),
        Ok(_) => {}
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|error| said(&error))?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(path)),
        Err(TryLockError::Error(error)) => return Err(said(&error)),
    }
    let id = FileId::of(&file).map_err(|error| said(&error))?;
    if !id.is_at(path) {
        return Ok(());
    }
    fs::remove_file(path).map_err(|error| said(&error))
}

fn in_use(path: &Path) -> io::Error {
    io::Error::other(format!("another program is writing {}", path.display()))
}

/// A path with something appended to its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_part_becomes_the_file_or_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (name, part_name) = (directory.path().join("a"), directory.path().join("a.part"));
        let part = Part::create(&name).unwrap();
        part.file().write_all(b"text").unwrap();
        assert!(part_name.exists() && !name.exists());
        drop(part);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);

        let part = Part::create(&name).unwrap();
        part.file().write_all(b"text").unwrap();
        part.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"text");
        assert!(!part_name.exists());
        let error = Part::create(&name).unwrap().finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"text");
        assert!(!part_name.exists());
    }

    #[test]
    fn one_that_was_left_behind_is_in_nobodys_way_and_one_that_is_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (name, part_name) = (directory.path().join("a"), directory.path().join("a.part"));
        fs::write(&part_name, "of a program that was killed").unwrap();
        let part = Part::create(&name).unwrap();
        part.file().write_all(b"new").unwrap();
        let error = Part::create(&name).unwrap_err().to_string();
        assert!(error.contains("another program is writing") && error.contains("a.part"), "{error}");
        assert!(remove_left_behind(&part_name).is_err());
        part.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a.part")).unwrap();
        let error = Part::create(&directory.path().join("a")).unwrap_err().to_string();
        assert!(error.contains("a.part is in the way: it is no file"), "{error}");
    }
}
