//! The commands that ask the service one thing: `get-stats`, `send-conns`, `log-level`, `ring-size`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use hone_reader::api::limits::MAX_OPEN_CONNECTIONS;
use hone_reader::api::{ConnectionRecord, Fixed, List, OpenConnections, Request};

use crate::conns;
use crate::control::Control;
use crate::progress::Messages;
use crate::remote::connect;
use crate::service_args::{ConnsArgs, LogLevelArgs, RingSizeArgs, StatsArgs};
use crate::stats;
use crate::text::{bytes, counted};

/// How often a wait looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Writes to standard output; false: its reader closed it.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => bail!("cannot write standard output: {error}"),
    }
}

fn status(is_written: bool) -> ExitCode {
    if is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    let mut connection = connect(args.service.socket.as_deref())?;
    let mut control = if args.watch.is_some() { Control::with_signals()? } else { Control::new() };
    let mut earlier = None;
    let mut first = true;
    loop {
        let mut text = match (args.memory, args.json) {
            (true, false) => stats::memory(&connection.memory()?),
            (true, true) => stats::memory_json(&connection.memory()?).to_string() + "\n",
            (false, true) => stats::json(&connection.statistics()?).to_string() + "\n",
            (false, false) => {
                let now = connection.statistics()?;
                let report = stats::report(&now, earlier.as_ref());
                earlier = Some(now);
                report
            }
        };
        if !first && !args.json {
            text.insert(0, '\n');
        }
        first = false;
        if !print(&text)? {
            return Ok(ExitCode::FAILURE);
        }
        match args.watch {
            Some(time) if pause(&mut control, time) => {}
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// `log-level`.
///
/// # Errors
/// As [`get_stats`].
pub fn log_level(args: &LogLevelArgs) -> anyhow::Result<ExitCode> {
    let mut connection = connect(args.service.socket.as_deref())?;
    if let Some(levels) = args.levels {
        connection.set_log_levels(levels)?;
    }
    let levels = connection.log_levels()?;
    print(&format!("{:#04x} {levels}\n", levels.mask())).map(status)
}

/// `ring-size`.
///
/// # Errors
/// As [`get_stats`].
pub fn ring_size(args: &RingSizeArgs) -> anyhow::Result<ExitCode> {
    let mut connection = connect(args.service.socket.as_deref())?;
    if let Some(bytes) = args.bytes {
        connection.set_ring_bytes(bytes)?;
    }
    let size = connection.statistics()?.ring_bytes;
    let blocks = size / hone_engine::RING_SLOT_BYTES as u64;
    print(&format!("{size} bytes ({}): {}\n", bytes(size), counted(blocks, "block"))).map(status)
}

/// `send-conns`.
///
/// # Errors
/// As [`get_stats`].
pub fn send_conns(args: &ConnsArgs) -> anyhow::Result<ExitCode> {
    // Before looking around: a service that isn't there is told at once.
    let connection = if args.dry_run { None } else { Some(connect(args.service.socket.as_deref())?) };
    let found =
        conns::find(Path::new("/proc")).map_err(|error| anyhow::anyhow!("cannot read /proc: {error}"))?;
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
    let Some(mut connection) = connection else { return Ok(ExitCode::SUCCESS) };
    let records = found.records();
    if records.len() > MAX_OPEN_CONNECTIONS {
        bail!("{} connections are open; honed takes at most {MAX_OPEN_CONNECTIONS}", records.len());
    }
    let mut buffer = vec![0; records.len() * <ConnectionRecord as Fixed>::LENGTH];
    let list = List::write(records.iter().map(hone_reader::api::OpenConnection::record), &mut buffer)?;
    connection.control(&Request::SetOpenConnections(OpenConnections::Full(list)))?;
    let _ = writeln!(
        Messages,
        "sent {} of {}",
        counted(records.len() as u64, "record"),
        counted(found.namespaces as u64, "network namespace")
    );
    Ok(ExitCode::SUCCESS)
}
