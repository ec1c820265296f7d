//! honed as a feed: connects, attaches, reads its stream, and attaches again after honed was restarted. Owns the
//! connection.

use std::path::Path;
use std::thread;
use std::time::Duration;

use hone_api::Statistics;
use hone_client::{Connection, Options, ReaderError, Refusal, protocol};
use hone_engine::{Nanos, Read};

use super::service::{QUIET_WAIT, connect};
use crate::cli::service_choice::ServiceChoice;
use crate::record::control::Control;
use crate::record::error::RecordError;
use crate::record::feed::{Feed, Fetched};
use crate::record::losses::{Losses, ServiceStatistics};
use crate::record::wanted::Wanted;

/// Most bytes read in one round of the loop, so that signals and times are checked in between.
const ROUND_BYTES: usize = 4 << 20;
/// How often to try to connect again after the service has gone.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The socket that is meant.
fn path(choice: &ServiceChoice) -> &Path {
    choice.socket.as_deref().unwrap_or(Path::new(protocol::SOCKET))
}

/// A reader of the service.
#[derive(Debug)]
pub(super) struct ServiceFeed {
    choice: ServiceChoice,
    /// Whether to wait for honed, and to attach again after it was away.
    follow: bool,
    wanted: Wanted,
    connection: Connection,
    attached: bool,
    /// How long the round's next read may wait, and how many bytes the round may still read.
    wait: Duration,
    room: usize,
    /// Whether the end of the section was asked for, and has not come.
    ending: bool,
    /// Why the final statistics did not arrive. Then nothing else will arrive.
    failed: Option<ReaderError>,
    /// Whether it was reported that honed does not answer.
    silent: bool,
    statistics: ServiceStatistics,
}

impl ServiceFeed {
    /// Attaches to honed if it is wanted and runs; `None`: record without it. With `follow`, waits until it runs.
    ///
    /// # Errors
    /// honed refuses, or it does not run although it was requested, or a stop came during the wait.
    pub(super) fn attach(
        choice: &ServiceChoice,
        follow: bool,
        wanted: &Wanted,
        control: &mut Control,
    ) -> Result<Option<Self>, ReaderError> {
        if choice.local {
            return Ok(None);
        }
        let mut is_reported = false;
        loop {
            match attach(path(choice), wanted, control) {
                Ok((connection, statistics)) => {
                    return Ok(Some(Self {
                        choice: choice.clone(),
                        follow,
                        wanted: wanted.clone(),
                        connection,
                        attached: true,
                        wait: Duration::ZERO,
                        room: 0,
                        ending: false,
                        failed: None,
                        silent: false,
                        statistics: ServiceStatistics::new(statistics),
                    }));
                }
                Err(error) if follow && is_away(&error) => {
                    if !is_reported {
                        tracing::warn!("{error}. Waiting for it");
                        is_reported = true;
                    }
                    if control.stopping().is_some() {
                        return Err(error);
                    }
                    thread::sleep(LOOK_EVERY);
                }
                Err(ReaderError::NoService { .. }) if !follow && choice.socket.is_none() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores statistics that have arrived, and requests new ones. The recording does not wait for them.
    fn count(&mut self) {
        // If this fails, the old ones stay, and the next read returns the error.
        if let Ok(Some(statistics)) = self.connection.asked_statistics() {
            self.statistics.update(statistics);
        }
        if let Some(silence) = self.connection.silent_for() {
            if silence >= QUIET_WAIT && !self.silent {
                self.silent = true;
                tracing::warn!(
                    "honed has not answered for {silence:.0?}: it is stopped, or hangs. Recording goes on when it does"
                );
            }
        } else if self.silent {
            self.silent = false;
            tracing::warn!("honed answers again");
        } else if self.statistics.take_due() {
            let _ = self.connection.ask_statistics();
        }
    }

    /// Waits for the statistics.
    fn count_now(&mut self) {
        if self.attached && self.failed.is_none() {
            match self.connection.statistics() {
                Ok(statistics) => self.statistics.update(statistics),
                Err(error @ (ReaderError::Silent { .. } | ReaderError::GivenUp { .. })) => {
                    self.failed = Some(error);
                }
                // The next read returns the error.
                Err(_) => {}
            }
        }
    }

    fn lost(&mut self, error: ReaderError) -> RecordError {
        self.attached = false;
        RecordError::Service(error)
    }
}

fn attach(path: &Path, wanted: &Wanted, control: &Control) -> Result<(Connection, Statistics), ReaderError> {
    let mut connection = connect(Some(path), control)?;
    if !wanted.selection.is_empty() {
        connection.set_selection(&wanted.selection)?;
    }
    connection.attach(&Options { snap_length: wanted.snap_length, ring_bytes: 0 })?;
    if wanted.packet_ids {
        connection.set_packet_ids(true)?;
    }
    let statistics = connection.statistics()?;
    Ok((connection, statistics))
}

/// Whether the service has gone and may return.
fn is_away(error: &ReaderError) -> bool {
    matches!(error, ReaderError::NoService { .. } | ReaderError::Lost | ReaderError::Ended { .. })
        || error.refusal() == Some(Refusal::Stopping)
}

/// Whether a honed that is waited for may still come. A new socket is not open to its group for a moment. And while honed
/// loads its programs, it listens, but greets only when they are loaded; that takes long on a slow machine.
fn may_come_back(error: &ReaderError) -> bool {
    is_away(error) || matches!(error, ReaderError::Permission { .. } | ReaderError::Silent { .. })
}

impl Feed for ServiceFeed {
    fn catch_up_time(&self) -> Duration {
        // The service's stream is at most 50 ms late.
        Duration::from_millis(120)
    }

    fn fetch(&mut self, wait: Duration, _most: usize) -> Result<Fetched, RecordError> {
        if self.attached && !self.ending {
            self.count();
        }
        (self.wait, self.room) = (wait.max(Duration::from_millis(1)), ROUND_BYTES);
        Ok(Fetched { all: false, latest: 0 })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError> {
        let read = if self.ending {
            self.connection.await_read(buffer, "to end the section")
        } else if self.room == 0 {
            return Ok(Read::Empty);
        } else {
            self.connection.read(buffer, std::mem::take(&mut self.wait))
        };
        match read {
            Ok(hone_client::Read::Bytes(count)) => {
                self.room = self.room.saturating_sub(count);
                Ok(Read::Bytes(count))
            }
            Ok(hone_client::Read::Empty) => Ok(Read::Empty),
            Ok(hone_client::Read::SectionEnd) => {
                self.ending = false;
                Ok(Read::SectionEnd)
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    fn end_section(&mut self) -> Result<(), RecordError> {
        if let Some(error) = self.failed.take() {
            return Err(self.lost(error));
        }
        match self.connection.mark_restart() {
            // A honed that stops ends the section by itself: the rest of that is still to be read.
            Ok(()) | Err(ReaderError::Ended { .. }) => {}
            Err(error) if error.refusal() == Some(Refusal::Busy) => {}
            Err(error) => return Err(self.lost(error)),
        }
        self.ending = true;
        self.count_now();
        self.failed.take().map_or(Ok(()), |error| Err(self.lost(error)))
    }

    fn holds_back(&mut self) -> bool {
        self.count_now();
        self.failed.is_none() && self.statistics.holds_packets()
    }

    fn set_selection(&mut self, text: &[u8]) -> Result<(), RecordError> {
        self.connection.set_selection(text).map_err(RecordError::Service)?;
        self.wanted.selection = text.to_vec();
        Ok(())
    }

    fn now(&self) -> Nanos {
        hone_linux::now()
    }

    fn losses(&mut self) -> Losses {
        self.statistics.losses()
    }

    fn is_attached(&self) -> bool {
        self.attached
    }

    fn reattach(&mut self, error: RecordError, control: &mut Control) -> Result<bool, RecordError> {
        match error {
            RecordError::Service(error) if self.follow && is_away(&error) => {
                tracing::warn!("{error}. Waiting until it is back");
            }
            error => return Err(error),
        }
        while control.stopping().is_none() {
            match attach(path(&self.choice), &self.wanted, control) {
                Ok((connection, statistics)) => {
                    self.statistics.reattached(statistics);
                    self.connection = connection;
                    (self.attached, self.ending, self.failed, self.silent) = (true, false, None, false);
                    tracing::warn!("honed is back: recording goes on with a new section");
                    return Ok(true);
                }
                Err(error) if may_come_back(&error) => {
                    thread::sleep(LOOK_EVERY);
                }
                // The loop ends: it is to stop.
                Err(ReaderError::GivenUp { .. }) => {}
                Err(error) => return Err(RecordError::Service(error)),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_takes_long_to_load_is_waited_for() {
        assert!(may_come_back(&ReaderError::Silent { what: "to greet", seconds: 10 }));
        assert!(may_come_back(&ReaderError::Lost));
        assert!(!may_come_back(&ReaderError::Version { found: 9, known: 1 }));
    }
}
