//! What Hone's Windows driver does, as far as it can be said without the kernel: it is built and tested on any machine.
//! `hone-wdm` knows the kernel's structures and functions, `hone-sys` ties the two together.
//!
//! ```text
//!  WFP classify ───► network_monitor ─┐                          ┌─► read_interface ──► IRP_MJ_READ
//!                                     ├─► QueueManager (engine) ─┤
//!  process notify ─► process_monitor ─┘   one lock               └─◄ read_interface ◄── IRP_MJ_DEVICE_CONTROL
//! ```
//!
//! # Which IRQL runs what
//!
//! | caller | IRQL | calls |
//! |---|---|---|
//! | WFP, `classifyFn` | up to DISPATCH_LEVEL | [`Driver::classify`] |
//! | process and image notify routines | PASSIVE_LEVEL | [`Driver::process_started`], [`Driver::process_named`], [`Driver::process_ended`], [`Driver::wants_image`] |
//! | I/O manager, for a program's request | PASSIVE_LEVEL | [`Driver::open`], [`Driver::close`], [`Driver::read`], [`Driver::control`] |
//! | timer's DPC | DISPATCH_LEVEL | [`Driver::tick`] |
//! | `DriverEntry`, unload | PASSIVE_LEVEL | [`Driver::new`], [`Driver::process_found`], drop |
//!
//! # The lock
//!
//! There is one lock, around `queue_manager::State`. It is a spin lock: who holds it is at DISPATCH_LEVEL, so under it
//! nothing waits, all memory is non-paged, and objects are not let go of (their last reference may need PASSIVE_LEVEL).
//! What is done under it is bounded:
//! * classify: one packet is put together and queued; checksums are computed before, without the lock;
//! * read: at most [`READ_BYTES`] and [`hone_engine::READ_BLOCKS`] blocks are copied; control: one list of bounded length
//!   is taken over;
//! * open and restart mark: a moment is noted. What ran and was open then is looked up as it is read, a bounded number of
//!   blocks a read;
//! * close: what waits in the reader's ring is given up.
//!
//! Tables are given all their memory at the start, so that no call makes one grow.
//!
//! Two kernel calls are made under the lock, both allowed at DISPATCH_LEVEL. The time is taken, so that it is in the order in
//! which the engine is told. And a reader's event is set (`KeSetEvent`): else a reader could close it in between.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod command_line;
mod config;
mod driver;
mod host;
mod kernel;
mod network_monitor;
mod own;
mod packet;
mod process_monitor;
mod queue_manager;
mod read_interface;
pub mod security;
mod sid;
mod status;
mod text;

pub use hone_api::callouts;

pub use config::{MAX_BLOCK_BYTES, MAX_CONNECTIONS, MAX_PROCESSES, READ_BYTES};
pub use driver::Driver;
pub use host::Host;
pub use kernel::{Kernel, Level, Lock, Purpose, Signal};
pub use network_monitor::{Buffer, Indication, Value};
pub use process_monitor::Process;
pub use read_interface::{Control, Handle};
pub use status::Status;
