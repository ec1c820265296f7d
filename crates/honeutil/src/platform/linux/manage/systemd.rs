//! systemd, if it runs. Only its own commands are used.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// The unit, without its suffix.
pub(super) const UNIT: &str = "honed";

/// Whether systemd runs this system: sd_booted(3).
pub(super) fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether it knows honed.
pub(super) fn knows_unit() -> bool {
    runs()
        && systemctl(&["cat", UNIT])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// `active (enabled)`, if systemd knows honed.
pub(super) fn state() -> Option<String> {
    if !knows_unit() {
        return None;
    }
    let word = |verb| {
        let output = systemctl(&[verb, UNIT]).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|word| !word.is_empty())
    };
    Some(format!("{} ({})", word("is-active")?, word("is-enabled")?))
}

/// Runs `systemctl` with these arguments; what it has to say goes to standard error.
pub(super) fn control(arguments: &[&str]) -> anyhow::Result<()> {
    let status = systemctl(arguments).stdout(std::io::stderr()).status().context("cannot start systemctl")?;
    ensure!(
        status.success(),
        "`systemctl {}` failed: see above, and `journalctl -u {UNIT}`",
        arguments.join(" ")
    );
    Ok(())
}

fn systemctl(arguments: &[&str]) -> Command {
    let mut command = Command::new("systemctl");
    command.args(arguments).stdin(Stdio::null());
    command
}
