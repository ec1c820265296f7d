//! What is counted. Every number is 64 bits wide and only grows, unless it says that it is a level.

use hone_types::{PerKind, SnapLength};

use crate::{Method, Nanos, NoOwner};

/// What a block is about. The order is that of a snapshot's events at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A section header or statistics block: not counted.
    Frame,
    /// An interface block: not counted.
    Interface,
    Process,
    Connection,
    Packet,
}

impl Kind {
    /// How much of `bound` this kind may fill. Packets leave an eighth to the rest: a lost packet is one packet, but a
    /// lost process or connection event makes all packets after it harder to explain.
    pub(crate) const fn share(self, bound: usize) -> usize {
        match self {
            Self::Packet => bound - bound / 8,
            Self::Frame | Self::Interface | Self::Process | Self::Connection => bound,
        }
    }

    /// Adds one to this kind's number.
    pub(crate) const fn count(self, counts: &mut PerKind) {
        if let Some(count) = self.of(counts) {
            *count += 1;
        }
    }

    /// For a level: takes back what [`count`](Self::count) added.
    pub(crate) const fn uncount(self, counts: &mut PerKind) {
        if let Some(count) = self.of(counts) {
            *count -= 1;
        }
    }

    const fn of(self, counts: &mut PerKind) -> Option<&mut u64> {
        match self {
            Self::Frame | Self::Interface => None,
            Self::Process => Some(&mut counts.processes),
            Self::Connection => Some(&mut counts.connections),
            Self::Packet => Some(&mut counts.packets),
        }
    }
}

/// Running totals of what the platform lost before the engine saw it.
pub type SourceDrops = PerKind;

/// What the engine has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// When the sensor was loaded: [`Config::loaded`](crate::Config::loaded).
    pub loaded: Nanos,
    /// How long at least one reader has been attached, nanoseconds, up to the latest time the engine was told.
    pub logging_time: Nanos,
    /// Events handed over to the engine.
    pub received: PerKind,
    /// Of those, starts, forks and executions of processes.
    pub process_starts: u64,
    /// Of those, ends of processes.
    pub process_ends: u64,
    /// Of those, openings of connections.
    pub connection_opens: u64,
    /// Of those, closings of connections. May exceed the openings: a platform may tell of one closing several times.
    pub connection_closes: u64,
    /// Bytes on the wire of the packets received.
    pub packet_bytes: u64,
    /// Events that the platform lost, as last reported.
    pub dropped_by_source: PerKind,
    /// Events that the engine could not record: no memory, or a full table.
    pub lost: PerKind,
    /// Events that say nothing new, or are about something the engine no longer or never knew; not recorded.
    pub ignored: PerKind,
    /// Packets recorded with a connection of which no open event could be recorded.
    pub unopened: u64,
    /// Packets with a process, by how it is known. These, those without and those held now are all packets received.
    pub methods: Methods,
    /// Packets without a process, by the reason.
    pub no_owner: NoOwners,
    /// Packets held ever until somebody should name their process: the sum of the next three.
    pub held_total: u64,
    /// Packets held and released with a process.
    pub held_attributed: u64,
    /// Packets held and released without a process.
    pub held_unattributed: u64,
    /// Level: packets held.
    pub held: u64,
    /// Level: bytes of the packets held and what surrounds them.
    pub held_bytes: u64,
    /// Level: running processes.
    pub processes: u64,
    /// Level: open connections.
    pub connections: u64,
    /// Level: readers attached.
    pub readers: u64,
    /// Readers attached ever.
    pub readers_total: u64,
    /// Level: ring buffer of readers that attach now and do not ask for a size, bytes.
    pub ring_bytes: u64,
    /// Level: longest snap length of any reader; [`SnapLength::ALL`] if there is none.
    pub snap_length: SnapLength,
    /// Level: blocks in memory.
    pub blocks: u64,
    /// Level: bytes of blocks in memory, spare buffers included.
    pub block_bytes: u64,
}

/// Packets by [`Method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Methods([u64; Method::ALL.len()]);

impl Methods {
    /// Packets whose process is known by `method`.
    #[must_use]
    pub const fn get(&self, method: Method) -> u64 {
        self.0[method.index()]
    }

    /// Packets whose process is known.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, method: Method) {
        self.0[method.index()] += 1;
    }
}

/// Packets by [`NoOwner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoOwners([u64; NoOwner::ALL.len()]);

impl NoOwners {
    /// Packets without a process for `reason`.
    #[must_use]
    pub const fn get(&self, reason: NoOwner) -> u64 {
        self.0[reason.index()]
    }

    /// Packets without a process.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: NoOwner) {
        self.0[reason.index()] += 1;
    }
}

/// What one reader got. For each kind, received = delivered + dropped by ring + filtered + queued.
/// The state restated at the beginning of a section is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderStatistics {
    /// The reader's number: [`ReaderId::get`](crate::ReaderId::get).
    pub id: u64,
    /// When the reader was attached.
    pub attached: Nanos,
    /// Blocks offered to the reader since then.
    pub received: PerKind,
    /// Blocks read to their end.
    pub delivered: PerKind,
    /// Blocks that found the reader's ring buffer full.
    pub dropped_by_ring: PerKind,
    /// Blocks that the reader's filters left out: only ever packets.
    pub filtered: PerKind,
    /// Level: blocks waiting in the ring buffer.
    pub queued: PerKind,
    /// Level: bytes of the blocks waiting in the ring buffer.
    pub queued_bytes: u64,
    /// Blocks the ring buffer holds at most.
    pub ring_slots: u64,
    /// Size of the ring buffer, bytes.
    pub ring_bytes: u64,
    /// Most bytes of each packet's data.
    pub snap_length: SnapLength,
}
