#![doc = include_str!("../README.md")]
//!
//! # Threads
//!
//! [`Connection`] is the client's side; [`protocol`] has the frames, which `honed` uses too. A connection is one
//! socket and belongs to one thread at a time. No thread is started and no lock is held here.

#![cfg(target_os = "linux")]

mod connection;
mod credentials;
mod error;
mod frames;
mod kept;
pub mod notify;
mod patience;
pub mod protocol;
mod readers;
pub mod state_file;

pub use connection::{Connection, Options, Read};
pub use credentials::Credentials;
pub use error::ReaderError;
pub use hone_api as api;
pub use hone_api::{LogLevels, UnknownLevel};
pub use patience::{Waiting, Watch};
pub use protocol::{Component, MemoryRow, Refusal};
pub use readers::Readers;
