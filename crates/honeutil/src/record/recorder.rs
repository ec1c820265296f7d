//! The recording loop. Moves blocks from a [`Feed`] (the engine in this process, or the service) to the output and the
//! tally.
//!
//! One thread owns all of it, so there is no lock. While a write blocks, blocks wait in the feed's own buffer.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use hone_engine::{BYTE_ORDER, Read, SnapLength};
use hone_pcapng::view;
use hone_queue::pace::WAIT;
use hone_select::Selection;

use crate::convert::Form;
use crate::convert::live::Live;
use crate::messages::Progress;
use crate::output::Output;
#[cfg(target_os = "linux")]
use crate::recent::Saver;
use crate::record::companion::Companion;
use crate::record::control::Control;
use crate::record::error::RecordError;
use crate::record::feed::{Feed, Fetched};
use crate::record::late::Late;
use crate::record::once::Once;
use crate::record::packet_limit::PacketLimit;
use crate::record::rotation::{Rotation, RotationClock};
use crate::record::summary::Outcome;
use crate::reduce::{Lane, Reduce};
use crate::text;
use crate::traffic::tally::Tally;

/// How often the output is checked.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Catching up is reported when it takes longer than this.
const QUIET_CATCH_UP: Duration = Duration::from_secs(2);
/// Longest wait for held packets. They are held for half a second, and checked from time to time.
const HELD_AT_MOST: Duration = Duration::from_millis(800);
/// How often to look whether packets are still held.
const HELD_TICK: Duration = Duration::from_millis(20);
/// Most bytes that are read from the feed before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Once so many bytes were read, they are written even if more is waiting.
const WRITE_BYTES: usize = BUFFER_BYTES / 2;

/// What to record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many bytes of each packet.
    pub snap_length: SnapLength,
    /// For how long.
    pub duration: Option<Duration>,
    /// How many packets.
    pub count: Option<NonZeroU64>,
    /// When to begin the next file, apart from requests.
    pub rotation: Rotation,
}

/// What makes a recording of selected packets stand alone without the rest of the host.
#[derive(Debug)]
struct Reduced {
    reduce: Reduce,
    lane: Lane,
    out: Vec<u8>,
}

impl Reduced {
    /// What is to be written of these whole blocks.
    fn of(&mut self, blocks: &[u8]) -> &[u8] {
        self.out.clear();
        for block in view::blocks(blocks, BYTE_ORDER) {
            self.reduce.take(&mut self.lane, block, true, &mut self.out);
        }
        &self.out
    }
}

/// What is done once a recording has begun, with the output's name.
type Begun<'a> = Box<dyn FnOnce(&str) + 'a>;

/// A recording.
pub struct Recorder<'a> {
    feed: Box<dyn Feed + 'a>,
    output: &'a mut Output,
    control: &'a mut Control,
    progress: &'a mut Progress,
    options: Options,
    /// Bytes that were read. The first `filled` ones are the beginning of an incomplete block.
    buffer: Vec<u8>,
    filled: usize,
    limit: Option<PacketLimit>,
    tally: Tally,
    rotation: RotationClock,
    started: Instant,
    checked: Instant,
    begun: Option<Begun<'a>>,
    companion: Option<&'a mut dyn Companion>,
    reduced: Option<Reduced>,
    late: Option<Late>,
    once: Option<Once>,
    converted: Option<Live>,
    #[cfg(target_os = "linux")]
    saver: Option<&'a mut Saver>,
}

impl<'a> Recorder<'a> {
    /// Records what `feed` delivers.
    #[must_use]
    pub fn new(
        feed: Box<dyn Feed + 'a>,
        options: Options,
        output: &'a mut Output,
        control: &'a mut Control,
        progress: &'a mut Progress,
    ) -> Self {
        if let Some(duration) = options.duration {
            control.stop_after(duration);
        }
        let now = Instant::now();
        Self {
            feed,
            output,
            control,
            progress,
            options,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            limit: options.count.map(|count| PacketLimit::new(count.get())),
            tally: Tally::new(),
            rotation: RotationClock::new(options.rotation, options.snap_length),
            started: now,
            checked: now,
            begun: None,
            companion: None,
            reduced: None,
            late: None,
            once: None,
            converted: None,
            #[cfg(target_os = "linux")]
            saver: None,
        }
    }

    /// Saves with it what is kept, each time that the control asks for it.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn saving(mut self, saver: &'a mut Saver) -> Self {
        saver.watch(self.feed.now());
        self.saver = Some(saver);
        self
    }

    /// Writes of processes and connections only those that the packets need: for packets that are selected.
    #[must_use]
    pub fn reduced(mut self) -> Self {
        self.reduced = Some(Reduced { reduce: Reduce::new(false), lane: Lane::new(0), out: Vec::new() });
        self
    }

    /// Counts packets of processes that are selected which were found to be theirs only after they had been left out.
    #[must_use]
    pub fn selecting(mut self, selection: &Selection) -> Self {
        self.late = Late::new(selection);
        self
    }

    /// Writes a packet between two processes of this host as one block with both owners, as far as the feed gives packet ids.
    #[must_use]
    pub fn loopback_once(mut self) -> Self {
        self.once = Some(Once::default());
        self
    }

    /// Writes the recording in another form, which is not a libpcap file.
    #[must_use]
    pub fn in_form(mut self, form: Form) -> Self {
        self.converted = (form != Form::Hone).then(|| Live::new(form));
        self
    }

    /// Shows everything that is written to `companion`, which also ends the recording.
    #[must_use]
    pub fn with(mut self, companion: &'a mut dyn Companion) -> Self {
        self.companion = Some(companion);
        self
    }

    /// Calls `begun` with the output's name once everything that happens is recorded and the output takes it.
    #[must_use]
    pub fn on_begin(mut self, begun: impl FnOnce(&str) + 'a) -> Self {
        self.begun = Some(Box::new(begun));
        self
    }

    /// Records until the stop, and ends the last section. Returns the outcome, also when it failed.
    pub fn run(mut self) -> (Outcome, Tally, Result<(), RecordError>) {
        let mut result = self.record();
        let elapsed = self.started.elapsed();
        // Nothing more can be written to an output that failed. Otherwise the section gets its proper end.
        if !matches!(result, Err(RecordError::Output(_))) && self.feed.is_attached() {
            self.control.stop();
            let held = if self.options.count.is_none() { self.await_held() } else { Ok(()) };
            result = result.and(held.and_then(|()| self.end_section()));
        }
        if !matches!(result, Err(RecordError::Output(_))) {
            result = result.and(self.write_rest());
        }
        self.progress.erase();
        let missing = self.reduced.as_ref().map_or(0, |reduced| reduced.reduce.counts().missing);
        if missing > 0 {
            tracing::warn!(
                "{missing} processes or connections of packets are missing: there was no room to remember them until then; \
                 --all-events records all"
            );
        }
        if let Err(error) = self.output.finish(self.control) {
            if result.is_ok() {
                result = Err(error.into());
            } else {
                tracing::warn!("{error}");
            }
        }
        let outcome = Outcome {
            elapsed,
            files: self.output.names(),
            paths: self.output.paths(),
            written: self.output.written(),
            compressed: self.output.report().map_or(0, |report| report.compressed_bytes),
            missing: self.feed.losses(),
            late_corrections: self.late.map_or(0, |late| late.corrections),
        };
        (outcome, self.tally, result)
    }

    /// Records until the stop, even if the stream begins again several times.
    fn record(&mut self) -> Result<(), RecordError> {
        loop {
            match self.record_stream() {
                Err(error @ RecordError::Service(_)) => {
                    self.progress.erase();
                    if !self.feed.reattach(error, self.control)? {
                        return Ok(());
                    }
                    // The rest of that block will never arrive.
                    self.filled = 0;
                }
                ended => return ended,
            }
        }
    }

    fn record_stream(&mut self) -> Result<(), RecordError> {
        self.drain()?;
        if let Some(begun) = self.begun.take() {
            begun(self.output.name());
            if let Some(companion) = &mut self.companion {
                companion.begun();
            }
        }
        self.rotation.begin(self.file_bytes());
        while self.control.stopping().is_none() {
            if self.remaining() == Some(0) {
                return Ok(());
            }
            if self.companion.as_mut().is_some_and(|companion| companion.is_over()) {
                break;
            }
            if let Some(companion) = &mut self.companion {
                companion.steer(&mut *self.feed)?;
            }
            self.step(self.rotation.wait_at_most(self.control.wait_at_most(WAIT)))?;
            let asked = self.control.take_restart();
            if asked && self.progress.hung_up() {
                return Ok(());
            }
            if asked || self.rotation.is_due(self.file_bytes()) {
                self.next_file()?;
            }
            #[cfg(target_os = "linux")]
            self.save()?;
        }
        self.catch_up()
    }

    /// Saves what is kept, if that is asked for or a rule is met. A save that is under way ends first; the recording goes on meanwhile.
    #[cfg(target_os = "linux")]
    fn save(&mut self) -> Result<(), RecordError> {
        let Some(saver) = &mut self.saver else { return Ok(()) };
        if saver.is_busy() {
            return Ok(());
        }
        let is_asked = self.control.take_save();
        let Some(cause) = saver.due(is_asked) else { return Ok(()) };
        self.reach_now()?;
        let before = self.output.path().to_owned();
        self.next_file()?;
        // If the section could not be ended, it is saved as far as it is written.
        let current = Some(self.output.path()).filter(|path| *path != before);
        if let Some(saver) = &mut self.saver {
            saver.begin(current, cause);
        }
        Ok(())
    }

    /// Writes what has happened up to now, unless that takes long.
    #[cfg(target_os = "linux")]
    fn reach_now(&mut self) -> Result<(), RecordError> {
        let (begun, now) = (Instant::now(), self.feed.now());
        let most = QUIET_CATCH_UP.min(self.feed.catch_up_time());
        while self.remaining() != Some(0) && begun.elapsed() < most {
            let fetched = self.step(Duration::ZERO)?;
            if fetched.all || fetched.latest >= now {
                break;
            }
        }
        Ok(())
    }

    /// Ends the file, and begins the next one with a section that needs no earlier file.
    fn next_file(&mut self) -> Result<(), RecordError> {
        match self.end_section() {
            Err(RecordError::Restart(error)) => {
                // If the section continues instead, nothing is lost.
                tracing::warn!("no new file: {error}");
                self.rotation.postpone();
                return Ok(());
            }
            ended => ended?,
        }
        self.output.rotate(self.feed.now(), self.control)?;
        tracing::info!("recording goes on in {}", self.output.name());
        self.drain()?;
        self.rotation.begin(self.file_bytes());
        Ok(())
    }

    /// Writes one batch to the output. Returns whether nothing more waits, and the latest time in it.
    fn step(&mut self, wait: Duration) -> Result<Fetched, RecordError> {
        // A record is at most one packet, so the count is never exceeded; nor is the file's size.
        let most = self.remaining().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let most = self.rotation.room(self.file_bytes()).map_or(most, |room| most.min(room.max(1)));
        let fetched = self.feed.fetch(wait, most)?;
        if self.checked.elapsed() >= CHECK_EVERY {
            self.checked = Instant::now();
            self.output.check()?;
        }
        self.drain()?;
        self.progress.update(|| {
            progress_line(
                self.started.elapsed(),
                &self.tally,
                self.feed.dropped_packets(),
                self.output.name(),
            )
        });
        Ok(fetched)
    }

    /// Collects events from before the stop that have not arrived yet.
    fn catch_up(&mut self) -> Result<(), RecordError> {
        let (stop, now) = (Instant::now(), self.feed.now());
        let mut is_reported = false;
        while self.remaining() != Some(0) {
            // A further Ctrl-C ends the program at once.
            self.control.stopping();
            let fetched = self.step(Duration::ZERO)?;
            if fetched.all || fetched.latest >= now {
                break;
            }
            if stop.elapsed() >= QUIET_CATCH_UP && !is_reported {
                is_reported = true;
                tracing::warn!("writing what happened before the stop; a further Ctrl-C ends without it");
            }
            if stop.elapsed() >= self.feed.catch_up_time() {
                if fetched.latest > 0 {
                    let missing = Duration::from_nanos(now - fetched.latest);
                    tracing::warn!(
                        "what happened in the last {missing:.1?} is missing: recording was too far behind"
                    );
                }
                break;
            }
            if self.rotation.is_due(self.file_bytes()) {
                self.next_file()?;
            }
        }
        Ok(())
    }

    /// Waits for held packets. Otherwise no file would contain them.
    fn await_held(&mut self) -> Result<(), RecordError> {
        let begun = Instant::now();
        while self.feed.holds_back() && begun.elapsed() < HELD_AT_MOST {
            self.control.stopping();
            self.step(HELD_TICK)?;
        }
        Ok(())
    }

    /// Packets still to be recorded, if they are counted.
    fn remaining(&self) -> Option<u64> {
        self.options.count.map(|count| count.get().saturating_sub(self.tally.recorded_packets()))
    }

    /// Ends the section at this moment, with its statistics, and writes it out.
    fn end_section(&mut self) -> Result<(), RecordError> {
        self.feed.end_section()?;
        self.drain()
    }

    /// Writes and counts all waiting blocks, up to the section's end. It writes many at once, because the service sends
    /// blocks in many small portions and each write may take time.
    fn drain(&mut self) -> Result<(), RecordError> {
        loop {
            let read = self.feed.read(&mut self.buffer[self.filled..]);
            if let Ok(Read::Bytes(count)) = read {
                self.filled += count;
                if self.filled < WRITE_BYTES {
                    continue;
                }
            }
            self.write(matches!(read, Ok(Read::Empty)))?;
            match read? {
                Read::Bytes(_) => {}
                Read::Empty | Read::SectionEnd => return Ok(()),
            }
        }
    }

    /// Writes and counts the complete blocks that were read. `is_all`: nothing more waits in the feed.
    fn write(&mut self, is_all: bool) -> Result<(), RecordError> {
        let whole = view::whole(&self.buffer[..self.filled], BYTE_ORDER);
        if whole == 0 && self.filled == self.buffer.len() {
            // A block is larger than the buffer. The format limits its size.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let has_waiting = self.once.as_ref().is_some_and(|once| once.waiting_bytes() > 0);
        if whole == 0 && !has_waiting {
            return Ok(());
        }
        let written =
            if self.once.is_some() { self.write_once(whole, is_all) } else { self.write_as_read(whole) };
        written?;
        self.buffer.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        Ok(())
    }

    /// Writes the `whole` bytes at the start of the buffer.
    fn write_as_read(&mut self, whole: usize) -> Result<(), RecordError> {
        let wanted = match &mut self.limit {
            Some(limit) => limit.apply(&mut self.buffer, whole),
            None => whole,
        };
        let before = self.output.written();
        if let Some(companion) = &mut self.companion {
            companion.note(&self.buffer[..wanted]);
        }
        #[cfg(target_os = "linux")]
        if let Some(saver) = &mut self.saver {
            saver.note(&self.buffer[..wanted]);
        }
        let blocks = match &mut self.reduced {
            Some(reduced) => reduced.of(&self.buffer[..wanted]),
            None => &self.buffer[..wanted],
        };
        let blocks = match &mut self.converted {
            Some(converted) => converted.of(blocks)?,
            None => blocks,
        };
        let written = self.output.write(blocks, self.control);
        // If a write failed, the tally counts only what is in the file.
        let kept = usize::try_from(self.output.written() - before).unwrap_or(blocks.len()).min(blocks.len());
        self.tally.add(&blocks[..kept]);
        if let Some(late) = &mut self.late {
            late.note(&self.buffer[..wanted], &mut self.tally);
        }
        Ok(written?)
    }

    /// The same, with packets of two processes joined. Who only looks on sees each of them, and does not wait.
    fn write_once(&mut self, whole: usize, is_all: bool) -> Result<(), RecordError> {
        let read = &self.buffer[..whole];
        if let Some(companion) = &mut self.companion {
            companion.note(read);
        }
        #[cfg(target_os = "linux")]
        if let Some(saver) = &mut self.saver {
            saver.note(read);
        }
        let blocks = match &mut self.reduced {
            Some(reduced) => reduced.of(read),
            None => read,
        };
        let Some(once) = &mut self.once else { return Ok(()) };
        let joined = std::mem::take(once.take(blocks, is_all, Instant::now()));
        self.write_joined(joined)
    }

    /// Writes what still waits for the other half of a packet.
    fn write_rest(&mut self) -> Result<(), RecordError> {
        let Some(once) = &mut self.once else { return Ok(()) };
        let rest = std::mem::take(once.finish());
        self.write_joined(rest)
    }

    fn write_joined(&mut self, mut joined: Vec<u8>) -> Result<(), RecordError> {
        let length = joined.len();
        let wanted = match &mut self.limit {
            Some(limit) => limit.apply(&mut joined, length),
            None => length,
        };
        if wanted == 0 {
            return Ok(());
        }
        let before = self.output.written();
        let written = self.output.write(&joined[..wanted], self.control);
        let kept = usize::try_from(self.output.written() - before).unwrap_or(wanted).min(wanted);
        self.tally.add(&joined[..kept]);
        if let Some(late) = &mut self.late {
            late.note(&joined[..wanted], &mut self.tally);
        }
        Ok(written?)
    }

    /// Bytes of the file, with those that will be written when what they wait for has come.
    fn file_bytes(&self) -> u64 {
        let waiting = self.once.as_ref().map_or(0, Once::waiting_bytes);
        self.output.file_bytes() + u64::try_from(waiting).unwrap_or(0)
    }
}

fn progress_line(elapsed: Duration, tally: &Tally, dropped: u64, file: &str) -> String {
    format!(
        "{}   {}   {}   {} dropped   {file}",
        text::duration(elapsed),
        text::counted(tally.recorded_packets(), "packet"),
        text::bytes(tally.recorded_bytes()),
        text::thousands(dropped),
    )
}
