//! The service on this machine: installed and removed (`install`), started and stopped (`lifecycle`), asked whether
//! it runs (`status`). Where systemd runs it does the work; where not, the same is done by hand.
//!
//! Called by `crate::cli`, from one thread. Owns no state but files: those that the manifest lists
//! (`manifest`), and the pid file.

mod files;
pub(in crate::platform::linux) mod fuzzing;
mod install;
mod instance;
mod lifecycle;
mod manifest;
mod status;
mod systemd;
mod uninstall;

pub use install::install;
pub(crate) use lifecycle::LOG;
pub use lifecycle::{start, stop};
pub use status::status;
pub use uninstall::uninstall;

/// Fails for everybody but root, with what to type instead.
fn require_root(command: &str) -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "this takes root: `sudo honeutil {command}`");
    Ok(())
}
