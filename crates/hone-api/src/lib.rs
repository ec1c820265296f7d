#![doc = include_str!("../README.md")]
//!
//! # Both sides
//!
//! A shell (see the crate `hone-queue`) turns a [`Request`] into a call of the engine, and the engine's answer into a
//! [`Reply`].
//!
//! ```text
//!  reader                                             queue manager's shell
//!  Request::encode ──► operation, input bytes ──► Operation::try_from, Request::parse ──► engine
//!  …::parse        ◄──────── reply bytes ◄─────── Reply::encode                       ◄── engine
//! ```
//!
//! # What holds everywhere
//!
//! * Everything from outside is an integer or a byte until it is checked. `parse` never panics and allocates no memory.
//! It returns either a value in which every part is within [`limits`], or an error that names the operation, the wrong
//! part, its offset and the allowed values.
//! * Numbers are little-endian, at fixed offsets. Nothing is cast onto a structure, so alignment does not matter.
//! * Lists are read where they lie: a [`List`] is a view of the input.
//!
//! # What is the original's and what is Hone's own
//!
//! The operations' names, meaning, inputs and outputs are those of "Read Interface" in the original Windows sensor's
//! documentation. That document does not contain numbers and layouts. Hone takes them from the original's published
//! interface header (October 2015, with packing of 4): device type, function numbers, methods and access of the control
//! codes ([`Operation`]), [`OriginalConnection`] and [`OriginalStatistics`]. So a program written for the original
//! works unchanged. All else is Hone's own: the operations from 0x900 to 0xBFF, [`Statistics`], [`ConnectionRecord`], and
//! every bound.
//!
//! # Versions
//!
//! [`Operation::GetVersion`] returns [`API_VERSION`]. The minor number grows with changes that old clients can ignore,
//! such as a new operation or new fields at the end of [`Statistics`]. The major number grows with all other changes.
//! The original does not have this operation and refuses it.

#![no_std]
#![forbid(unsafe_code)]

pub mod callouts;
mod connection;
mod error;
mod layout;
pub mod limits;
mod list;
mod operation;
mod original;
mod reply;
mod request;
mod statistics;

pub use connection::{ConnectionRecord, OpenConnection, OpenConnections};
pub use error::{Allowed, BufferTooSmall, ReplyError, RequestError};
pub use hone_types::{Family, LogLevels, Mechanism, Method, NoOwner, PerKind, SnapLength, UnknownLevel};
pub use layout::Fixed;
pub use list::List;
pub use operation::{Access, ControlCode, Operation, Transfer, UnknownOperation};
pub use original::{OriginalConnection, OriginalStatistics};
pub use reply::{ApiVersion, Reply, log_levels, snap_length};
pub use request::{ConnectionIds, DataEvent, Request};
pub use statistics::{Held, NO_READER, ReaderStatistics, Statistics};

/// The version of this interface: major and minor number.
pub const API_VERSION: (u16, u16) = (1, 2);
