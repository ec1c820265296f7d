//! `honeutil log-level`: shows or sets which messages the service writes.

use std::process::ExitCode;

use hone_api::{LogLevels, Request, UnknownLevel};

use super::service_choice::ServiceAddress;
use crate::messages::print;
use crate::platform::Service;
use crate::record::control::Control;

#[cfg_attr(not(windows), doc = "Show or set which messages honed logs")]
#[cfg_attr(windows, doc = "Show or set which messages the driver writes")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct LogLevelArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceAddress,

    /// A mask from 0 to 0x1f, or names with commas: error, warning, information, verbose, lock-status, all
    #[arg(value_name = "LEVELS", value_parser = log_levels)]
    pub levels: Option<LogLevels>,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Levels:
  error        0x01  something failed; always logged
  warning      0x02  something is weaker than it should be
  information  0x04  starts, stops, readers that come and go
  verbose      0x08  each request
  lock-status  0x10  who waited for the lock, and for how long
  The setting lasts until honed ends or reads its configuration again
  (log_level in /etc/hone/hone.toml).

Examples:
  honeutil log-level
  honeutil log-level warning,verbose
  honeutil log-level 0x1f";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Levels:
  error        0x01  something failed; always written
  warning      0x02  something is weaker than it should be
  information  0x04  processes, and readers that come and go
  verbose      0x08  each connection
  lock-status  0x10  the lock is taken, and released
  The driver writes to the kernel debugger. A message is shown if its level is
  set here and in the kernel's mask for IHVDRIVER, which at first has errors
  only. Unless set, all levels are on here: then only that mask decides. The
  setting takes effect at once, and stays after a restart.

Examples:
  honeutil log-level
  honeutil log-level warning,verbose
  honeutil log-level 0x1f";

fn log_levels(text: &str) -> Result<LogLevels, String> {
    text.parse().map_err(|error: UnknownLevel| error.to_string())
}

pub(super) fn run(args: &LogLevelArgs) -> anyhow::Result<ExitCode> {
    let mut service = Service::open(&args.service, &Control::new())?;
    if let Some(levels) = args.levels {
        service.control(&Request::SetLogLevels(levels))?;
    }
    let levels = service.log_levels()?;
    print(&format!("{:#04x} {levels}\n", levels.mask()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_does_not_exist_is_refused_with_the_range() {
        assert!(log_levels("0x20").unwrap_err().contains("0x1f"));
    }
}
