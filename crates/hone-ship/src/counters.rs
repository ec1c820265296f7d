//! What is counted, for metrics. Each thread counts what it does; [`crate::metrics`] writes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters, since this program was started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Whether honed sends its stream now.
    pub is_attached: AtomicBool,
    /// How often honed began its stream.
    pub attachments: Counter,
    /// Bytes from honed.
    pub received_bytes: Counter,
    /// Of these, bytes that were thrown away, because the spool was full or could not be written.
    pub dropped_bytes: Counter,
    /// Segments that were thrown away before they became batches.
    pub dropped_segments: Counter,
    /// Batches that were thrown away before they were delivered, and their rows.
    pub dropped_batches: Counter,
    /// See `dropped_batches`.
    pub dropped_rows: Counter,
    /// Segments or batches that are damaged, and were set aside.
    pub damaged: Counter,
    /// Batches that were made.
    pub made_batches: Counter,
    /// Batches, rows and bytes that the destination has.
    pub delivered_batches: Counter,
    /// See `delivered_batches`.
    pub delivered_rows: Counter,
    /// See `delivered_batches`.
    pub delivered_bytes: Counter,
    /// Deliveries that failed, and are tried again.
    pub failed_deliveries: Counter,
    /// When the last batch was delivered, seconds since 1970-01-01 UTC; 0: none.
    pub last_delivery: AtomicU64,
    problems: Mutex<[Option<String>; Part::ALL.len()]>,
}

/// What has a problem. Each is noted, and said to be fine again, by one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The stream of honed.
    Honed,
    /// The spool, for what is recorded.
    Spool,
    /// The making of batches.
    Batches,
    /// The destination.
    Destination,
    /// The file of metrics.
    Metrics,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Honed, Self::Spool, Self::Batches, Self::Destination, Self::Metrics];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Honed => "honed",
            Self::Spool => "spool",
            Self::Batches => "batches",
            Self::Destination => "destination",
            Self::Metrics => "metrics",
        }
    }
}

impl Counters {
    fn noted(&self) -> MutexGuard<'_, [Option<String>; Part::ALL.len()]> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a problem that lasts, and logs it if it is another one than before.
    pub fn problem(&self, part: Part, text: &str) {
        let mut problems = self.noted();
        let known = &mut problems[part as usize];
        // Times, numbers of batches and the like differ from one try to the next.
        let same =
            |text: &str| text.split(|char: char| char.is_ascii_digit() || char == '.').collect::<String>();
        if known.as_deref().map(same) != Some(same(text)) {
            tracing::warn!("{text}");
        }
        *known = Some(text.to_owned());
    }

    /// The problem has passed.
    pub fn is_fine(&self, part: Part) {
        if self.noted()[part as usize].take().is_some() {
            tracing::info!("{}: the problem has passed", part.name());
        }
    }

    /// The problems of now.
    #[must_use]
    pub fn problems(&self) -> Vec<(Part, String)> {
        let problems = self.noted();
        let found = Part::ALL.into_iter().zip(problems.iter());
        found.filter_map(|(part, text)| Some((part, text.clone()?))).collect()
    }
}
