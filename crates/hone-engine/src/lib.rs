#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! A sensor calls [`Engine::handle`] with each event; a reader calls [`Engine::read`] for the blocks:
//!
//! ```text
//!  Event ──► handle ──► process table ─────┐ latest start of each process
//!                       connection table ──┤ latest opening of each connection
//!                       packet ────────┐   ▼
//!                        │       ▲     ├─► block store: each block once, referred to by index
//!                        └► held ┘     │   ▲
//!                                      └─► filters, ring of each reader ──► read ──► bytes
//!                                                        └──► signal
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `engine` | what sensors and readers call; how a packet is attributed (`attribution`) |
//! | `tables` | processes, connections, the snapshots of both (`timeline`), the open-connection list |
//! | `held` | packets that wait for their owner: when they leave (`policy`), and who gets them after a use (`used`) |
//! | `readers` | the queue manager (`queues`); each reader's ring buffer, section, filters and signal; corrections |
//! | `blocks` | the bytes of each block, stored once; each read cuts them to the reader's snap length |
//!
//! Each reader has its own ring buffer, snap length, filters ([`Filter`]), restart mark and counts. A packet without a
//! known owner is held for a bounded time. For connections older than the sensor, the open-connection list
//! ([`Engine::set_open_connections`]) can name the owner. [`Engine::take_signals`] returns the readers to wake. A
//! packet with a wrong attribution is corrected as soon as that shows, also after it was read.
//!
//! The embedder of an [`Engine`] keeps it under one lock or uses it from one thread. No call blocks. [`Config`] bounds
//! the memory. An event that does not fit or cannot be allocated is counted by kind and returned as an error; the
//! engine never aborts. `clippy.toml` forbids calls that abort without memory, and `tests/out_of_memory.rs` makes every
//! allocation fail.
//!
//! # A section
//!
//! A section has, in this order:
//!
//! 1. the section header and the interface (link type raw IP, times in nanoseconds),
//! 2. the snapshot: one process event for each running process and one connection event for each open connection,
//!    sorted by time,
//! 3. live blocks,
//! 4. statistics, if a restart mark ends the section.
//!
//! The open event of a packet's connection comes before the packet in the same section, with two exceptions. Either the
//! open event did not fit; then it is counted as dropped. Or the connection was closed before the section began, and
//! the packet comes late. A packet that was held may be older than the section's beginning.
//!
//! Live blocks are sorted by time; blocks with equal times stay in the order in which they were handled. A block that
//! is handled late is put before later blocks that still wait in a reader's ring, within the bounds of [`ORDER_BLOCKS`]
//! and [`ORDER_TIME`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocks;
mod config;
mod engine;
mod error;
mod event;
pub mod fallible;
mod held;
mod readers;
mod statistics;
mod tables;
mod tuple;

pub use blocks::BYTE_ORDER;
pub use config::{
    Config, DEFAULT_RING_BYTES, HostIdentity, MAX_HOST_NAME, MAX_PACKET_BYTES, MAX_RING_BYTES,
    MIN_RING_BYTES, ORDER_BLOCKS, ORDER_TIME, READ_BLOCKS, RING_SLOT_BYTES, ReaderOptions, SectionInfo,
};
pub use engine::Engine;
pub use engine::new_selection::{MAX_COMPARISONS, NewSelection};
pub use error::{
    AttachError, EventError, FilterError, OpenListError, OutOfMemory, ReadError, RestartError,
    RingBytesError, SelectionError, UnknownReader,
};
pub use event::{
    Attribution, ConnectionId, Corrected, Direction, Event, ExecutableHash, Method, Nanos, NoHash, NoOwner,
    Owner, Packet, ProcessKey, ProcessStart, StartKind, Used, Wait,
};
pub use hone_types::{PerKind, SnapLength};
pub use readers::filter::{Filter, PreparedFilter};
pub use readers::reader::{Detached, Read, ReaderId};
pub use readers::ring::RingBuffer;
pub use readers::selection::MAX_PROCESS_SELECTIONS;
pub use statistics::{Methods, NoOwners, ReaderStatistics, SourceDrops, Statistics};
pub use tables::open_list::{Family, OpenConnection, OpenList};
