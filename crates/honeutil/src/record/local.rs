//! The engine in this process as a feed: a source's events go in, blocks come out.

use std::time::{Duration, Instant};

use hone_engine::{
    Config, Engine, Event, MAX_PACKET_BYTES, Nanos, RING_SLOT_BYTES, Read, ReaderId, ReaderOptions,
    SectionInfo,
};
use hone_queue::pace::{BATCH, DROPS_EVERY};
use hone_queue::{selects_processes, wanted_tests};
use hone_select::Selection;

use super::error::RecordError;
use super::feed::{Feed, Fetched};
use super::losses::Losses;
use super::source::Source;
use super::wanted::Wanted;

/// The reader's ring buffer, in blocks and in bytes of blocks: more than a batch, so that it never overflows.
const RING_BYTES: usize = 131_072 * RING_SLOT_BYTES;
const PINNED_BYTES: usize = 128 << 20;
const _: () = assert!(BATCH * (MAX_PACKET_BYTES as usize) <= PINNED_BYTES / 2);

/// The engine in this process.
#[derive(Debug)]
pub struct Local<S> {
    source: S,
    engine: Engine,
    reader: ReaderId,
    drops_asked: Instant,
}

impl<S: Source> Local<S> {
    /// Collects the state of the host and attaches the reader: from here on, what happens is recorded.
    ///
    /// # Errors
    /// The source fails, or there is no memory.
    pub fn start(mut source: S, section: SectionInfo, wanted: &Wanted) -> Result<Self, RecordError> {
        let mut engine = Engine::new(Config { section, max_ring_bytes: RING_BYTES, ..Config::default() })?;
        // The engine counts what it cannot record, and the summary shows it.
        let mut sink = |event: Event<'_>| {
            let _ = engine.restate(&event);
        };
        source.restate(&mut sink).map_err(RecordError::Source)?;
        let snap_length = wanted.snap_length;
        let options = ReaderOptions { ring_bytes: Some(RING_BYTES), pinned_bytes: PINNED_BYTES, snap_length };
        let reader = engine.attach(&options, source.now())?;
        if !wanted.selection.is_empty() {
            select(&mut engine, reader, &mut source, &wanted.selection)?;
        }
        if wanted.packet_ids {
            // It was attached just now.
            let _ = engine.set_packet_ids(reader, true);
        }
        Ok(Self { source, engine, reader, drops_asked: Instant::now() })
    }

    fn report_drops(&mut self) -> Result<(), RecordError> {
        let drops = self.source.drops().map_err(RecordError::Source)?;
        self.engine.report_source_drops(drops);
        // Where the kernel has no memory for a moment, the next time tells.
        if let Ok(left_out) = self.source.left_out() {
            self.engine.report_filtered_by_source(left_out);
        }
        Ok(())
    }
}

/// Selects in the engine, and in the source as far as that can.
fn select(
    engine: &mut Engine,
    reader: ReaderId,
    source: &mut impl Source,
    text: &[u8],
) -> Result<(), RecordError> {
    let now = source.now();
    engine.set_selection(reader, &mut Some(Selection::parse(text)?), now)?;
    let tests = wanted_tests(engine);
    let by_process = selects_processes(engine);
    if let Err(error) = source.select(tests.as_deref().ok().or(by_process.then_some(&[]))) {
        tracing::warn!("{error}; what is not wanted is left out behind the kernel's buffer");
    }
    if by_process {
        engine.for_each_process(|process| {
            if !engine.may_want(process) {
                source.set_process(process, true);
            }
        });
    }
    Ok(())
}

impl<S: Source> Feed for Local<S> {
    fn catch_up_time(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn fetch(&mut self, wait: Duration, most: usize) -> Result<Fetched, RecordError> {
        self.source.announce(self.engine.wants_expected());
        let engine = &mut self.engine;
        let (mut latest, mut started) = (0, Vec::new());
        let mut sink = |event: Event<'_>| {
            latest = latest.max(event.at());
            if let Event::ProcessStarted(start) = &event {
                started.push(start.process);
            }
            let _ = engine.handle(&event);
        };
        let before = self.source.now();
        let taken = self.source.poll(wait, most.min(BATCH), &mut sink).map_err(RecordError::Source)?;
        if selects_processes(&self.engine) {
            for process in started {
                self.source.set_process(process, !self.engine.may_want(process));
            }
        }
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

    fn set_selection(&mut self, text: &[u8]) -> Result<(), RecordError> {
        select(&mut self.engine, self.reader, &mut self.source, text)
    }

    fn now(&self) -> Nanos {
        self.source.now()
    }

    fn losses(&mut self) -> Losses {
        let engine = self.engine.statistics();
        let reader = self.engine.reader_statistics(self.reader).unwrap_or_default();
        Losses {
            by_source: engine.dropped_by_source,
            by_ring: reader.dropped_by_ring,
            by_engine: engine.lost,
            left_out: reader.filtered.packets,
            left_out_in_kernel: engine.filtered_by_source,
            of_service: false,
        }
    }
}
