//! Bounds of what comes from outside. An engine may be configured with tighter ones; these hold whatever it says.

/// Longest snap length that cuts anything, bytes: no more is kept of a packet, as common readers of the file accept no
/// longer one.
pub const MAX_SNAP_LENGTH: u32 = 262_144;

/// Most ids in one list of a filter. Hone's own; the original has no bound.
pub const MAX_FILTER_IDS: usize = 4096;
/// Most records in one list of open connections. Hone's own; the original has no bound.
pub const MAX_OPEN_CONNECTIONS: usize = 65_536;

/// Most bytes of a selection's text form, apart from its flag for descendants.
pub const MAX_SELECTION_BYTES: usize = 16 << 10;

/// Smallest ring buffer of a reader, bytes ("Setting the Driver Ring Buffer Size").
pub const MIN_RING_BYTES: u32 = 1024;
/// Ring buffer of a reader unless set, bytes: 4 pages.
pub const DEFAULT_RING_BYTES: u32 = 16_384;
/// Largest ring buffer that the original allows, bytes: 32 pages.
pub const MAX_RING_BYTES: u32 = 131_072;
/// Largest ring buffer that a request may name at all, bytes. Hone's own: a service that does not take its rings from
/// scarce kernel memory may allow more than [`MAX_RING_BYTES`], and refuses what is more than it allows.
pub const HARD_MAX_RING_BYTES: u32 = 16 << 20;
