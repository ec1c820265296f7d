//! The recording loop: events from the source into the engine, blocks from the engine to output and tally.
//!
//! One thread owns all of it, the engine included, so there is no lock. While a write blocks, the source's own buffer
//! is the cushion.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use hone_engine::{
    AttachError, Config, Engine, Event, OutOfMemory, RING_SLOT_BYTES, Read, ReadError, ReaderId,
    ReaderOptions, RestartError, SectionInfo,
};

use crate::blocks;
use crate::control::Control;
use crate::output::{Output, OutputError};
use crate::progress::Progress;
use crate::rotation::{Due, Rotation};
use crate::source::{Source, SourceError};
use crate::summary::Outcome;
use crate::tally::Tally;
use crate::text;

/// Most records taken from the source before the reader is drained. Few enough that even the largest packets fit into
/// the reader's ring, and that usual ones are still in the processor's cache when they are written.
const BATCH: usize = 256;
/// Longest wait for records: how late a block reaches the output when there is little traffic.
const WAIT: Duration = Duration::from_millis(50);
/// How often the source's drops are asked for.
const DROPS_EVERY: Duration = Duration::from_millis(100);
/// The reader's ring buffer, in blocks and in bytes of blocks: more than a batch, so that it never overflows.
const RING_BYTES: usize = 131_072 * RING_SLOT_BYTES;
const PINNED_BYTES: usize = 128 << 20;
const _: () = assert!(BATCH * (hone_engine::MAX_PACKET_BYTES as usize) <= PINNED_BYTES / 2);
/// What is read from the engine and written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// How long after a stop the records from before it are still collected.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What to record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Most bytes of each packet; 0: all.
    pub snap_length: u32,
    /// How long.
    pub duration: Option<Duration>,
    /// How many packets.
    pub count: Option<NonZeroU64>,
    /// When to begin the next file, besides on request.
    pub rotation: Rotation,
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The source failed.
    #[error(transparent)]
    Source(SourceError),
    /// The output failed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// No memory for the engine.
    #[error("cannot start recording: {0}")]
    Memory(#[from] OutOfMemory),
    /// The engine refuses the reader.
    #[error("cannot start recording: {0}")]
    Attach(#[from] AttachError),
    /// The engine refuses to be read: a fault in Hone.
    #[error("cannot read the engine's blocks: {0}; please report this")]
    Read(#[from] ReadError),
    /// The section cannot be ended.
    #[error("cannot end the section with its statistics: {0}")]
    Restart(#[from] RestartError),
}

/// A recording.
#[derive(Debug)]
pub struct Recorder<'a, S> {
    source: &'a mut S,
    output: &'a mut Output,
    control: &'a mut Control,
    progress: &'a mut Progress,
    options: Options,
    engine: Engine,
    reader: ReaderId,
    /// What was read; the first `filled` bytes are a block of which the rest is still to be read.
    buffer: Vec<u8>,
    filled: usize,
    tally: Tally,
    due: Due,
    started: Instant,
    drops_asked: Instant,
}

impl<'a, S: Source> Recorder<'a, S> {
    /// Collects the state of the host and attaches the reader: from here on, what happens is recorded.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn start(
        source: &'a mut S,
        section: SectionInfo,
        options: Options,
        output: &'a mut Output,
        control: &'a mut Control,
        progress: &'a mut Progress,
    ) -> Result<Self, RecordError> {
        let mut engine = Engine::new(Config { section, max_ring_bytes: RING_BYTES, ..Config::default() })?;
        // What cannot be recorded is counted by the engine, and told in the summary.
        let mut sink = |event: Event<'_>| {
            let _ = engine.restate(&event);
        };
        source.restate(&mut sink).map_err(RecordError::Source)?;
        let reader_options = ReaderOptions {
            ring_bytes: Some(RING_BYTES),
            pinned_bytes: PINNED_BYTES,
            snap_length: options.snap_length,
        };
        let reader = engine.attach(&reader_options, source.now())?;
        if let Some(duration) = options.duration {
            control.stop_after(duration);
        }
        let most_of_packet = match options.snap_length {
            0 => hone_engine::MAX_PACKET_BYTES,
            length => length,
        };
        let now = Instant::now();
        Ok(Self {
            source,
            output,
            control,
            progress,
            options,
            engine,
            reader,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            tally: Tally::new(),
            due: Due::new(options.rotation, most_of_packet),
            started: now,
            drops_asked: now,
        })
    }

    /// Records until it is to stop, and ends the last section. Says what it came to, also when it failed.
    pub fn run(mut self) -> (Outcome, Tally, Result<(), RecordError>) {
        let mut result = self.record();
        let elapsed = self.started.elapsed();
        // An output that failed takes no more; else what is there is brought to a proper end.
        if !matches!(result, Err(RecordError::Output(_))) {
            self.control.stop();
            let closed = self.end_section();
            result = result.and(closed);
        }
        self.progress.erase();
        self.output.finish(self.control);
        let outcome = Outcome {
            elapsed,
            files: self.output.names(),
            written: self.output.written(),
            compressed: self.output.report().map_or(0, |report| report.compressed_bytes),
            engine: self.engine.statistics(),
            reader: self.engine.reader_statistics(self.reader).unwrap_or_default(),
        };
        self.engine.detach(self.reader);
        (outcome, self.tally, result)
    }

    fn record(&mut self) -> Result<(), RecordError> {
        self.drain()?;
        self.due.begin(self.output.file_bytes());
        while self.control.stopping().is_none() {
            if self.remaining() == Some(0) {
                return Ok(());
            }
            self.step(self.due.wait_at_most(self.control.wait_at_most(WAIT)))?;
            let asked = self.control.take_restart();
            if asked && self.progress.hung_up() {
                return Ok(());
            }
            if asked || self.due.now(self.output.file_bytes()) {
                self.next_file()?;
            }
        }
        self.catch_up()
    }

    /// Ends the file, and begins the next one with a section that stands alone.
    fn next_file(&mut self) -> Result<(), RecordError> {
        match self.end_section() {
            Err(RecordError::Restart(error)) => {
                // Nothing is lost if the section just goes on.
                tracing::warn!("no new file: {error}");
                self.due.postpone();
                return Ok(());
            }
            ended => ended?,
        }
        self.output.rotate(self.source.now())?;
        tracing::info!("recording goes on in {}", self.output.name());
        self.drain()?;
        self.due.begin(self.output.file_bytes());
        Ok(())
    }

    /// Takes one batch from the source to the output. Says how many records it was, and the latest time in it.
    fn step(&mut self, wait: Duration) -> Result<(usize, u64), RecordError> {
        // A record is at most one packet, so the count is never exceeded; nor is the file's size.
        let most = self.remaining().and_then(|n| usize::try_from(n).ok()).map_or(BATCH, |n| n.min(BATCH));
        let most = self.due.room(self.output.file_bytes()).map_or(most, |room| most.min(room.max(1)));
        let engine = &mut self.engine;
        let mut latest = 0;
        let mut sink = |event: Event<'_>| {
            latest = latest.max(event.at());
            let _ = engine.handle(&event);
        };
        let taken = self.source.poll(wait, most, &mut sink).map_err(RecordError::Source)?;
        if self.drops_asked.elapsed() >= DROPS_EVERY {
            self.drops_asked = Instant::now();
            self.report_drops()?;
            self.output.check()?;
        }
        self.drain()?;
        self.progress.update(|| {
            let engine = self.engine.statistics();
            let ring = self.engine.reader_statistics(self.reader).unwrap_or_default().dropped_by_ring;
            progress_line(
                self.started.elapsed(),
                &self.tally,
                engine.dropped_by_source.packets + ring.packets + engine.lost.packets,
                self.output.name(),
            )
        });
        Ok((taken, latest))
    }

    /// Collects what happened before the stop and is still in the source's buffer.
    fn catch_up(&mut self) -> Result<(), RecordError> {
        let (stop, now) = (Instant::now(), self.source.now());
        while self.remaining() != Some(0) && stop.elapsed() < CATCH_UP {
            let (taken, latest) = self.step(Duration::ZERO)?;
            if taken == 0 || latest >= now {
                break;
            }
            if self.due.now(self.output.file_bytes()) {
                self.next_file()?;
            }
        }
        Ok(())
    }

    /// Packets still to be recorded, if they are counted.
    fn remaining(&self) -> Option<u64> {
        self.options.count.map(|count| count.get().saturating_sub(self.tally.total.packets()))
    }

    fn report_drops(&mut self) -> Result<(), RecordError> {
        let drops = self.source.drops().map_err(RecordError::Source)?;
        self.engine.report_source_drops(drops);
        Ok(())
    }

    /// Ends the section at this moment, with its statistics, and writes it out.
    fn end_section(&mut self) -> Result<(), RecordError> {
        self.report_drops()?;
        self.engine.mark_restart(self.reader, self.source.now())?;
        self.drain()
    }

    /// Writes and counts whatever waits for the reader, up to the section's end.
    fn drain(&mut self) -> Result<(), RecordError> {
        loop {
            match self.engine.read(self.reader, &mut self.buffer[self.filled..], self.source.now())? {
                Read::Bytes(count) => self.filled += count,
                Read::Empty | Read::SectionEnd => return Ok(()),
            }
            let whole = blocks::whole(&self.buffer[..self.filled]);
            if whole == 0 && self.filled == self.buffer.len() {
                // A block larger than the buffer; the format bounds it.
                self.buffer.resize(self.buffer.len() * 2, 0);
                continue;
            }
            let before = self.output.written();
            let written = self.output.write(&self.buffer[..whole], self.control);
            // Of a write that failed, the tally takes what is in the file.
            let kept = usize::try_from(self.output.written() - before).unwrap_or(whole).min(whole);
            self.tally.add(&self.buffer[..kept]);
            written?;
            self.buffer.copy_within(whole..self.filled, 0);
            self.filled -= whole;
        }
    }
}

fn progress_line(elapsed: Duration, tally: &Tally, dropped: u64, file: &str) -> String {
    format!(
        "{}   {}   {}   {} dropped   {file}",
        text::duration(elapsed),
        text::counted(tally.total.packets(), "packet"),
        text::bytes(tally.total.bytes()),
        text::thousands(dropped),
    )
}
