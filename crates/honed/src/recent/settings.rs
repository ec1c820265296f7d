//! The section `[recent]` of the configuration, and the recorder's command line that it stands for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Where the newest part is kept, unless it is said. The unit's `StateDirectory=`.
const FOLDER: &str = "/var/lib/hone";
/// The directory in it, which the recorder makes.
const KEPT: &str = "hone.recent";

/// The section. The recorder itself checks what its options take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    last: String,
    #[serde(default)]
    size: Option<String>,
    #[serde(default)]
    folder: Option<PathBuf>,
    #[serde(default)]
    save_to: Option<PathBuf>,
    #[serde(default)]
    save_when: Vec<String>,
    #[serde(default)]
    save_after: Option<String>,
    #[serde(default)]
    save_files: Option<u32>,
}

/// What the recorder is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    file: File,
    folder: PathBuf,
    save_to: PathBuf,
}

impl Settings {
    /// # Errors
    /// The key that has a wrong value, the value, and what is allowed.
    pub(crate) fn new(file: File) -> Result<Self, (&'static str, String, String)> {
        let folder = file.folder.clone().unwrap_or_else(|| FOLDER.into());
        let save_to = file.save_to.clone().unwrap_or_else(|| folder.clone());
        for (key, path) in [("recent.folder", &folder), ("recent.save_to", &save_to)] {
            if !path.is_absolute() {
                return Err((key, path.display().to_string(), "an absolute path".to_owned()));
            }
        }
        Ok(Self { file, folder, save_to })
    }

    /// The directory of the segments.
    pub(super) fn kept(&self) -> PathBuf {
        self.folder.join(KEPT)
    }

    /// Makes the folders, which only this user can read, unless they are there. Their parents must be.
    pub(super) fn make_folders(&self) -> Result<(), String> {
        use std::os::unix::fs::DirBuilderExt as _;
        for folder in [&self.folder, &self.save_to] {
            match std::fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(format!("cannot make {}: {error}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The recorder, as a reader of the honed at `socket`.
    pub(super) fn command(&self, program: &Path, socket: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["read", "--json", "--keep-at-end", "--last", &self.file.last]);
        command.arg("--socket").arg(socket).arg("-d").arg(&self.save_to).arg("--last-dir").arg(self.kept());
        if let Some(size) = &self.file.size {
            command.args(["--last-size", size]);
        }
        if let Some(after) = &self.file.save_after {
            command.args(["--save-after", after]);
        }
        if let Some(files) = self.file.save_files {
            command.args(["--save-files", &files.to_string()]);
        }
        command.args(self.file.save_when.iter().map(|rule| format!("--save-when={rule}")));
        // It must not say to systemd that honed is ready.
        command.env_remove("NOTIFY_SOCKET").current_dir("/");
        command
    }
}
