//! What the commands that manage the service may be told. Part of [`crate::args`].

use std::path::PathBuf;

/// Which service.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceArgs {
    /// The honed that listens on PATH, which systemd knows nothing of [default: as the configuration says]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The honed with this configuration, which systemd knows nothing of [default: /etc/hone/hone.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Where honed's messages go, where there is no systemd with a journal
    #[arg(long, value_name = "FILE", default_value = crate::manage::lifecycle::LOG)]
    pub log: PathBuf,

    /// Become this honed, in a session of its own: what `start` starts.
    #[arg(long, hide = true, value_name = "HONED")]
    pub become_honed: Option<PathBuf>,
}

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Also while readers are attached: their streams end
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Which service.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Install below DIR, for another system: no group, and nothing is started
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The honed to install [default: beside honeutil, or on the PATH]
    #[arg(long, value_name = "FILE")]
    pub honed: Option<PathBuf>,

    /// Do not start honed, neither now nor when the system starts
    #[arg(long)]
    pub no_start: bool,
}

/// Arguments of `uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Print each action instead, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Uninstall below DIR
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Leave /etc/hone/hone.toml where it is
    #[arg(long)]
    pub keep_config: bool,

    /// Also while readers are attached: their streams end
    #[arg(short, long)]
    pub force: bool,
}

/// What `start --help` ends with.
pub(crate) const START_NOTES: &str = "\
Where systemd runs, and honed is installed: `systemctl start honed`. Elsewhere
honed is started in the background, with its pid in /run/hone/hone.pid.

Exit status:
  0  honed serves readers; also if it ran before
  1  it cannot start; standard error says why
  2  the command line is wrong";

/// What `stop --help` ends with.
pub(crate) const STOP_NOTES: &str = "\
Readers get the end of their streams, and the last section its statistics.

Exit status:
  0  honed has ended; also if it did not run before
  1  it goes on: readers are attached (see --force), or no permission
  2  the command line is wrong";

/// What `status --help` ends with.
pub(crate) const STATUS_NOTES: &str = "\
Exit status, as the Linux Standard Base has it:
  0  honed runs
  1  it has ended without being stopped: its pid file is still there
  2  the command line is wrong
  3  it does not run
  4  not known: no permission, or it does not answer";

/// What `install --help` ends with.
pub(crate) const INSTALL_NOTES: &str = "\
Puts honed and honeutil into /usr/local/bin, with the configuration
(/etc/hone/hone.toml, never overwritten once changed), the group `hone`,
whose members may read, man pages and completions, for systemd the unit, and
for Wireshark the interface `hone`, which captures through honeutil.
With systemd, honed is started now and whenever the system starts; elsewhere
`honeutil start` starts it. Can be run again: it mends and updates.

The packages for Debian and Fedora do the same; use either.

Exit status:
  0  installed
  1  something failed; standard error says what
  2  the command line is wrong

Examples:
  honeutil install --dry-run
  sudo honeutil install
  sudo usermod -aG hone alice";

/// What `uninstall --help` ends with.
pub(crate) const UNINSTALL_NOTES: &str = "\
Stops honed and removes what `honeutil install` has made, the group and the
log included. Recordings stay.

Exit status:
  0  nothing is left; also if nothing was there
  1  something failed, or readers are attached; standard error says what
  2  the command line is wrong";
