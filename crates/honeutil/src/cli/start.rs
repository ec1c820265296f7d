//! `honeutil start`: starts the service.

#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::ExitCode;

use super::service_choice::ServiceInstance;
use crate::platform::manage;

#[cfg_attr(not(windows), doc = "Start honed")]
#[cfg_attr(windows, doc = "Start the driver")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct StartArgs {
    /// Which service.
    #[command(flatten)]
    pub instance: ServiceInstance,

    /// File for honed's messages, where there is no systemd with a journal
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "FILE", default_value = manage::LOG)]
    pub log: PathBuf,

    /// Become this honed, in a session of its own: what `start` starts.
    #[cfg(target_os = "linux")]
    #[arg(long, hide = true, value_name = "HONED")]
    pub become_honed: Option<PathBuf>,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Where systemd runs and honed is installed, this does the same as `systemctl
start honed`. Elsewhere honed is started in the background, and its process id
is written to /run/hone/hone.pid.

Exit status:
  0  honed serves readers; also if it ran before
  1  it cannot start; standard error says why
  2  the command line is wrong";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Does the same as `sc start hone`. The driver starts with the system by itself,
unless it was installed with --on-demand. If it did not run when connections
began, send their list with `honeutil send-conns`.

Exit status:
  0  the driver runs; also if it ran before
  1  it cannot start; standard error says why
  2  the command line is wrong";

pub(super) fn run(args: &StartArgs) -> anyhow::Result<ExitCode> {
    manage::start(args)
}
