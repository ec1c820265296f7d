//! `honeutil install`: installs the service.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::platform::manage;

#[cfg_attr(not(windows), doc = "Install honed, its configuration and its group")]
#[cfg_attr(windows, doc = "Install the driver and the network filters that call it")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct InstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Install below DIR, for another system: no group, and nothing is started
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The honed to install [default: beside honeutil, or on the PATH]
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FILE")]
    pub honed: Option<PathBuf>,

    /// Do not start honed, neither now nor when the system starts
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub no_start: bool,

    /// Copy this driver to System32\drivers\hone.sys first
    #[cfg(windows)]
    #[arg(long, value_name = "FILE")]
    pub driver: Option<PathBuf>,

    /// Have the driver start when `honeutil start` asks for it, instead of with the system
    #[cfg(windows)]
    #[arg(long)]
    pub on_demand: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Puts honed and honeutil into /usr/local/bin, with the configuration
(/etc/hone/hone.toml, never overwritten once changed), the group `hone`,
whose members may read, man pages and completions, for systemd the unit, and
for Wireshark the interface `hone`, which captures through honeutil.
With systemd, honed is started now and whenever the system starts; elsewhere
`honeutil start` starts it. It can be run again: then it repairs and updates.

The packages for Debian and Fedora do the same: use either them or this.

Exit status:
  0  installed
  1  something failed; standard error says what
  2  the command line is wrong

Examples:
  honeutil install --dry-run
  sudo honeutil install
  sudo usermod -aG hone alice";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Registers System32\\drivers\\hone.sys as the service `hone`, started with the
system, and adds what makes the Windows Filtering Platform call it: a provider,
a sublayer, callouts, and filters, which only inspect. Where Wireshark is
installed for all users, it gets the fields of packets, the profile \"Hone\" and
the interface `hone`. It starts nothing. It can be run again: then it repairs
and updates.

The driver has to be signed, or the computer has to be in test-signing mode. A
driver that starts with the system can keep the computer from starting if
Windows refuses its signature. So install it with --on-demand first, start it,
and install it once more without that option, as the installer does.

Exit status:
  0  installed
  1  something failed; standard error says what
  2  the command line is wrong

Examples:
  honeutil install --dry-run
  honeutil install --driver hone.sys --on-demand
  honeutil start && honeutil install && honeutil send-conns";

pub(super) fn run(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    manage::install(args)
}
