//! `honeutil send-conns`: sends the list of open connections to the service.

use std::process::ExitCode;

use clap::ArgAction;
use hone_api::limits::MAX_OPEN_CONNECTIONS;
use hone_api::{ConnectionRecord, Fixed, List, OpenConnection, OpenConnections, Request};

use super::service_choice::ServiceAddress;
use crate::messages::{print, say};
use crate::platform::{self, SERVICE, Service};
use crate::record::control::Control;
use crate::service::open_connections::leave_out;
use crate::text::counted;

#[cfg_attr(not(windows), doc = "Send the list of open connections to honed")]
#[cfg_attr(windows, doc = "Send the list of open connections to the driver")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct ConnsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceAddress,

    /// Print the connections as a table
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub verbose: bool,

    /// Send nothing; useful with -v
    #[arg(long)]
    pub dry_run: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Reads from /proc which process has which socket open, in all network
namespaces that have a process, and sends the list to honed. honed uses it
for packets that it cannot attribute by itself. You do not need this in normal
operation: honed reads the open sockets when it starts.

Exit status:
  0  sent; standard error says how many did not fit, if any
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  sudo honeutil send-conns -v
  sudo honeutil send-conns --dry-run -v";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Sends Windows' own list of open connections and their processes to the driver.
The driver uses it for packets that it cannot attribute by itself. You do not
need this in normal operation: a driver that starts with the system sees all
connections begin. The installer does it once.

Exit status:
  0  sent; standard error says how many did not fit, if any
  1  the driver does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil send-conns -v
  honeutil send-conns --dry-run -v";

pub(super) fn run(args: &ConnsArgs) -> anyhow::Result<ExitCode> {
    // First of all: that a service does not run is reported at once.
    let service = if args.dry_run { None } else { Some(Service::open(&args.service, &Control::new())?) };
    let found = platform::open_connections()?;
    if found.unreadable > 0 {
        let processes = counted(found.unreadable as u64, "process").replace("processs", "processes");
        say(format!(
            "honeutil: no permission to look into {processes}: their sockets are not listed. Run as root"
        ));
    }
    if found.without_process > 0 {
        let sockets = counted(found.without_process as u64, "socket");
        say(format!("honeutil: no process was found that has {sockets} open: not listed"));
    }
    if args.verbose {
        let printed = print(&found.table())?;
        if printed != ExitCode::SUCCESS {
            return Ok(printed);
        }
    }
    let Some(mut service) = service else { return Ok(ExitCode::SUCCESS) };
    let mut records = found.records();
    let left_out = leave_out(&mut records, MAX_OPEN_CONNECTIONS);
    if left_out > 0 {
        let left_out = counted(left_out as u64, "record");
        say(format!("honeutil: {left_out} left out: {SERVICE} takes at most {MAX_OPEN_CONNECTIONS}"));
    }
    let mut buffer = vec![0; records.len() * <ConnectionRecord as Fixed>::LENGTH];
    let list = List::write(records.iter().map(OpenConnection::record), &mut buffer)?;
    service.control(&Request::SetOpenConnections(OpenConnections::Full(list)))?;
    let mut sent = format!("sent {}", counted(records.len() as u64, "record"));
    if found.namespaces > 0 {
        sent += &format!(" of {}", counted(found.namespaces as u64, "network namespace"));
    }
    say(sent);
    Ok(ExitCode::SUCCESS)
}
