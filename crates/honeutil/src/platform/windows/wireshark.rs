//! What Hone adds to Wireshark for Windows, in the folder where that is installed: the fields of packets, the profile "Hone",
//! and the interface. The places are those of Wireshark's User's Guide, "Files and Folders": `plugins`, `profiles`, and `extcap`,
//! which is `extcap\\wireshark` in newer versions.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::messages::say;
use crate::platform::wireshark::{FIELDS, PROFILE};

/// Where Wireshark's installer writes which folder it has installed into.
const APP_PATH: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\Wireshark.exe";
/// The name without its end of the program in the folder `extcap`: a copy of honeutil, which behaves as `honeutil extcap` there. A
/// script would take characters such as & of a filter as its own; and a link to a program cannot be removed while that runs.
const INTERFACE: &str = "hone";
const ERROR_SHARING_VIOLATION: i32 = 32;

/// The folder of Wireshark; `None` if it is not installed for all users.
fn folder() -> Option<PathBuf> {
    let named = hone_windows::system::string(APP_PATH, "Path").ok().map(PathBuf::from);
    let usual = std::env::var_os("ProgramFiles").map(|programs| Path::new(&programs).join("Wireshark"));
    named.into_iter().chain(usual).find(|folder| folder.is_dir())
}

/// Whether this program was started as the interface.
pub(super) fn is_interface() -> bool {
    let program = std::env::current_exe().ok();
    program.is_some_and(|program| {
        program.file_stem().is_some_and(|name| name.eq_ignore_ascii_case(OsString::from(INTERFACE)))
    })
}

/// A file to install.
#[derive(Debug)]
struct Piece {
    path: PathBuf,
    /// `None`: this program.
    content: Option<&'static str>,
}

/// Every file of Hone's in this folder.
fn pieces(folder: &Path) -> Vec<Piece> {
    let newer = folder.join(r"extcap\wireshark");
    let extcap = if newer.is_dir() { newer } else { folder.join("extcap") };
    let (plugins, profile) = (folder.join("plugins"), folder.join(r"profiles\Hone"));
    let texts = FIELDS
        .iter()
        .map(|(name, content)| (plugins.join(name), content))
        .chain(PROFILE.iter().map(|(name, content)| (profile.join(name), content)));
    let mut pieces: Vec<_> = texts.map(|(path, content)| Piece { path, content: Some(content) }).collect();
    pieces.push(Piece { path: extcap.join(INTERFACE).with_extension("exe"), content: None });
    pieces
}

/// Whether Hone has made this file: the first line of a text names it, as does a program somewhere.
fn is_hones(piece: &Piece, content: &[u8]) -> bool {
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match piece.content {
        Some(_) => first.to_ascii_lowercase().windows(4).any(|word| word == b"hone"),
        None => content.windows(8).any(|word| word == b"honeutil"),
    }
}

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    /// It was there already.
    Same,
    /// Somebody else has made it: it stays.
    Foreign,
}

/// Writes a file, unless somebody else has made the one that is there.
fn write(piece: &Piece, program: &[u8]) -> io::Result<Outcome> {
    let wanted = piece.content.map_or(program, str::as_bytes);
    match fs::read(&piece.path) {
        Ok(content) if !is_hones(piece, &content) => return Ok(Outcome::Foreign),
        Ok(content) if content == wanted => return Ok(Outcome::Same),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(parent) = piece.path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&piece.path, wanted)?;
    Ok(Outcome::Written)
}

/// Installs what is missing or older, where Wireshark is installed. What fails is said: Hone records without Wireshark.
pub(super) fn install(dry_run: bool) {
    let Some(folder) = folder() else { return };
    let program = match std::env::current_exe().and_then(fs::read) {
        Ok(program) => program,
        Err(error) => return say(format!("cannot read honeutil, which Wireshark gets a copy of: {error}")),
    };
    let mut written = false;
    for piece in pieces(&folder) {
        let path = piece.path.display();
        if dry_run {
            say(format!("write {path}"));
            continue;
        }
        match write(&piece, &program) {
            Ok(outcome) => {
                written |= outcome == Outcome::Written;
                if outcome == Outcome::Foreign {
                    say(format!(
                        "{path} is not Hone's and stays: move it away, and run `honeutil install` again"
                    ));
                }
            }
            Err(error) => say(format!("cannot write {path}: {error}{}", remedy(&error))),
        }
    }
    if written {
        say(format!("Wireshark has Hone's fields, its profile and the interface hone: {}", folder.display()));
    }
}

/// Removes what [`install`] has written.
///
/// # Errors
/// A file that cannot be removed, with what to do.
pub(super) fn uninstall(dry_run: bool) -> anyhow::Result<()> {
    let Some(folder) = folder() else { return Ok(()) };
    remove(&folder, dry_run)
}

fn remove(folder: &Path, dry_run: bool) -> anyhow::Result<()> {
    for piece in pieces(folder) {
        let path = piece.path.display();
        match fs::read(&piece.path) {
            Ok(content) if !is_hones(&piece, &content) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Ok(_) if dry_run => {
                say(format!("remove {path}"));
                continue;
            }
            read => read
                .map(drop)
                .and_then(|()| fs::remove_file(&piece.path))
                .map_err(|error| anyhow::anyhow!("cannot remove {path}: {error}{}", remedy(&error)))?,
        }
        // The folder of the profile. One that has other files stays.
        if piece.path.parent().is_some_and(|parent| parent.ends_with("Hone")) {
            let _ = piece.path.parent().map(fs::remove_dir);
        }
    }
    Ok(())
}

/// What the user can do about an error, as the end of a message.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(ERROR_SHARING_VIOLATION) => ": end Wireshark first",
        _ if error.kind() == io::ErrorKind::PermissionDenied => ": end Wireshark first",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &[u8] = b"MZ: honeutil";

    /// A folder of Wireshark, which has these folders.
    fn wireshark(folders: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().unwrap();
        for name in folders {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        folder
    }

    /// The names of all files and folders below this one.
    fn names(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_is_installed_is_removed_again_and_nothing_else() {
        for (folders, program) in [
            (&["extcap", "plugins", "profiles"][..], r"extcap\hone.exe"),
            (&[r"extcap\wireshark", "plugins", "profiles"], r"extcap\wireshark\hone.exe"),
        ] {
            let folder = wireshark(folders);
            let before = names(folder.path());
            for outcome in [Outcome::Written, Outcome::Same] {
                for piece in &pieces(folder.path()) {
                    assert_eq!(write(piece, PROGRAM).unwrap(), outcome, "{piece:?}");
                }
            }
            let interface = pieces(folder.path()).pop().unwrap();
            assert_eq!(write(&interface, b"a newer honeutil").unwrap(), Outcome::Written);
            let made = names(folder.path());
            assert!(made.iter().any(|name| name == program), "{made:?}");
            assert!(made.iter().any(|name| name == r"profiles\Hone\preferences"), "{made:?}");
            assert_eq!(made.len(), before.len() + 7);
            remove(folder.path(), true).unwrap();
            assert_eq!(names(folder.path()), made, "a dry run");
            remove(folder.path(), false).unwrap();
            assert_eq!(names(folder.path()), before);
        }
    }

    #[test]
    fn files_of_others_stay() {
        let folder = wireshark(&["extcap", r"plugins", r"profiles\Hone"]);
        for name in [r"plugins\hone.lua", r"profiles\Hone\preferences", r"extcap\hone.exe"] {
            fs::write(folder.path().join(name), "-- of a knife\n-- of Hone").unwrap();
        }
        let outcomes: Vec<_> =
            pieces(folder.path()).iter().map(|piece| write(piece, PROGRAM).unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Foreign).count(), 3);
        remove(folder.path(), false).unwrap();
        assert_eq!(
            names(folder.path()),
            ["extcap", r"extcap\hone.exe", "plugins", r"plugins\hone.lua", "profiles", r"profiles\Hone"]
                .into_iter()
                .chain([r"profiles\Hone\preferences"])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_older_file_of_hones_is_replaced() {
        let folder = wireshark(&["plugins"]);
        let path = folder.path().join(r"plugins\hone.lua");
        fs::write(&path, "-- Hone in Wireshark, long ago").unwrap();
        assert_eq!(write(&pieces(folder.path())[0], PROGRAM).unwrap(), Outcome::Written);
        assert_eq!(fs::read_to_string(&path).unwrap(), FIELDS[0].1);
    }
}
