//! `honeutil stop`: stops the service.

use std::process::ExitCode;

use super::service_choice::ServiceInstance;
use crate::platform::manage;

#[cfg_attr(not(windows), doc = "Stop honed")]
#[cfg_attr(windows, doc = "Stop the driver")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct StopArgs {
    /// Which service.
    #[command(flatten)]
    pub instance: ServiceInstance,

    /// Stop it although readers are attached: their streams end
    #[cfg(target_os = "linux")]
    #[arg(short, long)]
    pub force: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Each reader gets the end of its stream: the last section ends with statistics.

Exit status:
  0  honed has ended; also if it did not run before
  1  it goes on: readers are attached (see --force), or no permission
  2  the command line is wrong";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Does the same as `sc stop hone`. The driver does not stop while programs read
from it.

Exit status:
  0  the driver has stopped; also if it did not run before
  1  it goes on: readers are attached, or no permission
  2  the command line is wrong";

pub(super) fn run(args: &StopArgs) -> anyhow::Result<ExitCode> {
    manage::stop(args)
}
