//! Bounds of what comes from outside. An engine may be configured with tighter ones; these hold whatever it says.

use crate::{ConnectionRecord, Fixed};

/// Most ids in one list of a filter. Hone's own; the original has no bound.
pub const MAX_FILTER_IDS: usize = 4096;
/// Most records in one list of open connections. Hone's own; the original has no bound.
pub const MAX_OPEN_CONNECTIONS: usize = 65_536;
/// Longest snap length that cuts anything, bytes: no packet is kept beyond it, so a longer one means "all there is".
pub const MAX_SNAP_LENGTH: u32 = 262_144;

/// Smallest ring buffer of a reader, bytes ("Setting the Driver Ring Buffer Size").
pub const MIN_RING_BYTES: u32 = 1024;
/// Ring buffer of a reader unless set, bytes: 4 pages.
pub const DEFAULT_RING_BYTES: u32 = 16_384;
/// Largest ring buffer that the original allows, bytes: 32 pages.
pub const MAX_RING_BYTES: u32 = 131_072;
/// Largest ring buffer that a request may name at all, bytes. Hone's own: a service that does not take its rings from
/// scarce kernel memory may allow more than [`MAX_RING_BYTES`], and refuses what is more than it allows.
pub const HARD_MAX_RING_BYTES: u32 = 16 << 20;

/// Longest input of any request, bytes: a full list of open connections.
pub const MAX_INPUT_BYTES: usize = 4 + MAX_OPEN_CONNECTIONS * <ConnectionRecord as Fixed>::LENGTH;
