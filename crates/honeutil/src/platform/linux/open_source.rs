//! Opens the source of a recording: honed if it runs, or the sensor in this process.

use std::time::Duration;

use anyhow::anyhow;
use hone_engine::{Event, Nanos, ProcessKey, SourceDrops};
use hone_linux::{Sensor, SensorConfig};
use hone_select::PacketTest;

use super::service_feed::ServiceFeed;
use crate::cli::source::SourceArgs;
use crate::record::control::Control;
use crate::record::feed::Feed;
use crate::record::local::Local;
use crate::record::source::{Source, SourceError};
use crate::record::wanted::Wanted;

/// The kernel buffer unless said otherwise.
const DEFAULT_BUFFER_MIB: u32 = 64;

/// Attaches to honed or starts the sensor: from here on, what happens is recorded.
///
/// # Errors
/// honed refuses, or the sensor cannot be loaded.
pub fn open_source(
    args: &SourceArgs,
    wanted: &Wanted,
    control: &mut Control,
) -> anyhow::Result<Box<dyn Feed>> {
    if let Some(text) = wanted.where_applied() {
        tracing::info!("{text}");
    }
    let honed = ServiceFeed::attach(&args.service, args.follow, wanted, control)
        .map_err(|error| anyhow!("cannot record through honed: {error}. --local records without it"))?;
    if let Some(honed) = honed {
        if args.buffer_size.is_some() {
            tracing::warn!("--buffer-size has no effect through honed: see sensor_buffer in hone.toml");
        }
        if args.mechanism.is_some() {
            tracing::warn!("--mechanism has no effect through honed: see honed --mechanism");
        }
        if args.hash {
            tracing::warn!("--hash has no effect through honed: see hash_executables in hone.toml");
        }
        tracing::info!("recording through honed");
        return Ok(Box::new(honed));
    }
    let sensor = Sensor::start(&SensorConfig {
        snap_length: Some(wanted.snap_length),
        ring_bytes: args.buffer_size.unwrap_or(DEFAULT_BUFFER_MIB) << 20,
        mechanism: args.mechanism,
        hash_executables: args.hash,
    })?;
    tracing::info!("the kernel reports who uses a socket by {}", sensor.mechanism().words());
    for note in sensor.notes() {
        tracing::info!("{note}");
    }
    let feed = Local::start(sensor, hone_linux::section(), wanted)?;
    tracing::info!("recording in this process, without honed");
    Ok(Box::new(feed))
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

    fn select(&mut self, tests: Option<&[PacketTest]>) -> Result<(), SourceError> {
        Ok(self.capture().select(tests)?)
    }

    fn set_process(&mut self, process: ProcessKey, is_left_out: bool) {
        self.capture().set_process(process, is_left_out);
    }

    fn announce(&mut self, is_wanted: bool) {
        Self::announce(self, is_wanted);
    }

    fn left_out(&mut self) -> Result<u64, SourceError> {
        Ok(self.capture().left_out()?)
    }

    fn now(&self) -> Nanos {
        hone_linux::now()
    }
}
