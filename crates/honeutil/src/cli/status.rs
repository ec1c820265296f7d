//! `honeutil status`: shows whether the service runs.

use std::process::ExitCode;

use super::service_choice::ServiceInstance;
use crate::platform::manage;

#[cfg_attr(not(windows), doc = "Show whether honed runs")]
#[cfg_attr(windows, doc = "Show whether the driver is installed and runs")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct StatusArgs {
    /// Which service.
    #[command(flatten)]
    pub instance: ServiceInstance,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Exit status, as the Linux Standard Base has it:
  0  honed runs
  1  it has ended without being stopped: its pid file is still there
  2  the command line is wrong
  3  it does not run
  4  not known: no permission, or it does not answer";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Exit status, as the Linux Standard Base has it:
  0  the driver runs
  2  the command line is wrong
  3  it does not run, or is not installed
  4  not known: no permission, or it is about to start or stop";

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    manage::status(args)
}
