//! A small disk that fills up quickly.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small file system in memory, mounted on its own directory. Unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts a file system of this size, in the notation of tmpfs(5). `None`: this process may not mount.
    ///
    /// # Panics
    /// The temporary directory cannot be made.
    #[must_use]
    pub fn mount(size: &str) -> Option<Self> {
        let directory = crate::directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "hone-test"]).arg(directory.path());
        mount.output().ok()?.status.success().then(|| Self(directory))
    }

    /// The directory on which it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy, because a child that was just killed may still have a file on it open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
