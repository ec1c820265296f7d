//! `hone-ship`: delivers what honed records to where a fleet's recordings are. It reads from honed as any reader does, so honed
//! needs no network.
//!
//! ```text
//! honed ──> spool: segments ──> batches ──────────────> destination
//!           recorded blocks     files of rows, numbered  a directory or an object store, or a log
//! ```
//!
//! A segment is a recording of its own: it begins with the state of its moment. What was received is in it before anything else is
//! done, so a program that is killed loses nothing of it. A whole segment becomes a [`batch`](batch::Batch), which never changes
//! again; a batch is delivered whole, again and again until the [`destination`] has it, and then removed.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod batch;
pub mod config;
pub mod destination;
