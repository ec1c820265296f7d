//! Where a recording's events come from: honed if it runs, or the sensor in this process.

use std::time::Duration;

use anyhow::anyhow;
use hone_engine::{Event, HostIdentity, Nanos, SectionInfo, SourceDrops};
use hone_linux::{Sensor, SensorConfig};

use super::args::SourceArgs;
use super::service_feed::Remote;
use crate::cli::service_args::TopArgs;
use crate::messages::Progress;
use crate::output::Output;
use crate::record::control::Control;
use crate::record::feed::Local;
use crate::record::recorder::{Options, RecordError, Recorder};
use crate::record::source::{Source, SourceError};
use crate::record::summary::Outcome;
use crate::top;
use crate::traffic::tally::Tally;

/// The kernel buffer unless said otherwise.
const DEFAULT_BUFFER_MIB: u32 = 64;

/// What the host is called.
#[must_use]
pub fn host_name() -> String {
    hone_linux::host().host_name
}

/// Records until it is to stop.
///
/// # Errors
/// It can't begin. Whatever comes later is in what is returned.
pub fn record(
    args: &SourceArgs,
    options: Options,
    output: &mut Output,
    control: &mut Control,
    progress: &mut Progress,
) -> anyhow::Result<(Outcome, Tally, Result<(), RecordError>)> {
    if let Err(error) = hone_linux::raise_priority() {
        tracing::debug!("the priority stays as it is: {error}");
    }
    let service = Remote::find(args.way.which(args.follow), options.snap_length, control)
        .map_err(|error| anyhow!("cannot record through honed: {error}. --local records without it"))?;
    if let Some(service) = service {
        if args.buffer_size.is_some() {
            tracing::warn!("--buffer-size has no effect through honed: see sensor_buffer in hone.toml");
        }
        if args.mechanism.is_some() {
            tracing::warn!("--mechanism has no effect through honed: see honed --mechanism");
        }
        tracing::info!("recording through honed");
        return Ok(Recorder::of(service, options, output, control, progress).run());
    }
    let ring_bytes = args.buffer_size.unwrap_or(DEFAULT_BUFFER_MIB) << 20;
    let mut sensor = Sensor::start(&SensorConfig {
        snap_length: Some(options.snap_length),
        ring_bytes,
        mechanism: args.mechanism,
    })?;
    tracing::info!("the kernel tells who uses a socket by {}", sensor.mechanism().words());
    for note in sensor.notes() {
        tracing::info!("{note}");
    }
    let recorder = Recorder::start(&mut sensor, section(), options, output, control, progress)?;
    tracing::info!("recording in this process, without honed");
    Ok(recorder.run())
}

/// Shows live who talks, until it is quit.
///
/// # Errors
/// It can't begin, or what it reads or draws on fails.
pub fn top(args: &TopArgs, control: &mut Control) -> anyhow::Result<()> {
    let service = Remote::find(args.way.which(false), top::SNAP_LENGTH, control)
        .map_err(|error| anyhow!("cannot read through honed: {error}. --local does without it"))?;
    if let Some(service) = service {
        return top::run(service, control, args.interval);
    }
    let config = SensorConfig {
        snap_length: Some(top::SNAP_LENGTH),
        ring_bytes: DEFAULT_BUFFER_MIB << 20,
        mechanism: None,
    };
    let mut sensor = Sensor::start(&config)?;
    let feed = Local::start(&mut sensor, section(), top::SNAP_LENGTH)?;
    top::run(feed, control, args.interval)
}

fn section() -> SectionInfo {
    let host = hone_linux::host();
    SectionInfo {
        hardware: host.hardware.into(),
        os: host.os.into(),
        application: concat!("Hone ", env!("CARGO_PKG_VERSION")).into(),
        host: host.id.map_or(HostIdentity::Unknown, HostIdentity::Guid),
        interface: b"all sockets of the host".to_vec(),
        ..SectionInfo::default()
    }
}

impl Source for Sensor {
    fn restate(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
        Ok(Self::restate(self, sink)?)
    }

    fn poll(
        &mut self,
        timeout: Duration,
        most: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        Ok(Self::poll(self, timeout, most, sink)?)
    }

    fn drops(&mut self) -> Result<SourceDrops, SourceError> {
        Ok(Self::drops(self)?)
    }

    fn now(&self) -> Nanos {
        hone_linux::now()
    }
}
