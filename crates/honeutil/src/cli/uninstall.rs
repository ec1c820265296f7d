//! `honeutil uninstall`: removes what `install` has made.

#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::ExitCode;

use crate::platform::manage;

/// Remove what install has made
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct UninstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Uninstall below DIR
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Leave /etc/hone/hone.toml where it is
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub keep_config: bool,

    /// Stop honed although readers are attached: their streams end
    #[cfg(target_os = "linux")]
    #[arg(short, long)]
    pub force: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Stops honed and removes what `honeutil install` has made, the group and the
log included. Recordings stay.

Exit status:
  0  nothing is left; also if nothing was there
  1  something failed, or readers are attached; standard error says what
  2  the command line is wrong";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Stops the driver, and removes its filters, its service with all settings,
System32\\drivers\\hone.sys, and what Wireshark got. Recordings stay.

Exit status:
  0  nothing is left; also if nothing was there
  1  something failed, or readers are attached; standard error says what
  2  the command line is wrong";

pub(super) fn run(args: &UninstallArgs) -> anyhow::Result<ExitCode> {
    manage::uninstall(args)
}
