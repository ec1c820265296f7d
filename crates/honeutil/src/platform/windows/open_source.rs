//! Where a recording's events come from: the driver.

use std::time::SystemTime;

use hone_engine::Nanos;

use super::args::SourceArgs;
use super::service_feed::Driver;
use crate::cli::service_args::TopArgs;
use crate::messages::Progress;
use crate::output::Output;
use crate::record::control::Control;
use crate::record::recorder::{Options, RecordError, Recorder};
use crate::record::summary::Outcome;
use crate::top;
use crate::traffic::tally::Tally;

/// The time, as blocks have it: nanoseconds since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Nanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What the computer is called.
#[must_use]
pub fn host_name() -> String {
    hone_windows::host::name()
}

/// Records until it is to stop.
///
/// # Errors
/// It can't begin. Whatever comes later is in what is returned.
pub fn record(
    _args: &SourceArgs,
    options: Options,
    output: &mut Output,
    control: &mut Control,
    progress: &mut Progress,
) -> anyhow::Result<(Outcome, Tally, Result<(), RecordError>)> {
    let driver = Driver::attach(options.snap_length)?;
    tracing::info!("recording through the driver");
    Ok(Recorder::of(driver, options, output, control, progress).run())
}

/// Shows live who talks, until it is quit.
///
/// # Errors
/// It can't begin, or what it reads or draws on fails.
pub fn top(args: &TopArgs, control: &mut Control) -> anyhow::Result<()> {
    top::run(Driver::attach(top::SNAP_LENGTH)?, control, args.interval)
}
