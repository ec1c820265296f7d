//! The Windows functions that Hone's programs need, with all their unsafe code. Empty for other systems.
//!
//! Errors are `std::io::Error`s with Windows' own numbers. Only `filters` has other ones, because the filtering
//! platform has numbers of its own.
#![cfg(windows)]

pub mod account;
pub mod clock;
pub mod connections;
pub mod console;
pub mod device;
pub mod files;
pub mod filters;
pub mod host;
pub mod pipes;
pub mod process;
pub mod service;
pub mod sockets;
pub mod system;
mod text;

/// The result of a Windows call that returns whether it has succeeded.
fn check(done: windows_sys::core::BOOL) -> std::io::Result<()> {
    if done == 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
