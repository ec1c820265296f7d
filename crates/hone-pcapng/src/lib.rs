//! Augmented PCAP-NG: the blocks that Hone records, and the way back from bytes to blocks.
//!
//! This crate owns the format and nothing else. It knows where each byte of a block lies, which option has which
//! code, and how the dialects of the format differ. It knows no file, clock, process or socket: whoever embeds it
//! hands in values and gets bytes, or hands in bytes and gets values.
//!
//! * Writing: fill in [`Packet`], [`ProcessEvent`], [`ConnectionEvent`], … and call `emit`, which appends one whole
//!   block to a vector or, on error, leaves the vector as it was. Nothing else has to be kept between blocks.
//! * Reading: [`Reader`] takes a stream in chunks of any size and hands out its blocks, borrowed from its buffer.
//!   Each block type also has `parse`, for a body that somebody else has framed.
//!
//! The queue manager emits under its lock, once per packet, so emission is the hot path: it reserves once and appends.
//! Reading is for tools; it is exact first and fast second.
//!
//! # What holds everywhere
//!
//! * The same code runs in a kernel driver, so an allocation that fails is a value ([`EmitError::OutOfMemory`],
//!   [`ReadErrorKind::OutOfMemory`]). `clippy.toml` forbids what would abort; `memory.rs` holds the exceptions. The
//!   block types are not `Clone` for the same reason.
//! * Every length that comes from outside is bounded before memory is taken for it, by
//!   [`MAX_LENGTH`](block::MAX_LENGTH) or the limit given to [`Reader::with_limit`].
//! * Reading and emitting again loses nothing that has a meaning: unknown blocks, unknown options, comments and repeated
//!   options are kept. What may change is form: the order of options, a default that was spelled out, the form of the
//!   machine identity, the width of a connection id, padding, and bytes behind an end of options.
//! * Timestamps are `u64` counts since 1970-01-01 UTC in units of the interface's [`Resolution`].
//!
//! The facts are from the IETF draft "PCAP Now Generic (pcapng) Capture File Format" and from the Hone format
//! description; each type says which.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attribution;
pub mod block;
pub mod connection;
mod correction;
mod emit;
mod error;
mod frame;
pub mod interface;
mod memory;
mod obsolete;
mod option;
mod order;
pub mod packet;
pub mod process;
mod reader;
pub mod section;
mod simple;
pub mod statistics;
pub mod view;

pub use block::Block;
pub use connection::{ConnectionEvent, ConnectionEventKind, Dialect};
pub use correction::{Corrected, Correction};
pub use error::{EmitError, ReadError, ReadErrorKind};
pub use hone_types::{ConnectionId, Direction, How, Method, NoOwner, words};
pub use interface::{Interface, Resolution};
pub use obsolete::ObsoletePacket;
pub use option::RawOption;
pub use order::ByteOrder;
pub use packet::Packet;
pub use process::{ProcessEvent, ProcessEventKind};
pub use reader::{Item, Reader};
pub use section::{HostId, Section};
pub use simple::SimplePacket;
pub use statistics::{EventCounts, Statistics};
