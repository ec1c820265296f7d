//! The driver as a recording's feed. Owns the open device, which is one reader, and its event.

use std::io;
use std::time::{Duration, Instant};

use hone_api::{Request, Statistics};
use hone_engine::{Nanos, Read};
use hone_windows::device::{Device, Event};

use super::open_source::now;
use crate::record::feed::{Account, Feed, Fetched};
use crate::record::recorder::RecordError;

/// Most bytes read in one round of the loop, so that it looks at signals and times in between.
const ROUND_BYTES: usize = 4 << 20;
/// How often the driver's statistics are asked for.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// `ERROR_FILE_NOT_FOUND`: there is no such device.
const NOT_FOUND: i32 = 2;
/// `ERROR_ACCESS_DENIED`.
const DENIED: i32 = 5;

/// What is wrong with the driver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// It is not there.
    #[error("the driver does not run: `honeutil start` starts it once `honeutil install` has installed it")]
    NotRunning,
    /// Whoever asks is no administrator.
    #[error("only administrators may use the driver: run this in a command prompt opened as administrator")]
    Denied,
    /// It refuses something.
    #[error("the driver refuses {what}: {source}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Windows' answer.
        source: io::Error,
    },
}

/// What an answer means that came to `what`.
fn refused(what: &'static str) -> impl Fn(io::Error) -> DriverError {
    move |source| match source.raw_os_error() {
        Some(NOT_FOUND) => DriverError::NotRunning,
        Some(DENIED) => DriverError::Denied,
        _ => DriverError::Refused { what, source },
    }
}

/// Opens the device.
pub(super) fn open() -> Result<Device, DriverError> {
    Device::open().map_err(refused("to be opened"))
}

/// Asks for the statistics.
pub(super) fn statistics(device: &Device) -> Result<Statistics, DriverError> {
    device.statistics().map_err(refused("its statistics"))
}

/// Asks for something that has no reply.
pub(super) fn control(device: &Device, request: &Request<'_>) -> Result<(), DriverError> {
    device.request(request).map_err(refused("the request"))
}

/// A reader of the driver.
#[derive(Debug)]
pub(super) struct Driver {
    device: Device,
    event: Event,
    /// Whether the event is to be waited for: nothing was left to read.
    is_drained: bool,
    /// How many bytes this round may still read.
    room: usize,
    /// Whether the section's end was asked for, and has not come yet.
    is_ending: bool,
    is_attached: bool,
    /// What was counted when this reader attached, and at last.
    began: Statistics,
    counted: Statistics,
    counted_at: Instant,
}

impl Driver {
    /// Attaches: from here on, what happens is recorded.
    pub(super) fn attach(snap_length: u32) -> Result<Self, DriverError> {
        let device = open()?;
        if snap_length > 0 {
            let set = device.request(&Request::SetSnapLength(snap_length));
            set.map_err(refused("the snap length"))?;
        }
        let event = Event::new().map_err(refused("an event"))?;
        device.set_event(Some(&event)).map_err(refused("an event"))?;
        let began = statistics(&device)?;
        Ok(Self {
            device,
            event,
            is_drained: false,
            room: ROUND_BYTES,
            is_ending: false,
            is_attached: true,
            counted: began,
            began,
            counted_at: Instant::now(),
        })
    }

    /// Asks for the statistics. If that fails the old ones stay: whoever reads on learns why.
    fn count(&mut self) {
        self.counted_at = Instant::now();
        if let Ok(statistics) = self.device.statistics() {
            self.counted = statistics;
        }
    }

    fn lost(&mut self, error: DriverError) -> RecordError {
        self.is_attached = false;
        RecordError::Service(error)
    }
}

impl Feed for Driver {
    // What happened is in the driver's queue by the time that it has happened.
    const CATCH_UP: Duration = Duration::ZERO;

    fn fetch(&mut self, wait: Duration, _most: usize) -> Result<Fetched, RecordError> {
        if std::mem::take(&mut self.is_drained) {
            let waited = self.event.wait(wait).map_err(refused("to be waited for"));
            waited.map_err(|error| self.lost(error))?;
        }
        self.room = ROUND_BYTES;
        Ok(Fetched { all: true, latest: 0 })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError> {
        if self.room == 0 && !self.is_ending {
            return Ok(Read::Empty);
        }
        match self.device.read(buffer).map_err(refused("to be read")) {
            // What waits for the mark is all there when it is set, so that nothing is between.
            Ok(0) if std::mem::take(&mut self.is_ending) => Ok(Read::SectionEnd),
            Ok(0) => {
                self.is_drained = true;
                Ok(Read::Empty)
            }
            Ok(count) => {
                self.room = self.room.saturating_sub(count);
                Ok(Read::Bytes(count))
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    fn end_section(&mut self) -> Result<(), RecordError> {
        let marked = self.device.request(&Request::MarkRestart).map_err(refused("to end the section"));
        marked.map_err(|error| self.lost(error))?;
        self.is_ending = true;
        self.count();
        Ok(())
    }

    fn holds_back(&mut self) -> bool {
        self.count();
        self.counted.held.waiting > 0
    }

    fn now(&self) -> Nanos {
        now()
    }

    fn account(&mut self) -> Account {
        Account::between(&self.began, &self.counted)
    }

    fn dropped_packets(&mut self) -> u64 {
        if self.counted_at.elapsed() >= COUNTS_EVERY && !self.is_ending {
            self.count();
        }
        self.account().packets()
    }

    fn is_attached(&self) -> bool {
        self.is_attached
    }
}
