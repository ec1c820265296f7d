//! What is missing from a recording, and how it is computed from the service's statistics.

use std::time::{Duration, Instant};

use hone_api::Statistics;
use hone_engine::PerKind;

/// How often the service's statistics are requested.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is missing from a recording, by where it was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lost between kernel and engine.
    pub by_source: PerKind,
    /// Lost in the reader's ring buffer.
    pub by_ring: PerKind,
    /// Not recorded by the engine because memory was missing.
    pub by_engine: PerKind,
    /// Packets that the selection left out. They are no loss.
    pub left_out: u64,
    /// Those of them that the kernel did not hand over at all.
    pub left_out_in_kernel: u64,
    /// Whether the losses happened in the service rather than in this process.
    pub of_service: bool,
}

impl Losses {
    /// How many packets were lost.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.by_source.packets + self.by_ring.packets + self.by_engine.packets
    }

    /// Adds both. The service is that of the later one.
    #[must_use]
    fn plus(&self, later: &Self) -> Self {
        Self {
            by_source: self.by_source.plus(later.by_source),
            by_ring: self.by_ring.plus(later.by_ring),
            by_engine: self.by_engine.plus(later.by_engine),
            left_out: self.left_out + later.left_out,
            left_out_in_kernel: self.left_out_in_kernel + later.left_out_in_kernel,
            of_service: later.of_service,
        }
    }

    /// What a service's reader lost between two statistics: when its recording began, and later.
    #[must_use]
    fn between(attached: &Statistics, latest: &Statistics) -> Self {
        let left_out = latest.reader.filtered.packets.saturating_sub(attached.reader.filtered.packets);
        Self {
            by_source: latest.dropped_by_source.minus(attached.dropped_by_source),
            by_ring: latest.reader.dropped.minus(attached.reader.dropped),
            by_engine: latest.lost.minus(attached.lost),
            left_out,
            left_out_in_kernel: latest
                .filtered_by_source
                .saturating_sub(attached.filtered_by_source)
                .min(left_out),
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
    /// What was lost during earlier attachments.
    before: Losses,
}

impl ServiceStatistics {
    /// The statistics when the reader attached.
    pub(crate) fn new(attached: Statistics) -> Self {
        Self { attached, latest: attached, asked: Instant::now(), before: Losses::default() }
    }

    /// The reader has attached anew, to a service with these statistics.
    #[cfg_attr(windows, allow(dead_code, reason = "a reader of the driver attaches once"))]
    pub(crate) fn reattached(&mut self, attached: Statistics) {
        self.before = self.losses();
        (self.attached, self.latest) = (attached, attached);
    }

    /// Whether it is time to request them. If so, the request counts as made.
    pub(crate) fn take_due(&mut self) -> bool {
        let is_due = self.asked.elapsed() >= ASK_EVERY;
        if is_due {
            self.asked = Instant::now();
        }
        is_due
    }

    /// Stores newer statistics.
    pub(crate) fn update(&mut self, latest: Statistics) {
        self.latest = latest;
    }

    /// Whether packets were held, according to the latest statistics.
    pub(crate) fn holds_packets(&self) -> bool {
        self.latest.held.waiting > 0
    }

    /// What this recording has lost so far.
    pub(crate) fn losses(&self) -> Losses {
        self.before.plus(&Losses::between(&self.attached, &self.latest))
    }
}
