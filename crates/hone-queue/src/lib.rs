#![doc = include_str!("../README.md")]
//!
//! # The path of a request and of an event
//!
//! ```text
//!  socket, device ──► Request ──► carry_out ──┐ Shell::locked        ┌──► Reader::wake
//!                                             ├─► Queue (Engine) ────┤
//!  sensor, callouts ──► Event ────────────────┘ the one lock         └──► Capture::set
//! ```
//!
//! Nothing here holds a lock or reads a clock: a [`Shell`] does. Work that takes longer the larger a request is (lists
//! of ids, the open-connection list, a ring buffer) is done before the lock is taken, and memory is freed after it is
//! unlocked.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod pace;
mod queue;
mod requests;
mod statistics;

pub use queue::{Capture, Queue, Reader, selects_processes, wanted_tests};
pub use requests::{
    Answer, Purpose, Refused, Shell, carry_out, mark_processes, prepared_filter, prepared_selection, release,
    set_filter, set_selection,
};
pub use statistics::{Service, version};
