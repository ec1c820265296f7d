//! The files that an installation by hand consists of. Packages have the same ones below /usr (Cargo.toml of honed).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_complete::Shell;

use super::instance::CONFIG;
use super::manifest::below;
use crate::cli::{completions, man};
use crate::platform::wireshark::{FIELDS, PROFILE};

/// Where the packages put honed, which is what the unit says.
const PACKAGED_HONED: &str = "/usr/bin/honed";
const HONED: &str = "/usr/local/bin/honed";

/// One file.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where it belongs, absolute.
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
    /// Somebody may have changed it: then it stays.
    pub(super) is_config: bool,
}

impl Piece {
    fn new(path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, content: content.into(), is_config: false }
    }

    fn program(path: &str, from: &Path) -> anyhow::Result<Self> {
        let content = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        Ok(Self { mode: 0o755, ..Self::new(path, content) })
    }
}

/// Every file, from these two programs; systemd's only where it is wanted, Wireshark's where it is found below the root.
pub(super) fn pieces(
    honed: &Path,
    honeutil: &Path,
    systemd: bool,
    root: &Path,
) -> anyhow::Result<Vec<Piece>> {
    let mut pieces = vec![
        Piece::program(HONED, honed)?,
        Piece::program("/usr/local/bin/honeutil", honeutil)?,
        Piece {
            is_config: true,
            ..Piece::new(CONFIG, include_str!("../../../../../../packaging/hone.toml"))
        },
        Piece::new("/usr/local/share/man/man8/honed.8", include_str!("../../../../../../packaging/honed.8")),
        Piece::new("/usr/local/share/bash-completion/completions/honeutil", completions::script(Shell::Bash)),
        Piece::new("/usr/local/share/zsh/site-functions/_honeutil", completions::script(Shell::Zsh)),
        Piece::new(
            "/usr/local/share/fish/vendor_completions.d/honeutil.fish",
            completions::script(Shell::Fish),
        ),
    ];
    for (name, page) in man::pages().context("cannot make the man pages")? {
        pieces.push(Piece::new(format!("/usr/local/share/man/man1/{name}"), page));
    }
    if systemd {
        let unit = include_str!("../../../../../../packaging/honed.service").replace(PACKAGED_HONED, HONED);
        pieces.extend([
            Piece::new("/etc/systemd/system/honed.service", unit),
            Piece::new(
                "/etc/sysusers.d/honed.conf",
                include_str!("../../../../../../packaging/honed.sysusers"),
            ),
            Piece::new(
                "/etc/tmpfiles.d/honed.conf",
                include_str!("../../../../../../packaging/honed.tmpfiles"),
            ),
        ]);
    }
    pieces.extend(wireshark_directories(root, &["extcap", "extcap/wireshark"]).into_iter().map(
        |directory| {
            let content = include_str!("../../../../../../packaging/hone.extcap");
            Piece { mode: 0o755, ..Piece::new(directory.join("hone"), content) }
        },
    ));
    for directory in wireshark_directories(root, &["plugins"]) {
        pieces.extend(FIELDS.map(|(name, content)| Piece::new(directory.join(name), content)));
    }
    let data = ["/usr/share/wireshark", "/usr/local/share/wireshark"].map(Path::new);
    for data in data.into_iter().filter(|data| below(root, data).is_dir()) {
        for (name, content) in PROFILE {
            pieces.push(Piece::new(data.join("profiles/Hone").join(name), content));
        }
    }
    Ok(pieces)
}

/// Those of these directories of Wireshark's libraries that are there below the root. Where Wireshark looks for interfaces and
/// plugins depends on its version and its packager (`tshark -G folders` says). It looks nowhere in /usr/local unless it is
/// there itself.
fn wireshark_directories(root: &Path, names: &[&str]) -> Vec<PathBuf> {
    let multiarch = std::fs::read_dir(below(root, Path::new("/usr/lib"))).into_iter().flatten().flatten();
    let mut libraries: Vec<_> =
        multiarch.map(|entry| Path::new("/usr/lib").join(entry.file_name())).collect();
    libraries.sort();
    let others = ["/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/libexec"];
    libraries.extend(others.map(PathBuf::from));
    let directories =
        libraries.iter().flat_map(|library| names.iter().map(|name| library.join("wireshark").join(name)));
    directories.filter(|directory| below(root, directory).is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_the_honed_that_is_installed() {
        let program = std::env::current_exe().expect("it runs");
        let pieces = pieces(&program, &program, true, Path::new("/")).expect("everything can be made");
        let unit = pieces.iter().find(|piece| piece.path.ends_with("honed.service")).expect("there is one");
        let unit = String::from_utf8(unit.content.clone()).expect("it is text");
        assert!(unit.contains("\nExecStart=/usr/local/bin/honed\n"), "{unit}");
        assert!(!unit.contains(PACKAGED_HONED), "{unit}");
        assert!(pieces.iter().all(|piece| piece.path.is_absolute()));
    }
}
