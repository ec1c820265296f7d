#![doc = include_str!("../README.md")]
//! # What holds everywhere
//!
//! * Writing: fill in [`Packet`], [`ProcessEvent`], [`ConnectionEvent`] and so on, and call `emit`. It appends one whole
//!   block to a vector or, on error, leaves the vector as it was. Nothing else has to be kept between blocks.
//! * Reading: [`Reader`] takes a stream in chunks of any size and hands out its blocks, borrowed from its buffer.
//!   Each block type also has `parse`, for a body that is separated from its frame already.
//! * An allocation that fails is an error ([`EmitError::OutOfMemory`], [`ReadErrorKind::OutOfMemory`]), never an abort. So
//!   the block types are not `Clone`.
//! * Every length that comes from outside is checked before memory is taken for it, against
//!   [`MAX_LENGTH`](block::MAX_LENGTH) or the limit given to [`Reader::with_limit`].
//! * Reading and emitting again loses nothing that has a meaning: unknown blocks, unknown options, comments and repeated
//!   options are kept. The form may change: the order of options, a default that was spelled out, the form of the
//!   machine identity, the width of a connection id, padding, and bytes behind an end of options.
//! * Timestamps are `u64` counts since 1970-01-01 UTC in units of the interface's [`Resolution`].
//!
//! The facts are from the IETF draft "PCAP Now Generic (pcapng) Capture File Format" and from the Hone format
//! description. Each type names its source.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attribution;
pub mod block;
mod connection;
mod correction;
mod emit;
mod error;
mod executable_hash;
pub mod foreign;
mod frame;
pub mod interface;
mod memory;
mod obsolete;
mod option;
mod order;
pub mod packet;
mod process;
mod reader;
mod section;
mod simple;
mod statistics;
pub mod view;

pub use block::Block;
pub use connection::{ConnectionEvent, ConnectionEventKind, Dialect};
pub use correction::{Corrected, Correction};
pub use error::{EmitError, ReadError, ReadErrorKind};
pub use hone_types::{
    ConnectionId, Direction, ExecutableHash, How, Method, NoHash, NoOwner, SnapLength, words,
};
pub use interface::{Interface, Resolution};
pub use obsolete::ObsoletePacket;
pub use option::RawOption;
pub use order::ByteOrder;
pub use packet::{Packet, ProcessThread};
pub use process::{ProcessEvent, ProcessEventKind};
pub use reader::{Item, Reader};
pub use section::{HostId, Section};
pub use simple::SimplePacket;
pub use statistics::{EventCounts, Statistics};
