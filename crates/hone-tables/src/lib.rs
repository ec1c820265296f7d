//! Recordings as tables. A row says what one process, one connection, one packet or one name was; a section says what its
//! part of the recording contains. Who reads a recording calls [`Rows`] with each row as soon as it is complete.
//!
//! [`uid`] makes the ids that join the tables. They are the same in every recording of a host.

#![forbid(unsafe_code)]

pub mod day;
mod row;
pub mod schema;
pub mod uid;
pub mod write;

pub use self::row::{
    ConnectionRow, End, Endpoint, Evidence, NameKind, NameRow, PacketRow, ProcessRow, Rows, SectionRow,
    State, Table,
};
