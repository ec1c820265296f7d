//! The reader of honed: connects, attaches, and writes what it receives to the spool. It waits for nothing else, so that honed's
//! ring buffer for it does not fill.
//!
//! When a segment is long or old enough, it marks a restart: the rest of the section comes, and then the next one begins, with the
//! state of its moment. So a segment is a recording of its own, and nothing lies between two of them.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hone_client::{Connection, Options, Read, ReaderError, Refusal};

use crate::config::Config;
use crate::counters::{Counters, Part};
use crate::destination::Stop;
use crate::spool::Spool;

/// How often it looks whether a segment is due, and whether the program is to end.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// How long it waits before it connects again: at first, and at most.
const AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// How long the end of the stream may take.
const END: Duration = Duration::from_secs(5);
/// How long a spool that cannot be written is left alone.
const RETRY_SPOOL: Duration = Duration::from_secs(2);

/// The reader.
pub struct Reader<'a> {
    config: &'a Config,
    spool: &'a Spool,
    counters: &'a Counters,
    stop: &'a Stop,
    segment: Option<Segment>,
    /// Since when what comes is thrown away, as there was no room for all of the section.
    cut: Option<Instant>,
}

/// The segment that is being recorded.
struct Segment {
    number: u64,
    file: File,
    bytes: u64,
    since: Instant,
}

impl<'a> Reader<'a> {
    /// A reader that is not connected yet.
    #[must_use]
    pub fn new(config: &'a Config, spool: &'a Spool, counters: &'a Counters, stop: &'a Stop) -> Self {
        Self { config, spool, counters, stop, segment: None, cut: None }
    }

    /// Reads until the program is to end. `tick` is called at least every second.
    pub fn run(&mut self, mut tick: impl FnMut()) {
        let mut pause = AGAIN[0];
        while !self.stop.is_set() {
            match self.attach() {
                Ok(mut connection) => {
                    self.counters.attachments.add(1);
                    self.counters.is_attached.store(true, Ordering::Relaxed);
                    self.counters.is_fine(Part::Honed);
                    pause = AGAIN[0];
                    let ended = self.read(&mut connection, &mut tick);
                    self.counters.is_attached.store(false, Ordering::Relaxed);
                    self.end_segment();
                    if let Err(error) = ended {
                        self.counters.problem(Part::Honed, &format!("{error}. Waiting until it is back"));
                    }
                }
                Err(error) => {
                    self.counters.problem(Part::Honed, &format!("{error}. Trying again"));
                    let until = Instant::now() + pause;
                    while Instant::now() < until && !self.stop.is_set() {
                        tick();
                        std::thread::sleep(TICK);
                    }
                    pause = (2 * pause).min(AGAIN[1]);
                }
            }
        }
    }

    fn attach(&self) -> Result<Connection, ReaderError> {
        let mut connection = Connection::open(&self.config.socket)?;
        connection.set_selection(own_traffic_left_out().as_bytes())?;
        let snap_length = self.config.snap_length();
        connection.attach(&Options { snap_length, ring_bytes: 0 })?;
        Ok(connection)
    }

    /// Reads one stream, until the program is to end.
    fn read(&mut self, connection: &mut Connection, tick: &mut impl FnMut()) -> Result<(), ReaderError> {
        let mut buffer = vec![0; BUFFER];
        let mut marked: Option<Instant> = None;
        let mut ending: Option<Instant> = None;
        loop {
            tick();
            if self.stop.is_set() && ending.is_none() {
                ending = Some(Instant::now());
                mark(connection)?;
                marked = ending;
            }
            if marked.is_none() && self.is_due() {
                mark(connection)?;
                marked = Some(Instant::now());
            }
            match connection.read(&mut buffer, TICK)? {
                Read::Bytes(count) => self.write(&buffer[..count]),
                Read::Empty => {}
                Read::SectionEnd => {
                    self.end_segment();
                    marked = None;
                    if ending.is_some() {
                        return Ok(());
                    }
                }
            }
            if ending.is_some_and(|since| since.elapsed() > END) {
                return Ok(());
            }
        }
    }

    /// Whether the section is to end.
    fn is_due(&self) -> bool {
        if let Some(since) = self.cut {
            return since.elapsed() > RETRY_SPOOL;
        }
        let batch = &self.config.batch;
        self.segment.as_ref().is_some_and(|segment| {
            segment.bytes >= batch.size << 20 || segment.since.elapsed() >= Duration::from_secs(batch.seconds)
        })
    }

    /// Writes to the segment; begins one, if there is none.
    fn write(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.counters.received_bytes.add(count);
        if self.cut.is_some() {
            self.counters.dropped_bytes.add(count);
            return;
        }
        if let Err(why) = self.try_write(bytes) {
            self.counters.problem(Part::Spool, &why);
            self.counters.dropped_bytes.add(count);
            self.cut = Some(Instant::now());
        } else {
            self.counters.is_fine(Part::Spool);
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let count = bytes.len() as u64;
        if self.segment.is_none() {
            let (number, file) = loop {
                match self.spool.begin_segment() {
                    Ok(begun) => break begun,
                    Err(error) if is_full(&error) && self.spool.drop_oldest(self.counters) => {}
                    Err(error) => {
                        return Err(format!(
                            "the spool cannot be written: {error}. What honed sends is dropped"
                        ));
                    }
                }
            };
            self.segment = Some(Segment { number, file, bytes: 0, since: Instant::now() });
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if !self.spool.make_room(count, self.counters) {
            return Err("the spool is full: what honed sends is dropped until there is room".to_owned());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match segment.file.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    segment.bytes += written as u64;
                    self.spool.grown(written as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) && self.spool.drop_oldest(self.counters) => {}
                Err(error) => {
                    return Err(format!("the spool cannot be written: {error}. What honed sends is dropped"));
                }
            }
        }
        Ok(())
    }

    fn end_segment(&mut self) {
        self.cut = None;
        let Some(segment) = self.segment.take() else { return };
        if let Err(error) = self.spool.end_segment(segment.number, &segment.file, segment.bytes) {
            self.counters.problem(Part::Spool, &format!("the spool cannot be written: {error}"));
        }
    }
}

/// Ends the section; does nothing if it ends already.
fn mark(connection: &mut Connection) -> Result<(), ReaderError> {
    match connection.mark_restart() {
        Err(error) if error.refusal() != Some(Refusal::Busy) => Err(error),
        _ => Ok(()),
    }
}

/// Whether a disk is full, or this user's part of it.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The selection of all but what this process sends and receives, in the form of the reader protocol.
fn own_traffic_left_out() -> String {
    format!("--not-pid\0{}\0", std::process::id())
}
