#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! A sensor calls [`Engine::handle`] with what happens; a reader calls [`Engine::read`] for the blocks:
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
//! | room | what is in it |
//! |---|---|
//! | `engine` | what sensors and readers call; how a packet is attributed (`attribution`) |
//! | `tables` | processes, connections, the snapshots of both (`timeline`), the open-connection list |
//! | `held` | packets that wait until their owner is known: when they leave (`policy`), what a use shows (`used`) |
//! | `readers` | the queue manager (`queues`), and of each reader: ring buffer, section, filters, signal; corrections |
//! | `blocks` | the bytes of each block, stored once, and cut to a reader's snap length |
//!
//! Each reader has its own ring buffer, snap length, filters ([`Filter`]), restart mark and counts. A packet without a known
//! owner is held for a bounded time; the open-connection list ([`Engine::set_open_connections`]) helps with connections
//! older than the sensor. [`Engine::take_signals`] returns the readers that are to read. A packet whose attribution turns out
//! to be wrong is corrected, also after it was read.
//!
//! The embedder of an [`Engine`] keeps it under one lock or uses it from one thread. No call blocks. Memory is bounded by [`Config`]; what does not fit, and what
//! cannot be allocated, is counted by kind and returned as an error, never by an abort.
//! `clippy.toml` holds that line, and `tests/out_of_memory.rs` tries every allocation.
//!
//! # A section
//!
//! Section header, interface (link type raw IP, nanoseconds), one process event per running process and one connection
//! event per open connection sorted by time, live blocks, and, once a restart mark ends it, statistics.
//!
//! The open event of a packet's connection is in the same section before the packet, with two exceptions: it did not fit
//! (then connection events are counted as dropped), or the connection was closed before the section began and this packet
//! comes late. A packet that was held may be older than the section's beginning.
//!
//! Live blocks are in the order of time, equal times in the order in which they were handled. What is handled late goes
//! before the later ones that wait in a reader's ring, within the bounds of [`ORDER_BLOCKS`] and [`ORDER_TIME`].
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
pub use error::{
    AttachError, EventError, FilterError, OpenListError, OutOfMemory, ReadError, RestartError,
    RingBytesError, UnknownReader,
};
pub use event::{
    Attribution, ConnectionId, Corrected, Direction, Event, Method, Nanos, NoOwner, Owner, Packet,
    ProcessKey, ProcessStart, StartKind, Used, Wait,
};
pub use hone_types::{PerKind, SnapLength};
pub use readers::filter::{Filter, PreparedFilter};
pub use readers::reader::{Detached, Read, ReaderId};
pub use readers::ring::RingBuffer;
pub use statistics::{Methods, NoOwners, ReaderStatistics, SourceDrops, Statistics};
pub use tables::open_list::{Family, OpenConnection, OpenList};
