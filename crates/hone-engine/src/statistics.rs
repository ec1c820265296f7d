//! The engine's counts. Every number has 64 bits. A number only grows, unless its comment calls it a level.

use hone_types::{PerKind, SnapLength};

use crate::{Method, Nanos, NoOwner};

/// The kind of a block. A snapshot sorts events of the same time in the order of these variants.
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
    /// How much of `bound` this kind may fill. Packets may fill all but an eighth, which is left to the other kinds. A
    /// lost packet is only one packet, but without a process or connection event all packets after it are harder to
    /// explain.
    pub(crate) const fn share(self, bound: usize) -> usize {
        match self {
            Self::Packet => bound - bound / 8,
            Self::Frame | Self::Interface | Self::Process | Self::Connection => bound,
        }
    }

    /// Adds one to this kind's number; does nothing for a kind that is not counted.
    pub(crate) const fn count(self, counts: &mut PerKind) {
        if let Some(count) = self.of(counts) {
            *count += 1;
        }
    }

    /// For a level: subtracts what [`count`](Self::count) added.
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

/// Running totals of the events that the platform lost before they reached the engine.
pub type SourceDrops = PerKind;

/// The engine's counts since it was made, and its levels now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// When the sensor was loaded: [`Config::loaded`](crate::Config::loaded).
    pub loaded: Nanos,
    /// Nanoseconds during which at least one reader was attached, up to the latest time reported to the engine.
    pub logging_time: Nanos,
    /// Events reported to the engine.
    pub received: PerKind,
    /// Events in `received` that report a start, a fork or an execution of a process.
    pub process_starts: u64,
    /// Events in `received` that report the end of a process.
    pub process_ends: u64,
    /// Events in `received` that report the opening of a connection.
    pub connection_opens: u64,
    /// Events in `received` that report the closing of a connection. May exceed `connection_opens`, as a platform may
    /// report the same closing several times.
    pub connection_closes: u64,
    /// Bytes on the wire of the packets received.
    pub packet_bytes: u64,
    /// Events that the platform lost: the totals that were reported last.
    pub dropped_by_source: PerKind,
    /// Packets that the platform left out because no reader wants them, as reported last. They are not in `received`.
    pub filtered_by_source: u64,
    /// Events that the engine could not record: no memory, or a full table.
    pub lost: PerKind,
    /// Events that were not recorded because they report nothing new, or are about a process or connection that the
    /// engine does not know.
    pub ignored: PerKind,
    /// Open connections that were recorded as closed without a report of it:
    /// [`Config::connection_silence`](crate::Config::connection_silence) has passed, or
    /// [`Config::orphan_silence`](crate::Config::orphan_silence), or the table was full.
    pub forgotten: u64,
    /// Packets recorded without an open event of their connection: there was no memory or no room in the table for it.
    pub unopened: u64,
    /// Packets with a process, by the method. `methods`, `no_owner` and `held` add up to all packets received.
    pub methods: Methods,
    /// Packets without a process, by the reason.
    pub no_owner: NoOwners,
    /// Packets that were ever held: the sum of the next three.
    pub held_total: u64,
    /// Packets that were held and then queued with a process.
    pub held_attributed: u64,
    /// Packets that were held and then queued without a process.
    pub held_unattributed: u64,
    /// Level: packets held.
    pub held: u64,
    /// Level: bytes that the held packets take, including their slots.
    pub held_bytes: u64,
    /// Level: running processes.
    pub processes: u64,
    /// Level: open connections.
    pub connections: u64,
    /// Level: processes in the table, including ended ones that linger.
    pub known_processes: u64,
    /// Level: connections in the table, including closed ones that linger.
    pub known_connections: u64,
    /// Level: readers attached.
    pub readers: u64,
    /// Readers that were ever attached.
    pub readers_total: u64,
    /// Level: size of the ring buffer for readers that ask for no size, bytes.
    pub ring_bytes: u64,
    /// Level: longest snap length of all readers; also [`SnapLength::ALL`] if no reader is attached.
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
    /// Packets attributed to a process by `method`.
    #[must_use]
    pub const fn get(&self, method: Method) -> u64 {
        self.0[method.index()]
    }

    /// Packets attributed to a process, by any method.
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

    /// Packets without a process, for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: NoOwner) {
        self.0[reason.index()] += 1;
    }
}

/// One reader's counts since it was attached, and its levels now. For each kind,
/// `received = delivered + dropped_by_ring + filtered + queued`. The blocks of snapshots are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderStatistics {
    /// The reader's number: [`ReaderId::get`](crate::ReaderId::get).
    pub id: u64,
    /// When the reader was attached.
    pub attached: Nanos,
    /// Blocks that were to be queued for the reader.
    pub received: PerKind,
    /// Blocks read to their end.
    pub delivered: PerKind,
    /// Blocks dropped because the reader's ring buffer was full.
    pub dropped_by_ring: PerKind,
    /// Blocks that the reader's filters and selection left out, and packets that the platform left out: always packets.
    pub filtered: PerKind,
    /// Level: blocks waiting in the ring buffer.
    pub queued: PerKind,
    /// Level: bytes of the blocks waiting in the ring buffer.
    pub queued_bytes: u64,
    /// Most blocks that the ring buffer holds.
    pub ring_slots: u64,
    /// Size of the ring buffer, bytes.
    pub ring_bytes: u64,
    /// Most bytes of each packet's data.
    pub snap_length: SnapLength,
}
