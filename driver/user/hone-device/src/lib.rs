//! Hone's driver as programs use it: [`Device`] is a reader, [`Event`] tells it when there is something to read again, and
//! [`connections`] lists what is open, for the driver to know whose it is.
//!
//! Errors are [`std::io::Error`]s with Windows' own numbers.
#![cfg(windows)]

mod connections;
mod device;

pub use connections::connections;
pub use device::{Device, Event};
