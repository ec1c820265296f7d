//! What Hone's programs need of Windows: all their unsafe code is here. Empty for other systems.
//!
//! Errors are `std::io::Error`s with Windows' own numbers, but for `filters`, whose platform has numbers of its own.
#![cfg(windows)]

pub mod account;
pub mod connections;
pub mod console;
pub mod device;
pub mod files;
pub mod filters;
pub mod host;
pub mod pipes;
pub mod process;
pub mod service;
mod text;

/// What Windows says of a call that answers whether it has succeeded.
fn check(done: windows_sys::core::BOOL) -> std::io::Result<()> {
    if done == 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
