//! The engine's bounds, and the description of the recording host in each section. Read once, when the engine is made.

use alloc::vec::Vec;

use hone_types::{SnapLength, limits};

use crate::Nanos;

/// Smallest ring buffer of a reader, bytes.
pub const MIN_RING_BYTES: usize = limits::MIN_RING_BYTES as usize;
/// Ring buffer of a reader that asks for no size, bytes, until another is set by
/// [`Engine::set_default_ring_bytes`](crate::Engine::set_default_ring_bytes).
pub const DEFAULT_RING_BYTES: usize = limits::DEFAULT_RING_BYTES as usize;
/// Largest ring buffer of a reader unless [`Config::max_ring_bytes`] allows more, bytes.
pub const MAX_RING_BYTES: usize = limits::MAX_RING_BYTES as usize;
/// Bytes of ring buffer that one queued block takes.
pub const RING_SLOT_BYTES: usize = 8;
/// Most bytes of one packet's data that are kept. Common programs that read pcapng refuse longer packets.
pub const MAX_PACKET_BYTES: u32 = limits::MAX_SNAP_LENGTH;
/// Most blocks that one read returns. Keeps a read short even if the blocks are small.
pub const READ_BLOCKS: usize = 1024;
/// Most later blocks in a reader's ring buffer that a late block is put before.
pub const ORDER_BLOCKS: usize = 256;
/// A late block is put before later ones only if it is older by at most this, nanoseconds. A greater difference means
/// that the clock was set, or that the block reports an older state; then blocks stay in the order in which they came.
pub const ORDER_TIME: Nanos = SECOND;

/// Most bytes of a host's name in a section header.
pub const MAX_HOST_NAME: usize = 255;

const SECOND: Nanos = 1_000_000_000;

/// The contents of a section header and an interface block. Each field is UTF-8 without NUL and has at most 65,535
/// bytes; an empty field is left out.
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
    /// The id of the host's boot, within which connection ids are unique; `None`: left out of the section header.
    pub boot: Option<[u8; 16]>,
    /// The administrator's comment.
    pub comment: Vec<u8>,
    /// Description of the one interface.
    pub interface: Vec<u8>,
}

/// The identity of the host that a section was recorded on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum HostIdentity {
    /// Not known; left out of the section header.
    #[default]
    Unknown,
    /// A GUID; its bytes are in the same order as in the stream.
    Guid([u8; 16]),
    /// A name in UTF-8 without control characters, of which at most [`MAX_HOST_NAME`] bytes are used; an empty one is
    /// left out.
    Name(Vec<u8>),
}

/// Bounds of everything the engine keeps.
///
/// [`max_block_bytes`](Self::max_block_bytes) and [`max_held_bytes`](Self::max_held_bytes) bound packets and events.
/// The engine's other memory is bounded too. It takes at most:
///
/// | what | bytes |
/// |---|---|
/// | tables | 200 for each connection, 256 for each process; half as much again while a table grows |
/// | snapshots | 64 for each running process or open connection, and each ended one in a snapshot still to be read |
/// | ring buffers | [`max_ring_bytes`](Self::max_ring_bytes) for each reader |
/// | filters | 24 times [`max_filter_ids`](Self::max_filter_ids) for each reader |
/// | order of held packets | 250 for each packet |
/// | open-connection list | 250 for each record; twice as much while the list is replaced |
///
/// A reader that does not read keeps blocks in memory: those that wait in its ring, up to
/// [`ReaderOptions::pinned_bytes`], and those of its sections' snapshots. The latter are at most two for each process
/// and connection of a snapshot, and count towards `max_block_bytes`.
#[derive(Debug)]
pub struct Config {
    /// The description of host and program in each section.
    pub section: SectionInfo,
    /// When the sensor was loaded. Only used for [`Statistics::loaded`](crate::Statistics::loaded).
    pub loaded: Nanos,
    /// Most processes known at once, including ended ones that linger.
    pub max_processes: u32,
    /// Most connections known at once, including closed ones that linger.
    pub max_connections: u32,
    /// Most readers attached at once.
    pub max_readers: u32,
    /// Largest ring buffer a reader may ask for, bytes; at least [`MIN_RING_BYTES`].
    pub max_ring_bytes: usize,
    /// Most ids in one list of a reader's filters.
    pub max_filter_ids: usize,
    /// Most bytes of blocks in memory, for all tables and readers together. The last eighth is only for process and
    /// connection events, not for packets.
    pub max_block_bytes: usize,
    /// How long an ended process stays known, for late events, nanoseconds.
    pub process_linger: Nanos,
    /// How long a closed connection stays known, for late packets, nanoseconds.
    pub connection_linger: Nanos,
    /// How long nothing may be heard of a connection that nobody owns, nanoseconds. Then it is recorded as closed and
    /// forgotten, at the latest after twice that time. The next packet opens it again. If the table is full, a new
    /// connection takes its room earlier.
    pub connection_silence: Nanos,
    /// The same for a connection whose owner has ended, because its closing was not reported. If the table is full, a
    /// new connection takes the room of one with any owner after this time.
    pub orphan_silence: Nanos,
    /// Most packets held at once; 0: no packet is held.
    pub max_held_packets: u32,
    /// Most bytes of all held packets, including a fixed number that each takes besides its data.
    pub max_held_bytes: usize,
    /// Longest time that a packet is held, nanoseconds; 0: no packet is held.
    pub hold_time: Nanos,
    /// Most records of the open-connection list.
    pub max_open_connections: usize,
    /// Whether the engine allocates at the start all memory that its tables may ever need. Otherwise the tables grow as
    /// needed, and a call that makes a large table grow takes milliseconds; `docs/engine-performance.md` has the
    /// numbers.
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
            connection_silence: 60 * SECOND,
            orphan_silence: 3600 * SECOND,
            max_held_packets: 1024,
            max_held_bytes: 4 << 20,
            hold_time: SECOND / 2,
            max_open_connections: limits::MAX_OPEN_CONNECTIONS,
            reserve: false,
        }
    }
}

/// The options of a reader that attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Size of the reader's ring buffer, bytes: [`MIN_RING_BYTES`] to [`Config::max_ring_bytes`], rounded up to a
    /// power of two. One block takes [`RING_SLOT_BYTES`] of it. `None`: the default size, see
    /// [`Engine::set_default_ring_bytes`](crate::Engine::set_default_ring_bytes).
    pub ring_bytes: Option<usize>,
    /// Most bytes of blocks that may wait in the ring buffer.
    pub pinned_bytes: usize,
    /// Most bytes of each packet's data.
    pub snap_length: SnapLength,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { ring_bytes: None, pinned_bytes: 64 << 20, snap_length: SnapLength::ALL }
    }
}
