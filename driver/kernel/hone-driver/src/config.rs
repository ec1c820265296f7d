//! The driver's bounds. Non-paged memory is scarce, so they are tighter than the engine's defaults.

use hone_engine::{Config, MAX_RING_BYTES, Nanos, SectionInfo};

/// Most bytes that one read gives, whatever the size of the caller's buffer: this is copied under the lock. More than the
/// largest block that the driver makes, so that every read with such a buffer ends at the end of a block.
pub const READ_BYTES: usize = 512 << 10;
/// Most processes known at once.
pub const MAX_PROCESSES: u32 = 16_384;
/// Most connections known at once.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Most bytes of blocks in memory.
pub const MAX_BLOCK_BYTES: usize = 64 << 20;

/// Most bytes of blocks that wait for one reader.
const MAX_PINNED_BYTES: usize = 16 << 20;

/// The engine's configuration.
pub(crate) fn engine(section: SectionInfo, loaded: Nanos) -> Config {
    Config {
        section,
        loaded,
        max_processes: MAX_PROCESSES,
        max_connections: MAX_CONNECTIONS,
        max_ring_bytes: MAX_RING_BYTES,
        max_block_bytes: MAX_BLOCK_BYTES,
        max_open_connections: 8192,
        reserve: true,
        ..Config::default()
    }
}

/// Bytes of blocks that may wait for each of `readers` readers: what is not left to tables and sections is shared out
/// evenly, so that a reader that does not read uses up nobody else's room.
pub(crate) fn pinned_bytes(readers: usize) -> usize {
    (MAX_BLOCK_BYTES / 8 * 5 / readers.max(1)).min(MAX_PINNED_BYTES)
}
