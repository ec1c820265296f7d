//! The commands that ask the service one thing: `get-stats`, `send-conns`.

#[cfg(target_os = "linux")]
pub(crate) mod memory_report;
pub mod open_connections;
pub mod statistics_report;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use hone_api::limits::MAX_OPEN_CONNECTIONS;
use hone_api::{ConnectionRecord, Fixed, List, OpenConnection, OpenConnections, Request, Statistics};

use crate::cli::service_args::{ConnsArgs, StatsArgs};
use crate::messages::Messages;
use crate::platform::{self, SERVICE, Service};
use crate::record::control::Control;
use crate::text::counted;

/// How often a wait looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Between reports so far apart, the connection is not kept: honed closes one on which nothing is asked for ten minutes.
const OPEN_AGAIN: Duration = Duration::from_secs(300);

/// What `get-stats` tells.
#[derive(Debug)]
pub enum Report {
    /// The statistics.
    Statistics(Box<Statistics>),
    /// Another report, as asked for.
    #[cfg(target_os = "linux")]
    Memory(String),
}

/// Writes to standard output; false: its reader closed it.
pub(crate) fn print(text: &str) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if platform::file::is_pipe_closed(&error) => Ok(false),
        Err(error) => bail!("cannot write standard output: {error}"),
    }
}

/// Waits; false: a signal says stop.
fn pause(control: &mut Control, time: Duration) -> bool {
    let begun = Instant::now();
    loop {
        if control.stopping().is_some() {
            return false;
        }
        let left = time.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

/// `get-stats`.
///
/// # Errors
/// The service does not run or refuses, or standard output cannot be written.
pub fn get_stats(args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let mut control = if args.watch.is_some() { Control::with_signals()? } else { Control::new() };
    let mut service = Service::open(&args.service, &control)?;
    let mut earlier = None;
    let mut first = true;
    loop {
        let now = match service.report(args) {
            // It was to end anyway.
            Err(_) if control.stopping().is_some() => return Ok(ExitCode::SUCCESS),
            report => report?,
        };
        let mut text = match now {
            Report::Statistics(now) if args.json => statistics_report::json(&now).to_string() + "\n",
            Report::Statistics(now) => {
                let report = statistics_report::report(&now, earlier.as_deref());
                earlier = Some(now);
                report
            }
            #[cfg(target_os = "linux")]
            Report::Memory(text) => text,
        };
        if !first && !args.json {
            text.insert(0, '\n');
        }
        first = false;
        if !print(&text)? {
            return Ok(ExitCode::FAILURE);
        }
        match args.watch {
            Some(time) if pause(&mut control, time) => {
                if time >= OPEN_AGAIN {
                    service = match Service::open(&args.service, &control) {
                        Err(_) if control.stopping().is_some() => return Ok(ExitCode::SUCCESS),
                        opened => opened?,
                    };
                }
            }
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// `send-conns`.
///
/// # Errors
/// As [`get_stats`].
pub fn send_conns(args: &ConnsArgs) -> anyhow::Result<ExitCode> {
    // Before looking around: a service that isn't there is told at once.
    let service = if args.dry_run { None } else { Some(Service::open(&args.service, &Control::new())?) };
    let found = platform::open_connections()?;
    if found.unreadable > 0 {
        let _ = writeln!(
            Messages,
            "honeutil: {} may not be looked into, and what they hold is not listed: run as root",
            counted(found.unreadable as u64, "process").replace("processs", "processes")
        );
    }
    if found.unheld > 0 {
        let _ = writeln!(
            Messages,
            "honeutil: {} no process that was found: not listed",
            match found.unheld {
                1 => "1 socket belongs to".to_owned(),
                count => format!("{count} sockets belong to"),
            }
        );
    }
    if args.verbose && !print(&found.table())? {
        return Ok(ExitCode::FAILURE);
    }
    let Some(mut service) = service else { return Ok(ExitCode::SUCCESS) };
    let records = found.records();
    if records.len() > MAX_OPEN_CONNECTIONS {
        bail!("{} connections are open; {SERVICE} takes at most {MAX_OPEN_CONNECTIONS}", records.len());
    }
    let mut buffer = vec![0; records.len() * <ConnectionRecord as Fixed>::LENGTH];
    let list = List::write(records.iter().map(OpenConnection::record), &mut buffer)?;
    service.control(&Request::SetOpenConnections(OpenConnections::Full(list)))?;
    let mut sent = format!("sent {}", counted(records.len() as u64, "record"));
    if found.namespaces > 0 {
        sent += &format!(" of {}", counted(found.namespaces as u64, "network namespace"));
    }
    let _ = writeln!(Messages, "{sent}");
    Ok(ExitCode::SUCCESS)
}
