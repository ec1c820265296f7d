//! `honeutil get-stats`: shows the statistics of the service.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use hone_api::Statistics;

use super::parse::interval;
use super::service_choice::ServiceAddress;
use crate::messages::print;
use crate::platform::{Service, ServiceError};
use crate::record::control::Control;
#[cfg(target_os = "linux")]
use crate::service::memory_report;
use crate::service::statistics_report;

#[cfg_attr(not(windows), doc = "Show the statistics of honed")]
#[cfg_attr(windows, doc = "Show the statistics of the driver")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct StatsArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceAddress,

    /// One JSON object, or with --watch one a line
    #[arg(long)]
    pub json: bool,

    /// Repeat at this interval until Ctrl-C: 0.1 to 1d, as 5, 0.5, 10s, 1m
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2", value_parser = interval)]
    pub watch: Option<Duration>,

    /// Show instead what honed uses memory for
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub memory: bool,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Numbers:
  A snap length of 0 is unlimited. There may be more close events than open
  events: connections that were open before honed started close, too.
  Drops are counted where they happen: in the sensor (between kernel and
  honed), in the queue manager (no memory), in a reader's ring buffer (the
  reader is too slow; other readers lose nothing).

Exit status:
  0  done
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil get-stats
  honeutil get-stats --watch 5
  honeutil get-stats --json | jq .dropped.sensor.packets";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Numbers:
  While this program asks, it is a reader, too, and counted as one.
  A snap length of 0 is unlimited. There may be more close events than open
  events: connections that were open before the driver started close, too.
  Drops are counted where they happen: in the queue manager (no memory), in a
  reader's ring buffer (the reader is too slow; other readers lose nothing).

Exit status:
  0  done
  1  the driver does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil get-stats
  honeutil get-stats --watch 5
  honeutil get-stats --json";

/// How often a wait looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// From this interval on, the connection is not kept between reports: honed closes one that is silent for ten minutes.
const OPEN_AGAIN: Duration = Duration::from_secs(300);

pub(super) fn run(args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let mut control = if args.watch.is_some() { Control::with_signals()? } else { Control::new() };
    let mut service = Service::open(&args.service, &control)?;
    let mut earlier = None;
    let mut first = true;
    loop {
        let mut text = match report(&mut service, args, &mut earlier) {
            // It is to end anyway.
            Err(_) if control.stopping().is_some() => return Ok(ExitCode::SUCCESS),
            report => report?,
        };
        if !first && !args.json {
            text.insert(0, '\n');
        }
        first = false;
        let printed = print(&text)?;
        if printed != ExitCode::SUCCESS {
            return Ok(printed);
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

/// One report. `earlier` are the statistics of the report before, and then of this one.
fn report(
    service: &mut Service,
    args: &StatsArgs,
    earlier: &mut Option<Statistics>,
) -> Result<String, ServiceError> {
    #[cfg(target_os = "linux")]
    if args.memory {
        let rows = service.connection().memory()?;
        return Ok(if args.json {
            memory_report::json(&rows).to_string() + "\n"
        } else {
            memory_report::text(&rows)
        });
    }
    let now = service.statistics()?;
    if args.json {
        return Ok(statistics_report::json(&now).to_string() + "\n");
    }
    let text = statistics_report::text(&now, earlier.as_ref());
    *earlier = Some(now);
    Ok(text)
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
        thread::sleep(left.min(LOOK_EVERY));
    }
}
