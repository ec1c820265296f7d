//! One number for each kind of block.

/// One number for each kind of block that Hone counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerKind {
    /// Packets.
    pub packets: u64,
    /// Process events.
    pub processes: u64,
    /// Connection events.
    pub connections: u64,
}

impl PerKind {
    /// The sums, at most `u64::MAX` each.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The differences, at least 0 each.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            packets: with(self.packets, other.packets),
            processes: with(self.processes, other.processes),
            connections: with(self.connections, other.connections),
        }
    }
}
