//! The driver as a feed. Owns the open device, which is one reader, and its event.

use std::time::Duration;

use hone_api::Request;
use hone_engine::{Nanos, Read};
use hone_windows::device::{Device, Event};

use super::accounts;
use super::host::now;
use super::service::{DriverError, open, refused, statistics};
use crate::record::error::RecordError;
use crate::record::feed::{Feed, Fetched};
use crate::record::losses::{Losses, ServiceStatistics};
use crate::record::wanted::Wanted;

/// Most bytes read in one round of the loop, so that it looks at signals and times in between.
const ROUND_BYTES: usize = 4 << 20;
/// Bytes read at once of what is not recorded: as much as the driver hands over.
const READ_OVER_BYTES: usize = 512 << 10;

/// A reader of the driver.
#[derive(Debug)]
pub(super) struct ServiceFeed {
    device: Device,
    event: Event,
    /// Whether to wait for the event, because nothing was left to read.
    is_drained: bool,
    /// How many bytes this round may still read.
    room: usize,
    /// Whether the section's end was asked for, and has not come yet.
    is_ending: bool,
    is_attached: bool,
    statistics: ServiceStatistics,
}

impl ServiceFeed {
    /// Attaches: from here on, what happens is recorded.
    pub(super) fn attach(wanted: &Wanted) -> Result<Self, DriverError> {
        let device = open()?;
        if !wanted.snap_length.is_all() {
            let set = device.request(&Request::SetSnapLength(wanted.snap_length));
            set.map_err(refused("the snap length"))?;
        }
        if !wanted.selection.is_empty() {
            let set = device.request(&Request::SetSelection(&wanted.selection));
            set.map_err(refused("the selection"))?;
            discard_section(&device)?;
        }
        let event = Event::new().map_err(refused("an event"))?;
        device.set_event(Some(&event)).map_err(refused("an event"))?;
        let statistics = ServiceStatistics::new(statistics(&device)?);
        Ok(Self {
            device,
            event,
            is_drained: false,
            room: ROUND_BYTES,
            is_ending: false,
            is_attached: true,
            statistics,
        })
    }

    /// Asks for the statistics. If that fails, the old ones stay: the next read returns the reason.
    fn count(&mut self) {
        if let Ok(statistics) = self.device.statistics() {
            self.statistics.update(statistics);
        }
    }

    fn lost(&mut self, error: DriverError) -> RecordError {
        self.is_attached = false;
        RecordError::Service(error)
    }
}

/// Ends the section and reads over it. The device is opened before the reader can have a selection, so the beginning of its
/// stream can have packets that nobody wants.
fn discard_section(device: &Device) -> Result<(), DriverError> {
    device.request(&Request::MarkRestart).map_err(refused("to end the section"))?;
    let mut buffer = vec![0; READ_OVER_BYTES];
    // All blocks before the mark are in the queue when it is set, so an empty read is the section's end.
    while device.read(&mut buffer).map_err(refused("to be read"))? > 0 {}
    Ok(())
}

impl Feed for ServiceFeed {
    fn catch_up_time(&self) -> Duration {
        // When something happens, its event is already in the driver's queue.
        Duration::ZERO
    }

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
            // All blocks before the mark are in the queue when it is set, so an empty read is the section's end.
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
        self.statistics.holds_packets()
    }

    fn set_selection(&mut self, text: &[u8]) -> Result<(), RecordError> {
        // It was found a moment ago.
        let selection = accounts::by_identifiers(text).map_err(|_| RecordError::CannotSelect)?;
        let set = self.device.request(&Request::SetSelection(&selection));
        set.map(drop).map_err(refused("the selection")).map_err(RecordError::Service)
    }

    fn now(&self) -> Nanos {
        now()
    }

    fn losses(&mut self) -> Losses {
        self.statistics.losses()
    }

    fn dropped_packets(&mut self) -> u64 {
        if !self.is_ending && self.statistics.take_due() {
            self.count();
        }
        self.losses().packets()
    }

    fn is_attached(&self) -> bool {
        self.is_attached
    }
}
