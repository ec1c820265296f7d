#![doc = include_str!("../README.md")]
//!
//! # Both sides
//!
//! A shell turns a [`Request`] into a call of the engine, and what the engine answers into a [`Reply`].
//!
//! ```text
//!  reader                                             queue manager's shell
//!  Request::encode ──► operation, input bytes ──► Operation::try_from, Request::parse ──► engine
//!  …::parse        ◄──────── reply bytes ◄─────── Reply::encode                       ◄── engine
//! ```
//!
//! # What holds everywhere
//!
//! * Everything from outside is an integer or a byte until it is checked. `parse` never panics, takes no memory and
//!   gives either a value whose every part is within [`limits`], or an error that names the operation, the part, where
//!   it is and what is allowed.
//! * Numbers are little-endian, at fixed offsets. Nothing is cast onto a structure, so alignment does not matter.
//! * Lists are read where they lie: a [`List`] is a view of the input.
//!
//! # What is the original's and what is Hone's own
//!
//! The operations' names, meaning, inputs and outputs are those of "Read Interface" in the original Windows sensor's
//! documentation. That document does not give numbers and layouts; those are the ones which the original's published
//! interface header declares (October 2015, with packing of 4): device type, function numbers, methods and access of
//! the control codes ([`Operation`]), [`OriginalConnection`] and [`OriginalStatistics`]. So a program made for the
//! original finds what it expects. All else is Hone's own: the operations from 0x900 on, [`Statistics`],
//! [`ConnectionRecord`], and every bound.
//!
//! # Versions
//!
//! [`API_VERSION`] is what [`Operation::GetVersion`] answers. The minor number grows with what a client need not know,
//! such as a new operation or fields behind those of [`Statistics`]; the major one with anything else. The original
//! knows no such operation, and refuses it.

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
pub use hone_types::{Family, Mechanism, Method, NoOwner, PerKind, SnapLength};
pub use layout::Fixed;
pub use list::List;
pub use operation::{Access, ControlCode, Operation, Transfer, UnknownOperation};
pub use original::{OriginalConnection, OriginalStatistics};
pub use reply::{ApiVersion, Reply, snap_length};
pub use request::{ConnectionIds, DataEvent, Request};
pub use statistics::{Held, NO_READER, ReaderStatistics, Statistics};

/// The version of this interface: major and minor number.
pub const API_VERSION: (u16, u16) = (1, 1);
