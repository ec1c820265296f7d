//! The list of what an installation makes. It is written first, so that an interrupted installation can be removed.
//!
//! One line each: `file PATH`, `directory PATH`, `group NAME`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};

/// Where it is, below the root.
pub(super) const MANIFEST: &str = "/usr/local/share/hone/manifest";

/// What was made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) directories: BTreeSet<PathBuf>,
    pub(super) group: Option<String>,
}

impl Manifest {
    /// The installation below the root; `None`: nothing is installed.
    pub(super) fn read(root: &Path) -> anyhow::Result<Option<Self>> {
        let path = below(root, Path::new(MANIFEST));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                Self::parse(&text).with_context(|| format!("{} is damaged", path.display())).map(Some)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("# What `honeutil install` has made, for `honeutil uninstall`.\n");
        for (kind, paths) in [("directory", &self.directories), ("file", &self.files)] {
            for path in paths {
                text.push_str(&format!("{kind} {}\n", path.display()));
            }
        }
        if let Some(group) = &self.group {
            text.push_str(&format!("group {group}\n"));
        }
        text
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut manifest = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, value) = line.split_once(' ').unwrap_or((line, ""));
            if line.contains(char::is_control) {
                bail!("{line:?} is not understood");
            }
            let path = PathBuf::from(value);
            // Root will remove these paths, so nothing unusual is accepted.
            let plain =
                path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            match kind {
                "file" if path.is_absolute() && plain => drop(manifest.files.insert(path)),
                "directory" if path.is_absolute() && plain => drop(manifest.directories.insert(path)),
                "group" if !value.is_empty() => manifest.group = Some(value.to_owned()),
                _ => bail!("{line:?} is not understood"),
            }
        }
        Ok(manifest)
    }
}

/// An absolute path, below a root.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let manifest = Manifest {
            files: ["/usr/local/bin/honed", "/etc/hone/a b"].map(PathBuf::from).into(),
            directories: ["/etc/hone"].map(PathBuf::from).into(),
            group: Some("hone".to_owned()),
        };
        assert_eq!(Manifest::parse(&manifest.text()).expect("it is understood"), manifest);
    }

    #[test]
    fn nothing_outside_is_ever_named() {
        for line in ["file relative", "file /a/../etc/passwd", "group ", "link /a", "file"] {
            assert!(Manifest::parse(line).is_err(), "{line}");
        }
        assert_eq!(below(Path::new("/tmp/x"), Path::new("/etc/hone")), Path::new("/tmp/x/etc/hone"));
        assert_eq!(below(Path::new("/"), Path::new("/etc/hone")), Path::new("/etc/hone"));
    }
}
