//! The driver's limits. They are tighter than the engine's defaults, because non-paged memory is scarce.

use hone_api::limits::MAX_FILTER_IDS;
use hone_engine::{Config, MAX_RING_BYTES, Nanos, SectionInfo};

/// Most bytes that one read returns, whatever the size of the caller's buffer, because they are copied under the lock.
/// This is more than the largest block that the driver makes, so a read with a buffer of this size always ends at the
/// end of a block.
pub const READ_BYTES: usize = 512 << 10;
/// Most processes known at once.
pub const MAX_PROCESSES: u32 = 16_384;
/// Most connections known at once.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Most bytes of blocks in memory.
pub const MAX_BLOCK_BYTES: usize = 64 << 20;

/// Most bytes of blocks that wait for one reader.
pub(crate) const MAX_PINNED_BYTES: usize = 16 << 20;

/// Most bytes of text of all readers' selections: two of the longest.
pub(crate) const MAX_SELECTIONS_BYTES: usize = 2 * hone_api::limits::MAX_SELECTION_INPUT;

/// How long a closed connection stays known, nanoseconds. Windows reports the closure when the program closes its
/// socket. TCP goes on without the program, until the other end has acknowledged everything, and then for at most twice
/// the maximum segment lifetime of 2 minutes (RFC 9293). If many connections close, the oldest leave
/// earlier: the memory is the table's in any case.
const CONNECTION_LINGER: Nanos = 240 * 1_000_000_000;

/// Version of the driver: major, minor, micro, build.
pub(crate) const VERSION: [u16; 4] = hone_queue::version([
    env!("CARGO_PKG_VERSION_MAJOR"),
    env!("CARGO_PKG_VERSION_MINOR"),
    env!("CARGO_PKG_VERSION_PATCH"),
]);

/// The engine's configuration.
pub(crate) fn engine(section: SectionInfo, loaded: Nanos) -> Config {
    Config {
        section,
        loaded,
        max_processes: MAX_PROCESSES,
        max_connections: MAX_CONNECTIONS,
        max_ring_bytes: MAX_RING_BYTES,
        max_filter_ids: MAX_FILTER_IDS,
        max_block_bytes: MAX_BLOCK_BYTES,
        connection_linger: CONNECTION_LINGER,
        reserve: true,
        ..Config::default()
    }
}
