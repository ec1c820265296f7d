//! What a reader counts.

use crate::PerKind;

/// Totals since the reader was attached, or, as a difference, those of one section.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) received: PerKind,
    pub(crate) delivered: PerKind,
    pub(crate) dropped_by_ring: PerKind,
    pub(crate) filtered: PerKind,
    /// What the platform and the engine lost before it could be queued for any reader.
    pub(crate) dropped_before: PerKind,
}

impl Totals {
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            received: self.received.minus(other.received),
            delivered: self.delivered.minus(other.delivered),
            dropped_by_ring: self.dropped_by_ring.minus(other.dropped_by_ring),
            filtered: self.filtered.minus(other.filtered),
            dropped_before: self.dropped_before.minus(other.dropped_before),
        }
    }
}
