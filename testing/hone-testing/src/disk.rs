//! A disk that is soon full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small file system in memory, in a directory of its own; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of this size, as tmpfs(5) writes it; `None`: mounting is not allowed here.
    ///
    /// # Panics
    /// There can be no temporary directory.
    #[must_use]
    pub fn mount(size: &str) -> Option<Self> {
        let directory = crate::directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "hone-test"]).arg(directory.path());
        mount.output().ok()?.status.success().then(|| Self(directory))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a child that was just killed may hold a file on it still.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
