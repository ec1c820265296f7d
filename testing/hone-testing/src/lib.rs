//! What live tests are made of: whether they can run here ([`ready`]), children that never outlive their test
//! ([`Guarded`]), waits with an end ([`wait_for`]), a honed of the test's own ([`Service`]), a disk that is soon full
//! ([`SmallDisk`]) and calls that fail ([`Faults`]).
//!
//! For tests only, which is why everything here panics when it fails. Live tests need root and a kernel from 6.1. Where
//! something is missing they say `skipped: ` and why; with `HONE_LIVE=required` in the environment that is a failure.

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
