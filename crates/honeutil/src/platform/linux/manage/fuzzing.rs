//! See [`crate::platform::fuzzing`].

use std::path::PathBuf;

use super::manifest::Manifest;

/// What a manifest names, and its text written again; `None`: it is damaged.
#[must_use]
pub fn manifest(text: &str) -> Option<(Vec<PathBuf>, String)> {
    let manifest = Manifest::parse(text).ok()?;
    let again = manifest.text();
    Some((manifest.files.into_iter().chain(manifest.directories).collect(), again))
}
