//! The part of Hone's Windows driver that does not depend on the kernel, so it is built and tested on any machine.
//! `hone-wdm` defines the kernel's structures and functions; `hone-sys` connects the two.
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
//! | process and image notify routines | PASSIVE_LEVEL | [`Driver::process_started`], [`Driver::process_named`], [`Driver::process_ended`], [`Driver::wants_image`]. The first two look up symbolic links (`path`), before they take the lock |
//! | I/O manager, for a program's request | PASSIVE_LEVEL | [`Driver::open`], [`Driver::close`], [`Driver::read`], [`Driver::control`] |
//! | timer's DPC | DISPATCH_LEVEL | [`Driver::tick`] |
//! | `DriverEntry`, unload | PASSIVE_LEVEL | [`Driver::new`], [`Driver::restore_log_levels`], [`Driver::process_found`], drop |
//!
//! What needs PASSIVE_LEVEL takes a token of that level ([`Kernel::Passive`]), which classify and the DPC do
//! not have, and which the lock takes from nobody. What is released when a value is dropped takes no token.
//!
//! # The lock
//!
//! There is one lock, around `queue_manager::State`. It is a spin lock, so the code under it runs at DISPATCH_LEVEL: it
//! never waits, it uses only non-paged memory, and it does not release kernel objects (releasing the last reference may
//! need PASSIVE_LEVEL). The work under the lock is bounded:
//! * classify: copies and queues one packet. Its checksums are computed before the lock is taken.
//! * read: copies at most [`READ_BYTES`] and [`hone_engine::READ_BLOCKS`] blocks. control: takes over one list of
//!   bounded length. A selection is compared with the processes in steps of 2,048 comparisons; to list them, each is looked at
//!   once.
//! * the start of a process, and a packet: compares it with the words of all readers' selections, which together have at
//!   most 32 KiB of text.
//! * open and restart mark: note the time of the snapshot. The processes and connections in it are looked up later,
//!   while the reader reads it, a bounded number of blocks per read.
//! * close: discards what waits in the reader's ring buffer.
//!
//! All tables get their full memory at the start, so no call makes a table grow.
//!
//! Two kernel functions are called under the lock; both are allowed at DISPATCH_LEVEL. The first reads the time, so
//! that times are in the order in which events reach the engine. The second sets a reader's event (`KeSetEvent`);
//! without the lock, the reader could close the event at the same moment.
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
mod path;
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
pub use kernel::{Kernel, Level, Lock, Purpose, Setting, Signal};
pub use network_monitor::{Buffer, ConnectionIndication, Indication, PacketIndication, Value};
pub use process_monitor::Process;
pub use read_interface::{Control, Handle};
pub use status::Status;
