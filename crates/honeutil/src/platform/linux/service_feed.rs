//! The service as a recording's feed: finds it, attaches, reads its stream, comes back to it when it was restarted.
//! Owns the connection.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hone_api::Statistics;
use hone_client::{Connection, Options, ReaderError, Refusal, Waiting, Watch, protocol};
use hone_engine::{Nanos, Read};

use crate::messages::Messages;
use crate::record::control::Control;
use crate::record::feed::{Account, Feed, Fetched};
use crate::record::recorder::RecordError;

/// Most bytes read in one round of the loop, so that it looks at signals and times in between.
const ROUND_BYTES: usize = 4 << 20;
/// After what time a wait for the service is reported.
pub(in crate::platform::linux) const QUIET_WAIT: Duration = Duration::from_secs(2);
/// How often the service's statistics are asked for.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// How long a service that goes may let others connect.
const GOING_PATIENCE: Duration = Duration::from_secs(2);
/// How often a service that has gone is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which service, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// Its socket, if one was asked for by name.
    pub socket: Option<PathBuf>,
    /// Not the service, even if it runs.
    pub local: bool,
    /// Wait for the service, and attach again when it was away.
    pub follow: bool,
}

impl Which {
    fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(protocol::SOCKET))
    }

    /// Whether there is no way but through the service.
    fn is_required(&self) -> bool {
        self.follow || self.socket.is_some()
    }
}

/// Connects to the service. One that ends right now, or was just killed, still has its socket open for a moment: that is
/// waited for. A stop that comes while the service is waited for, now or later, ends that wait.
///
/// # Errors
/// It does not run, or refuses; with what to do.
pub(super) fn connect(socket: Option<&Path>, control: &Control) -> Result<Connection, ReaderError> {
    let asked = Instant::now();
    loop {
        let path = socket.unwrap_or(Path::new(protocol::SOCKET));
        match Connection::open_watched(path, watch(control.clone())) {
            Err(ReaderError::Lost) if asked.elapsed() < GOING_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

/// Says what is waited for, once that takes long, and ends the wait when a stop comes meanwhile. What is waited for after a
/// stop is needed for a proper end: a further Ctrl-C ends the program at once.
fn watch(mut control: Control) -> Watch {
    let (mut told, mut was_stopping) = (false, false);
    Box::new(move |Waiting { what, waited, at_most }| {
        let is_stopping = control.stopping().is_some();
        if waited.is_zero() {
            (told, was_stopping) = (false, is_stopping);
        } else if waited >= QUIET_WAIT && !told {
            told = true;
            let most = at_most.as_secs();
            let _ = writeln!(
                Messages,
                "honeutil: waiting for honed {what}, for at most {most} s; Ctrl-C gives up"
            );
        }
        was_stopping || !is_stopping
    })
}

/// A reader of the service.
#[derive(Debug)]
pub(super) struct Remote {
    which: Which,
    snap_length: u32,
    connection: Connection,
    attached: bool,
    /// How long the round's next read may wait, and how many bytes the round may still read.
    wait: Duration,
    room: usize,
    /// Whether the end of the section was asked for, and has not come.
    ending: bool,
    /// Why the statistics did not come at the end: then nothing else will.
    failed: Option<ReaderError>,
    /// Whether it was reported that honed does not answer.
    silent: bool,
    /// What was counted when this reader attached, and at last.
    began: Statistics,
    counted: Statistics,
    counted_at: Instant,
    /// What earlier attachments came to.
    before: Account,
}

impl Remote {
    /// Attaches to the service if that is asked for and it runs; `None`: record without it. Waits for it with
    /// [`Which::follow`], and gives up with `None` when it is to stop.
    ///
    /// # Errors
    /// The service refuses, or it does not run although it was asked for.
    pub(super) fn find(
        which: Which,
        snap_length: u32,
        control: &mut Control,
    ) -> Result<Option<Self>, ReaderError> {
        if which.local {
            return Ok(None);
        }
        let mut told = false;
        loop {
            match attach(which.path(), snap_length, control) {
                Ok((connection, began)) => {
                    return Ok(Some(Self {
                        which,
                        snap_length,
                        connection,
                        attached: true,
                        wait: Duration::ZERO,
                        room: 0,
                        ending: false,
                        failed: None,
                        silent: false,
                        counted: began,
                        began,
                        counted_at: Instant::now(),
                        before: Account::default(),
                    }));
                }
                Err(error) if which.follow && is_away(&error) => {
                    if !told {
                        tracing::warn!("{error}. Waiting for it");
                        told = true;
                    }
                    if control.stopping().is_some() {
                        return Err(error);
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(ReaderError::NoService { .. }) if !which.is_required() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in the statistics that have come, and asks anew. What is recorded does not wait for them.
    fn count(&mut self) {
        // If that fails the old ones stay: whoever reads on learns why.
        if let Ok(Some(statistics)) = self.connection.asked_statistics() {
            self.counted = statistics;
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
        } else if self.counted_at.elapsed() >= COUNTS_EVERY {
            self.counted_at = Instant::now();
            let _ = self.connection.ask_statistics();
        }
    }

    /// Waits for the statistics.
    fn count_now(&mut self) {
        if self.attached && self.failed.is_none() {
            match self.connection.statistics() {
                Ok(statistics) => self.counted = statistics,
                Err(error @ (ReaderError::Silent { .. } | ReaderError::GivenUp { .. })) => {
                    self.failed = Some(error);
                }
                // Whoever reads on learns why.
                Err(_) => {}
            }
        }
    }

    fn lost(&mut self, error: ReaderError) -> RecordError {
        self.attached = false;
        RecordError::Service(error)
    }
}

fn attach(path: &Path, snap_length: u32, control: &Control) -> Result<(Connection, Statistics), ReaderError> {
    let mut connection = connect(Some(path), control)?;
    connection.attach(&Options { snap_length, ring_bytes: 0 })?;
    let statistics = connection.statistics()?;
    Ok((connection, statistics))
}

/// Whether the service has gone, and may come back.
fn is_away(error: &ReaderError) -> bool {
    matches!(error, ReaderError::NoService { .. } | ReaderError::Lost | ReaderError::Ended { .. })
        || error.refusal() == Some(Refusal::Stopping)
}

/// Whether a service that is waited for may still come. Before a new socket is open to its group, there is a moment when it
/// isn't; and a service that loads its programs listens already, and greets when it has, which takes a slow machine long.
fn may_come_back(error: &ReaderError) -> bool {
    is_away(error) || matches!(error, ReaderError::Permission { .. } | ReaderError::Silent { .. })
}

impl Feed for Remote {
    // The service's stream is at most 50 ms late.
    const CATCH_UP: Duration = Duration::from_millis(120);

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
            // A service that stops ends the section by itself: what came of it is still to be read.
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
        self.failed.is_none() && self.counted.held.waiting > 0
    }

    fn now(&self) -> Nanos {
        hone_linux::now()
    }

    fn account(&mut self) -> Account {
        self.before.plus(&Account::between(&self.began, &self.counted))
    }

    fn is_attached(&self) -> bool {
        self.attached
    }

    fn reattach(&mut self, error: RecordError, control: &mut Control) -> Result<bool, RecordError> {
        match error {
            RecordError::Service(error) if self.which.follow && is_away(&error) => {
                tracing::warn!("{error}. Waiting until it is back");
            }
            error => return Err(error),
        }
        while control.stopping().is_none() {
            match attach(self.which.path(), self.snap_length, control) {
                Ok((connection, began)) => {
                    self.before = self.account();
                    self.connection = connection;
                    (self.attached, self.ending, self.failed, self.silent) = (true, false, None, false);
                    self.counted = began;
                    self.began = began;
                    tracing::warn!("honed is back: recording goes on with a new section");
                    return Ok(true);
                }
                Err(error) if may_come_back(&error) => {
                    std::thread::sleep(LOOK_EVERY);
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
