//! Recordings, read: [`stream`] splits bytes into blocks or packets, each becomes an [`event`] with what earlier blocks say of its
//! process ([`processes`]) and its connection; [`corrections`] change packets whose process was known only later, [`names`] finds
//! names in packets, and [`rows`] makes the rows of tables.
//!
//! Memory is limited, whatever a recording contains. Nothing here opens files or prints.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod classic_pcap;
pub mod community_id;
pub mod corrections;
pub mod ended;
pub mod event;
mod foreign;
pub mod host;
pub mod ip;
mod link;
pub mod names;
pub mod pktap;
pub mod processes;
pub mod rows;
pub mod section;
mod span;
pub mod stream;
pub mod text;

pub use self::span::Span;
