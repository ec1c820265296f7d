//! What is missing from a recording, and how that is found out of the service's statistics.

use std::time::{Duration, Instant};

use hone_api::Statistics;
use hone_engine::PerKind;

/// How often the service's statistics are asked for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is missing from a recording, by where it was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lost between kernel and engine.
    pub by_source: PerKind,
    /// Lost in the reader's ring buffer.
    pub by_ring: PerKind,
    /// Not recorded by the engine, for lack of memory.
    pub by_engine: PerKind,
    /// The service's, and not this process's own.
    pub of_service: bool,
}

impl Losses {
    /// Packets among it.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.by_source.packets + self.by_ring.packets + self.by_engine.packets
    }

    /// The sum of both; of the later one's service.
    #[must_use]
    fn plus(&self, later: &Self) -> Self {
        Self {
            by_source: self.by_source.plus(later.by_source),
            by_ring: self.by_ring.plus(later.by_ring),
            by_engine: self.by_engine.plus(later.by_engine),
            of_service: later.of_service,
        }
    }

    /// What a service's reader missed between two looks at the statistics: when it attached, and later.
    #[must_use]
    fn between(attached: &Statistics, latest: &Statistics) -> Self {
        Self {
            by_source: latest.dropped_by_source.minus(attached.dropped_by_source),
            by_ring: latest.reader.dropped,
            by_engine: latest.lost.minus(attached.lost),
            of_service: true,
        }
    }
}

/// The statistics of the service that a feed reads from.
#[derive(Debug)]
pub(crate) struct ServiceStatistics {
    attached: Statistics,
    latest: Statistics,
    asked: Instant,
    /// What earlier attachments missed.
    before: Losses,
}

impl ServiceStatistics {
    /// What they were when the reader attached.
    pub(crate) fn new(attached: Statistics) -> Self {
        Self { attached, latest: attached, asked: Instant::now(), before: Losses::default() }
    }

    /// The reader has attached anew, to a service with these statistics.
    #[cfg_attr(windows, allow(dead_code, reason = "a reader of the driver attaches once"))]
    pub(crate) fn reattached(&mut self, attached: Statistics) {
        self.before = self.losses();
        (self.attached, self.latest) = (attached, attached);
    }

    /// Whether it is time to ask for them; if so, that is taken as done.
    pub(crate) fn take_due(&mut self) -> bool {
        let is_due = self.asked.elapsed() >= ASK_EVERY;
        if is_due {
            self.asked = Instant::now();
        }
        is_due
    }

    /// Takes in newer ones.
    pub(crate) fn update(&mut self, latest: Statistics) {
        self.latest = latest;
    }

    /// Whether packets waited for their owners, by the latest ones.
    pub(crate) fn holds_packets(&self) -> bool {
        self.latest.held.waiting > 0
    }

    /// What this recording misses so far.
    pub(crate) fn losses(&self) -> Losses {
        self.before.plus(&Losses::between(&self.attached, &self.latest))
    }
}
