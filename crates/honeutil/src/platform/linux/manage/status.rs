//! Whether honed runs, since when, and for how many readers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use hone_client::{Credentials, ReaderError};

use super::instance::Instance;
use super::systemd;
use crate::cli::status::StatusArgs;
use crate::text;

/// Exit statuses of the Linux Standard Base.
const DEAD_WITH_PID_FILE: u8 = 1;
const NOT_RUNNING: u8 = 3;
const UNKNOWN: u8 = 4;
/// Longest value shown, in characters: more than a path has.
const MAX_VALUE: usize = 8192;

/// Shows it on standard output; the exit status says the same.
///
/// # Errors
/// Standard output cannot be written.
pub fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let instance = Instance::of(&args.instance)?;
    let (mut report, status) = look(&instance);
    if instance.is_of_systemd()
        && let Some(state) = systemd::state()
    {
        row(&mut report, "systemd", &state);
    }
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(ExitCode::from(status))
}

fn look(instance: &Instance) -> (String, u8) {
    let mut report = String::new();
    let asked = instance.connect().and_then(|mut connection| {
        let statistics = connection.statistics()?;
        Ok((connection, statistics))
    });
    match asked {
        Ok((connection, statistics)) => {
            let since = text::utc(statistics.now.saturating_sub(statistics.loaded));
            let for_long = text::duration(Duration::from_nanos(statistics.loaded));
            row(&mut report, "honed", &format!("runs since {since}, for {for_long}"));
            if let Ok(listens) = Credentials::of(&connection) {
                let outside = "outside this pid namespace".to_owned();
                row(&mut report, "process", &listens.process.map_or(outside, |pid| pid.to_string()));
            }
            let version = connection.version();
            let [major, minor, micro, _] = version.service;
            let protocol = format!("{}.{}", version.major, version.minor);
            row(&mut report, "version", &format!("{major}.{minor}.{micro}, reader protocol {protocol}"));
            row(&mut report, "socket", &instance.socket.display().to_string());
            row(&mut report, "readers", &statistics.readers.to_string());
            (report, 0)
        }
        Err(ReaderError::NoService { .. }) if instance.pid_file().exists() => {
            row(&mut report, "honed", "does not run, and was not stopped: it has crashed or was killed");
            row(&mut report, "socket", &instance.socket.display().to_string());
            row(&mut report, "to do", "look at its log (/var/log/honed.log), then `honeutil start`");
            (report, DEAD_WITH_PID_FILE)
        }
        Err(ReaderError::NoService { .. }) => {
            row(&mut report, "honed", "does not run");
            row(&mut report, "socket", &instance.socket.display().to_string());
            row(&mut report, "to do", "`honeutil start` starts it");
            (report, NOT_RUNNING)
        }
        Err(error) => {
            row(&mut report, "honed", &format!("not known: {error}"));
            (report, UNKNOWN)
        }
    }
}

fn row(report: &mut String, name: &str, value: &str) {
    // A path or a word of systemd's can be anything.
    let _ = writeln!(report, "{name:<9}{}", text::printable(value, MAX_VALUE));
}
