//! Installs the service by hand: its files, its group, and its registration with systemd. Running it again repairs an
//! installation.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::files::{Piece, pieces};
use super::lifecycle::find_honed;
use super::manifest::{MANIFEST, Manifest, below};
use super::{require_root, systemd};
use crate::cli::install::InstallArgs;
use crate::messages::say;
use crate::text::printable_lines;

/// The group of the users who may read.
pub(super) const GROUP: &str = "hone";
/// Units that only a package installs.
const PACKAGED_UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/honed.service", "/lib/systemd/system/honed.service"];

/// Carries out actions and reports each, or only prints them.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) dry_run: bool,
    count: usize,
    /// Standard output was closed by its reader.
    unread: bool,
}

impl Actions {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { dry_run, count: 0, unread: false }
    }

    /// One action: reported, and carried out unless it is a dry run.
    pub(super) fn act(
        &mut self,
        text: impl AsRef<str>,
        action: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.count += 1;
        let text = text.as_ref();
        if self.dry_run && self.unread {
            Ok(())
        } else if self.dry_run {
            match writeln!(std::io::stdout(), "{}", printable_lines(text)) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.unread = true,
                written => written.context("cannot write standard output")?,
            }
            Ok(())
        } else {
            say(text);
            action().with_context(|| format!("cannot {text}"))
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// Installs what is missing or outdated.
///
/// # Errors
/// Something that an earlier installation did not make is in the way, or something cannot be made.
pub fn install(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    let here = args.root.is_none();
    if here && !args.dry_run {
        require_root("install")?;
    }
    if PACKAGED_UNITS.iter().any(|unit| below(root, Path::new(unit)).exists()) {
        say("Hone is installed as a package: its package manager updates it; nothing to do here");
        return Ok(ExitCode::SUCCESS);
    }
    let honed = find_honed(args.honed.as_deref())?;
    let honeutil = std::env::current_exe().context("cannot find out where honeutil is")?;
    let wants_systemd = !here || systemd::runs() || Path::new("/etc/systemd/system").is_dir();
    let pieces = pieces(&honed, &honeutil, wants_systemd, root)?;

    let earlier = Manifest::read(root)?.unwrap_or_default();
    let wanted: Vec<_> = pieces.iter().filter(|piece| wants(piece, root)).collect();
    refuse_foreign(&wanted, &earlier, root)?;
    let mut manifest = earlier.clone();
    manifest.files.extend(pieces.iter().map(|piece| piece.path.clone()));
    let paths = pieces.iter().map(|piece| piece.path.as_path()).chain([Path::new(MANIFEST)]);
    manifest.directories.extend(paths.flat_map(|path| missing_directories(path, root)));
    let needs_group = here && !group_exists();
    if needs_group {
        manifest.group = Some(GROUP.to_owned());
    }

    let mut actions = Actions::new(args.dry_run);
    for directory in &manifest.directories {
        let directory = below(root, directory);
        if !directory.is_dir() {
            actions.act(format!("make the directory {}", directory.display()), || {
                std::fs::create_dir_all(&directory)?;
                Ok(std::fs::set_permissions(&directory, Permissions::from_mode(0o755))?)
            })?;
        }
    }
    // The manifest is written first, so that an interrupted installation can be removed.
    let path = below(root, Path::new(MANIFEST));
    if manifest != earlier || !path.exists() {
        actions
            .act(format!("write {}", path.display()), || write(&path, 0o644, manifest.text().as_bytes()))?;
    }
    for piece in wanted {
        let path = below(root, &piece.path);
        actions.act(format!("write {} (mode {:o})", path.display(), piece.mode), || {
            write(&path, piece.mode, &piece.content)
        })?;
    }
    for kept in pieces.iter().filter(|piece| piece.is_config && is_changed(piece, root)) {
        say(format!("{} was changed: it stays as it is", below(root, &kept.path).display()));
    }
    if needs_group {
        actions.act(format!("add the group {GROUP}"), || {
            run_one_of(&[&["groupadd", "--system", GROUP], &["addgroup", "-S", GROUP]])
        })?;
    }
    if here {
        take_over(&mut actions, !args.no_start)?;
    }
    if actions.count() == 0 {
        say("everything is in place already");
    }
    Ok(ExitCode::SUCCESS)
}

/// Registers the service with systemd if that runs. Otherwise prints what the user must do.
fn take_over(actions: &mut Actions, start: bool) -> anyhow::Result<()> {
    let changed = actions.count() > 0;
    if !systemd::runs() {
        if !actions.dry_run && start {
            say("installed; `honeutil start` starts honed");
        }
        return Ok(());
    }
    if changed {
        actions.act("run systemctl daemon-reload", || systemd::control(&["daemon-reload"]))?;
    }
    if start && (changed || systemd::state().is_none_or(|state| state != "active (enabled)")) {
        actions.act("run systemctl enable honed", || systemd::control(&["enable", systemd::UNIT]))?;
        // Attached readers see an update as a restart of the service.
        actions.act("run systemctl restart honed", || systemd::control(&["restart", systemd::UNIT]))?;
    }
    Ok(())
}

/// Whether a piece is to be written.
fn wants(piece: &Piece, root: &Path) -> bool {
    let path = below(root, &piece.path);
    match std::fs::read(&path) {
        Ok(content) if content == piece.content => std::fs::symlink_metadata(&path).is_ok_and(|file| {
            !file.is_symlink() && file.permissions().mode() & 0o7777 != piece.mode && !piece.is_config
        }),
        Ok(_) => !piece.is_config,
        Err(_) => true,
    }
}

fn is_changed(piece: &Piece, root: &Path) -> bool {
    std::fs::read(below(root, &piece.path)).is_ok_and(|content| content != piece.content)
}

/// Files that another program or person put there are not overwritten.
fn refuse_foreign(wanted: &[&Piece], earlier: &Manifest, root: &Path) -> anyhow::Result<()> {
    let foreign: Vec<_> = wanted
        .iter()
        .filter(|piece| !earlier.files.contains(&piece.path) && is_changed(piece, root))
        .map(|piece| below(root, &piece.path).display().to_string())
        .collect();
    ensure!(
        foreign.is_empty(),
        "these files are in the way, and `honeutil install` has not made them; move them away: {}",
        foreign.join(", ")
    );
    Ok(())
}

/// The directories above a path that are not there, below the root.
fn missing_directories<'a>(path: &'a Path, root: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    path.ancestors()
        .skip(1)
        .filter(|directory| directory.parent().is_some() && !below(root, directory).exists())
        .map(Path::to_owned)
}

/// Writes a file beside its place and then moves it there, because the old program may be running.
fn write(path: &Path, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let directory = path.parent().context("it has no directory")?;
    let name = path.file_name().context("it has no name")?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = directory.join(temporary);
    // A killed installation may have left this file. A link is removed, not followed.
    let _ = std::fs::remove_file(&temporary);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::set_permissions(&temporary, Permissions::from_mode(mode)))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    Ok(written?)
}

/// Whether the group exists, in any of the system's group databases.
pub(super) fn group_exists() -> bool {
    Command::new("getent")
        .args(["group", GROUP])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_or_else(
            |_| {
                let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
                groups.lines().any(|line| line.split(':').next() == Some(GROUP))
            },
            |status| status.success(),
        )
}

/// Runs the first of these commands that this system has.
pub(super) fn run_one_of(commands: &[&[&str]]) -> anyhow::Result<()> {
    for command in commands {
        let [program, arguments @ ..] = command else { continue };
        match Command::new(program).args(arguments).stdin(Stdio::null()).stdout(std::io::stderr()).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => bail!("`{}` failed ({status})", command.join(" ")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot start {program}")),
        }
    }
    let programs: Vec<_> = commands.iter().filter_map(|command| command.first().copied()).collect();
    bail!("this system has none of: {}", programs.join(", "))
}
