//! The engine's bounds and what each section says about the recording host. Read once, when the engine is made.

use alloc::vec::Vec;

use hone_types::{SnapLength, limits};

use crate::Nanos;

/// Smallest ring buffer of a reader, bytes.
pub const MIN_RING_BYTES: usize = limits::MIN_RING_BYTES as usize;
/// Ring buffer of a reader that does not ask for another size, bytes, until [`Engine::set_default_ring_bytes`](crate::Engine::set_default_ring_bytes).
pub const DEFAULT_RING_BYTES: usize = limits::DEFAULT_RING_BYTES as usize;
/// Largest ring buffer of a reader unless [`Config::max_ring_bytes`] allows more, bytes.
pub const MAX_RING_BYTES: usize = limits::MAX_RING_BYTES as usize;
/// Bytes of ring buffer that one queued block takes.
pub const RING_SLOT_BYTES: usize = 8;
/// Most packet data kept of one packet, bytes: what common readers accept as a packet at all.
pub const MAX_PACKET_BYTES: u32 = limits::MAX_SNAP_LENGTH;
/// Most blocks that one read returns, so that none takes long, however small they are.
pub const READ_BLOCKS: usize = 1024;
/// How far a block that comes late goes back in a reader's ring buffer, blocks: past so many later ones at most.
pub const ORDER_BLOCKS: usize = 256;
/// How late it may come, nanoseconds. An older block has not come late: the clock was set, or it is part of a snapshot.
pub const ORDER_TIME: Nanos = SECOND;

/// Most bytes of a host's name in a section header.
pub const MAX_HOST_NAME: usize = 255;

const SECOND: Nanos = 1_000_000_000;

/// What a section header and interface block say. Each field is UTF-8 without NUL; an empty one is left out.
/// At most 65,535 bytes each.
#[derive(Debug, Default)]
pub struct SectionInfo {
    /// The hardware, for example `64-bit x86 server`.
    pub hardware: Vec<u8>,
    /// The operating system and its version.
    pub os: Vec<u8>,
    /// The program that records, for example `Hone 0.1.0`.
    pub application: Vec<u8>,
    /// Identity of the host.
    pub host: HostIdentity,
    /// The administrator's comment.
    pub comment: Vec<u8>,
    /// Description of the one interface.
    pub interface: Vec<u8>,
}

/// Which machine a section is of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum HostIdentity {
    /// Nobody knows; left out.
    #[default]
    Unknown,
    /// A GUID, in the order of its bytes in the stream.
    Guid([u8; 16]),
    /// A name in UTF-8 without control characters, of which at most [`MAX_HOST_NAME`] bytes are used; an empty one is
    /// left out.
    Name(Vec<u8>),
}

/// Bounds of everything the engine keeps.
///
/// [`max_block_bytes`](Self::max_block_bytes) and [`max_held_bytes`](Self::max_held_bytes) bound packets and events.
/// What comes on top is bounded too, in bytes at most:
///
/// | what | bytes |
/// |---|---|
/// | tables | 170 a connection, 130 a process; half as much again while one grows |
/// | their order, with which sections begin | 64 a running process and open connection, and for each that has ended since a section began that is still to be read |
/// | ring buffers | [`max_ring_bytes`](Self::max_ring_bytes) a reader |
/// | filters | 24 times [`max_filter_ids`](Self::max_filter_ids) a reader |
/// | held packets' order | 250 each |
/// | open-connection list, twice while it is replaced | 250 a record |
///
/// Besides what [`ReaderOptions::pinned_bytes`] allows, a reader that does not read keeps the blocks that its sections
/// begin with: at most two for each process and connection known then, within `max_block_bytes`.
#[derive(Debug)]
pub struct Config {
    /// What each section says about host and program.
    pub section: SectionInfo,
    /// When the sensor was loaded; only repeated in [`Statistics::loaded`](crate::Statistics::loaded).
    pub loaded: Nanos,
    /// Most processes known at once, the lingering ones included.
    pub max_processes: u32,
    /// Most connections known at once, the lingering ones included.
    pub max_connections: u32,
    /// Most readers attached at once.
    pub max_readers: u32,
    /// Largest ring buffer a reader may ask for, bytes; at least [`MIN_RING_BYTES`].
    pub max_ring_bytes: usize,
    /// Most ids in one list of a reader's filters.
    pub max_filter_ids: usize,
    /// Most bytes of blocks in memory, over all tables and readers. Packets leave the last eighth to
    /// process and connection events.
    pub max_block_bytes: usize,
    /// How long an ended process stays known, nanoseconds.
    pub process_linger: Nanos,
    /// How long a closed connection stays known to late packets, nanoseconds.
    pub connection_linger: Nanos,
    /// Most packets held at once until their owner is known; 0: none is held.
    pub max_held_packets: u32,
    /// Most bytes that they and what surrounds them take.
    pub max_held_bytes: usize,
    /// How long a packet is held at most, nanoseconds; 0: none is held.
    pub hold_time: Nanos,
    /// Most records of the open-connection list.
    pub max_open_connections: usize,
    /// Whether all the room that the tables may ever need is taken at the start. Else they grow as needed, and a call
    /// that makes a large table grow takes milliseconds. See `docs/engine-performance.md` for numbers.
    pub reserve: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            section: SectionInfo::default(),
            loaded: 0,
            max_processes: 131_072,
            max_connections: 524_288,
            max_readers: 64,
            max_ring_bytes: MAX_RING_BYTES,
            max_filter_ids: limits::MAX_FILTER_IDS,
            max_block_bytes: 256 << 20,
            process_linger: 10 * SECOND,
            connection_linger: 10 * SECOND,
            max_held_packets: 1024,
            max_held_bytes: 4 << 20,
            hold_time: SECOND / 2,
            max_open_connections: 16_384,
            reserve: false,
        }
    }
}

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Size of the reader's ring buffer, bytes: [`MIN_RING_BYTES`] to [`Config::max_ring_bytes`], rounded up to a
    /// power of two. Every [`RING_SLOT_BYTES`] hold one block. `None`: the size for readers that don't ask,
    /// [`Engine::set_default_ring_bytes`](crate::Engine::set_default_ring_bytes).
    pub ring_bytes: Option<usize>,
    /// Most bytes of blocks that may wait in the ring.
    pub pinned_bytes: usize,
    /// Most bytes of each packet's data.
    pub snap_length: SnapLength,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { ring_bytes: None, pinned_bytes: 64 << 20, snap_length: SnapLength::ALL }
    }
}
