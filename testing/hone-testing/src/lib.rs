//! Building blocks of live tests: whether they can run here ([`ready`]), children that never outlive their test
//! ([`Guarded`]), waits with a limit ([`wait_for`]), a honed for one test ([`Service`]), a small disk that fills up
//! ([`SmallDisk`]), and calls that fail ([`Faults`]).
//!
//! This crate is for tests only, so its functions panic when they fail. Live tests need root and Linux 6.1 or newer. If
//! something is missing, they print `skipped: ` and the reason; with `HONE_LIVE=required` in the environment they fail
//! instead.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod disk;
mod faults;
mod guard;
mod service;

pub use disk::SmallDisk;
pub use faults::{Class, Failed, Fault, Faults, points};
pub use guard::{Guarded, PATIENCE, ready, run, skip, wait_for};
pub use service::{Service, command, directory, socket};
