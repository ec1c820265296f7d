//! Where the recording loop gets its blocks from: an engine in this process, which a source feeds, or the service
//! ([`crate::remote`]). The loop is the same.

use std::time::{Duration, Instant};

use hone_api::Statistics;
use hone_engine::{
    Config, Engine, Event, MAX_PACKET_BYTES, Nanos, PerKind, RING_SLOT_BYTES, Read, ReaderId, ReaderOptions,
    SectionInfo,
};

use crate::record::control::Control;
use crate::record::recorder::RecordError;
use crate::record::source::Source;

/// Most records taken from the source before the reader is drained. Few enough that even the largest packets fit into
/// the reader's ring, and that usual ones are still in the processor's cache when they are written.
const BATCH: usize = 256;
/// How often the source's drops are asked for.
const DROPS_EVERY: Duration = Duration::from_millis(100);
/// The reader's ring buffer, in blocks and in bytes of blocks: more than a batch, so that it never overflows.
const RING_BYTES: usize = 131_072 * RING_SLOT_BYTES;
const PINNED_BYTES: usize = 128 << 20;
const _: () = assert!(BATCH * (MAX_PACKET_BYTES as usize) <= PINNED_BYTES / 2);

/// What one round brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Whether nothing more waits.
    pub all: bool,
    /// The latest time among it; 0: not known.
    pub latest: Nanos,
}

/// What is missing from a recording, by where it was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Lost between kernel and engine.
    pub by_source: PerKind,
    /// Lost in the reader's ring buffer.
    pub by_ring: PerKind,
    /// Not recorded by the engine, for lack of memory.
    pub by_engine: PerKind,
    /// The service's, and not this process's own.
    pub of_service: bool,
}

impl Account {
    /// What a service's reader missed between two looks at the statistics: at its beginning, and later.
    #[must_use]
    pub fn between(began: &Statistics, counted: &Statistics) -> Self {
        Self {
            by_source: counted.dropped_by_source.minus(began.dropped_by_source),
            by_ring: counted.reader.dropped,
            by_engine: counted.lost.minus(began.lost),
            of_service: true,
        }
    }

    /// The sum of both; of the later one's service.
    #[must_use]
    pub fn plus(&self, later: &Self) -> Self {
        Self {
            by_source: self.by_source.plus(later.by_source),
            by_ring: self.by_ring.plus(later.by_ring),
            by_engine: self.by_engine.plus(later.by_engine),
            of_service: later.of_service,
        }
    }

    /// Packets among it.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.by_source.packets + self.by_ring.packets + self.by_engine.packets
    }
}

/// A stream of blocks that one reader reads.
pub trait Feed {
    /// How long after a stop what happened before it is still collected.
    const CATCH_UP: Duration;

    /// Brings in what happened, at most about `most` records, waiting up to `wait` if there is nothing.
    ///
    /// # Errors
    /// The source or the service fails.
    fn fetch(&mut self, wait: Duration, most: usize) -> Result<Fetched, RecordError>;

    /// Reads blocks, in any portions. Before a round's end [`Read::Empty`] comes.
    ///
    /// # Errors
    /// The service fails, or Hone has a fault.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError>;

    /// Ends the section behind what waits; then the reads come to [`Read::SectionEnd`].
    ///
    /// # Errors
    /// [`RecordError::Restart`] if the section just goes on, or the service fails.
    fn end_section(&mut self) -> Result<(), RecordError>;

    /// Whether packets are held back that wait for their owners, as the recording ends. What can be let go at once, is.
    fn holds_back(&mut self) -> bool;

    /// The time by the clock of the blocks.
    fn now(&self) -> Nanos;

    /// What is missing so far.
    fn account(&mut self) -> Account;

    /// Packets missing so far; cheap.
    fn dropped_packets(&mut self) -> u64 {
        self.account().packets()
    }

    /// Whether there is a section that can be ended.
    fn is_attached(&self) -> bool {
        true
    }

    /// After `error`: waits until the stream begins anew, with a section of its own. False: it is to stop.
    ///
    /// # Errors
    /// `error`, if the stream doesn't come back, or what it met instead.
    fn reattach(&mut self, error: RecordError, control: &mut Control) -> Result<bool, RecordError> {
        let _ = control;
        Err(error)
    }
}

/// The engine in this process.
#[derive(Debug)]
pub struct Local<'a, S> {
    source: &'a mut S,
    engine: Engine,
    reader: ReaderId,
    drops_asked: Instant,
}

impl<'a, S: Source> Local<'a, S> {
    /// Collects the state of the host and attaches the reader: from here on, what happens is recorded.
    ///
    /// # Errors
    /// The source fails, or there is no memory.
    pub fn start(source: &'a mut S, section: SectionInfo, snap_length: u32) -> Result<Self, RecordError> {
        let mut engine = Engine::new(Config { section, max_ring_bytes: RING_BYTES, ..Config::default() })?;
        // What cannot be recorded is counted by the engine, and told in the summary.
        let mut sink = |event: Event<'_>| {
            let _ = engine.restate(&event);
        };
        source.restate(&mut sink).map_err(RecordError::Source)?;
        let options = ReaderOptions { ring_bytes: Some(RING_BYTES), pinned_bytes: PINNED_BYTES, snap_length };
        let reader = engine.attach(&options, source.now())?;
        Ok(Self { source, engine, reader, drops_asked: Instant::now() })
    }

    fn report_drops(&mut self) -> Result<(), RecordError> {
        let drops = self.source.drops().map_err(RecordError::Source)?;
        self.engine.report_source_drops(drops);
        Ok(())
    }
}

impl<S: Source> Feed for Local<'_, S> {
    const CATCH_UP: Duration = Duration::from_secs(20);

    fn fetch(&mut self, wait: Duration, most: usize) -> Result<Fetched, RecordError> {
        let engine = &mut self.engine;
        let mut latest = 0;
        let mut sink = |event: Event<'_>| {
            latest = latest.max(event.at());
            let _ = engine.handle(&event);
        };
        let before = self.source.now();
        let taken = self.source.poll(wait, most.min(BATCH), &mut sink).map_err(RecordError::Source)?;
        if self.drops_asked.elapsed() >= DROPS_EVERY {
            self.drops_asked = Instant::now();
            self.report_drops()?;
        }
        if taken == 0 {
            self.engine.tick(before);
        }
        Ok(Fetched { all: taken == 0, latest })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Read, RecordError> {
        Ok(self.engine.read(self.reader, buffer, self.source.now())?)
    }

    fn end_section(&mut self) -> Result<(), RecordError> {
        self.report_drops()?;
        Ok(self.engine.mark_restart(self.reader, self.source.now())?)
    }

    fn holds_back(&mut self) -> bool {
        self.engine.flush_held();
        false
    }

    fn now(&self) -> Nanos {
        self.source.now()
    }

    fn account(&mut self) -> Account {
        let engine = self.engine.statistics();
        let reader = self.engine.reader_statistics(self.reader).unwrap_or_default();
        Account {
            by_source: engine.dropped_by_source,
            by_ring: reader.dropped_by_ring,
            by_engine: engine.lost,
            of_service: false,
        }
    }
}
