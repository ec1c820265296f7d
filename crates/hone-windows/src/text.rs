//! Texts and paths as Windows' functions take them.

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::{self, Component, Path, Prefix};

/// From this length on, functions take a path only in its verbatim form (`MAX_PATH` less a name of 8.3, as documented for
/// `CreateDirectoryW`; the standard library does the same).
const LONG: usize = 248;

/// A text with NUL at its end.
///
/// # Errors
/// NUL is within.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.as_ref().encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a text for Windows has NUL within"));
    }
    wide.push(0);
    Ok(wide)
}

/// A path, in its verbatim form if it is long.
///
/// # Errors
/// It is empty, or NUL is within.
pub(crate) fn wide_path(path: &Path) -> io::Result<Vec<u16>> {
    let path = path::absolute(path)?;
    let text = wide(&path)?;
    let Some(Component::Prefix(prefix)) = path.components().next() else { return Ok(text) };
    // A share's path begins with two backslashes that its verbatim form has not.
    let (verbatim, rest) = match prefix.kind() {
        Prefix::Disk(_) => (r"\\?\", 0),
        Prefix::UNC(..) => (r"\\?\UNC\", 2),
        _ => return Ok(text),
    };
    if text.len() < LONG {
        return Ok(text);
    }
    Ok(verbatim.encode_utf16().chain(text[rest..].iter().copied()).collect())
}

/// The text up to NUL, or all of it.
pub(crate) fn narrow(wide: &[u16]) -> String {
    let length = wide.iter().position(|unit| *unit == 0).unwrap_or(wide.len());
    String::from_utf16_lossy(&wide[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(path: &str) -> String {
        narrow(&wide_path(Path::new(path)).expect("it is a path"))
    }

    #[test]
    fn long_paths_are_verbatim_and_short_ones_as_given() {
        let long = "a".repeat(300);
        assert_eq!(converted(r"C:\short"), r"C:\short");
        assert_eq!(converted(&format!(r"C:\{long}")), format!(r"\\?\C:\{long}"));
        assert_eq!(converted(&format!(r"\\host\share\{long}")), format!(r"\\?\UNC\host\share\{long}"));
        assert_eq!(converted(&format!(r"\\?\C:\{long}")), format!(r"\\?\C:\{long}"));
    }

    #[test]
    fn nul_within_a_text_is_refused() {
        assert_eq!(wide("a\0b").map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    }
}
