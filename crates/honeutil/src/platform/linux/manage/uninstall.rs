//! Removes what was installed by hand, and what honed leaves while it runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::install::{Actions, group_exists, run_one_of};
use super::instance::{CONFIG, Instance};
use super::lifecycle::{LOG, end};
use super::manifest::{MANIFEST, Manifest, below};
use super::{require_root, systemd};
use crate::cli::service_choice::ServiceInstance;
use crate::cli::uninstall::UninstallArgs;
use crate::messages::say;

/// Where the socket is unless the configuration says otherwise.
const RUNTIME: &str = "/run/hone";
/// What systemd makes for the flight recorder. It stays if something is in it.
const STATE: &str = "/var/lib/hone";

/// Stops honed, and removes everything.
///
/// # Errors
/// Readers are attached, or something cannot be removed.
pub fn uninstall(args: &UninstallArgs) -> anyhow::Result<ExitCode> {
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    let here = args.root.is_none();
    if here && !args.dry_run {
        require_root("uninstall")?;
    }
    let Some(manifest) = Manifest::read(root)? else {
        say("`honeutil install` has installed nothing here; a package is removed by its package manager");
        return Ok(ExitCode::SUCCESS);
    };
    let mut actions = Actions::new(args.dry_run);
    let mut leftovers = Vec::new();
    if here {
        // Before the configuration goes, which says where its socket is.
        let instance = Instance::of(&ServiceInstance::default())?;
        actions.act("stop honed", || end(&instance, args.force).map(drop))?;
        if systemd::knows_unit() {
            actions.act("run systemctl disable honed", || systemd::control(&["disable", systemd::UNIT]))?;
        }
        leftovers.extend(instance.left_behind());
        leftovers.push(LOG.into());
    }
    let files = manifest.files.iter().map(|file| below(root, file));
    for file in files.chain(leftovers) {
        if args.keep_config && file == below(root, Path::new(CONFIG)) {
            say(format!("{} stays", file.display()));
        } else if file.symlink_metadata().is_ok() {
            actions.act(format!("remove {}", file.display()), || Ok(std::fs::remove_file(&file)?))?;
        }
    }
    if let Some(group) = manifest.group.as_deref().filter(|_| here && group_exists()) {
        actions.act(format!("remove the group {group}"), || {
            run_one_of(&[&["groupdel", group], &["delgroup", group]])
        })?;
    }
    if here && systemd::runs() {
        actions.act("run systemctl daemon-reload", || systemd::control(&["daemon-reload"]))?;
    }
    // The manifest last: until then, what broke off can be done again.
    let path = below(root, Path::new(MANIFEST));
    actions.act(format!("remove {}", path.display()), || Ok(std::fs::remove_file(&path)?))?;
    let mut directories: Vec<_> = manifest.directories.iter().map(|path| below(root, path)).collect();
    if here {
        directories.extend([RUNTIME.into(), STATE.into()]);
    }
    remove_directories(directories, &mut actions, args.keep_config)?;
    Ok(ExitCode::SUCCESS)
}

/// The deepest first; those that others have put something into stay.
fn remove_directories(
    mut directories: Vec<PathBuf>,
    actions: &mut Actions,
    quiet: bool,
) -> anyhow::Result<()> {
    directories.sort_by_key(|directory| std::cmp::Reverse(directory.components().count()));
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        if actions.dry_run {
            actions.act(format!("remove {} if it is empty", directory.display()), || Ok(()))?;
            continue;
        }
        match std::fs::remove_dir(directory) {
            Ok(()) => say(format!("remove {}", directory.display())),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                if !quiet {
                    say(format!(
                        "{} stays: it holds what `honeutil install` has not made",
                        directory.display()
                    ));
                }
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
            }
        }
    }
    Ok(())
}
