//! The service as a recording's feed: finds it, attaches, reads its stream, comes back to it when it was restarted.
//! Owns the connection.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hone_api::Statistics;
use hone_engine::{Nanos, Read};
use hone_reader::{Connection, Options, ReaderError, Refusal, protocol};

use crate::control::Control;
use crate::feed::{Account, Feed, Fetched};
use crate::read::RecordError;

/// Most bytes read in one round of the loop, so that it looks at signals and times in between.
const ROUND_BYTES: usize = 4 << 20;
/// How long the service may take to bring the section's end, once it was asked for.
const END_PATIENCE: Duration = Duration::from_secs(30);
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
/// waited for.
///
/// # Errors
/// It does not run, or refuses; with what to do.
pub(super) fn connect(socket: Option<&Path>) -> Result<Connection, ReaderError> {
    let asked = Instant::now();
    loop {
        match Connection::open(socket.unwrap_or(Path::new(protocol::SOCKET))) {
            Err(ReaderError::Lost) if asked.elapsed() < GOING_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
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
    /// When to give up waiting for the end of the section, if it was asked for.
    ending: Option<Instant>,
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
            match attach(which.path(), snap_length) {
                Ok((connection, began)) => {
                    return Ok(Some(Self {
                        which,
                        snap_length,
                        connection,
                        attached: true,
                        wait: Duration::ZERO,
                        room: 0,
                        ending: None,
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

    /// Asks for the statistics. If that fails the old ones stay: whoever reads on learns why.
    fn count(&mut self) {
        self.counted_at = Instant::now();
        if self.attached
            && let Ok(statistics) = self.connection.statistics()
        {
            self.counted = statistics;
        }
    }

    fn lost(&mut self, error: ReaderError) -> RecordError {
        self.attached = false;
        RecordError::Service(error)
    }
}

fn attach(path: &Path, snap_length: u32) -> Result<(Connection, Statistics), ReaderError> {
    let mut connection = connect(Some(path))?;
    connection.attach(&Options { snap_length, ring_bytes: 0 })?;
    let statistics = connection.statistics()?;
    Ok((connection, statistics))
}

/// Whether the service has gone, and may come back.
fn is_away(error: &ReaderError) -> bool {
    matches!(error, ReaderError::NoService { .. } | ReaderError::Lost | ReaderError::Ended { .. })
        || error.refusal() == Some(Refusal::Stopping)
}

impl Feed for Remote {
    // The service's stream is at most 50 ms late.
    const CATCH_UP: Duration = Duration::from_millis(120);

    fn fetch(&mut self, wait: Duration, _most: usize) -> Result<Fetched, RecordError> {
        (self.wait, self.room) = (wait.max(Duration::from_millis(1)), ROUND_BYTES);
        Ok(Fetched { all: false, latest: 0 })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError> {
        let wait = match self.ending {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None if self.room == 0 => return Ok(Read::Empty),
            None => std::mem::take(&mut self.wait),
        };
        match self.connection.read(buffer, wait) {
            Ok(hone_reader::Read::Bytes(count)) => {
                self.room = self.room.saturating_sub(count);
                Ok(Read::Bytes(count))
            }
            Ok(hone_reader::Read::Empty) if self.ending.is_some() => {
                Err(self.lost(ReaderError::Silent { seconds: END_PATIENCE.as_secs() }))
            }
            Ok(hone_reader::Read::Empty) => Ok(Read::Empty),
            Ok(hone_reader::Read::SectionEnd) => {
                self.ending = None;
                Ok(Read::SectionEnd)
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    fn end_section(&mut self) -> Result<(), RecordError> {
        match self.connection.mark_restart() {
            // A service that stops ends the section by itself: what came of it is still to be read.
            Ok(()) | Err(ReaderError::Ended { .. }) => {}
            Err(error) if error.refusal() == Some(Refusal::Busy) => {}
            Err(error) => return Err(self.lost(error)),
        }
        self.ending = Some(Instant::now() + END_PATIENCE);
        self.count();
        Ok(())
    }

    fn holds_back(&mut self) -> bool {
        self.count();
        self.counted.held.waiting > 0
    }

    fn now(&self) -> Nanos {
        hone_linux::now()
    }

    fn account(&mut self) -> Account {
        self.before.plus(&Account::between(&self.began, &self.counted))
    }

    fn dropped_packets(&mut self) -> u64 {
        if self.counted_at.elapsed() >= COUNTS_EVERY && self.ending.is_none() {
            self.count();
        }
        self.account().packets()
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
            match attach(self.which.path(), self.snap_length) {
                Ok((connection, began)) => {
                    self.before = self.account();
                    self.connection = connection;
                    (self.attached, self.ending) = (true, None);
                    self.counted = began;
                    self.began = began;
                    tracing::warn!("honed is back: recording goes on with a new section");
                    return Ok(true);
                }
                // Before a new socket is open to its group, there is a moment when it isn't.
                Err(error) if is_away(&error) || matches!(error, ReaderError::Permission { .. }) => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(error) => return Err(RecordError::Service(error)),
            }
        }
        Ok(false)
    }
}
