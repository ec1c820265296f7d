//! What Hone's programs need of Windows: all their unsafe code is here. Empty for other systems.
//!
//! Errors are [`std::io::Error`]s with Windows' own numbers, but for [`filters`], whose platform has numbers of its own.
#![cfg(windows)]

pub mod connections;
pub mod device;
pub mod filters;
