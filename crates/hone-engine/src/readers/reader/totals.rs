//! The totals that a reader counts.

use crate::PerKind;

/// Totals since the reader was attached; as a difference of two, the totals of one section.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) received: PerKind,
    pub(crate) delivered: PerKind,
    pub(crate) dropped_by_ring: PerKind,
    pub(crate) filtered: PerKind,
    /// Events that the platform or the engine lost before they could be queued for any reader.
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
