//! What Linux and Windows do each in its own way. The rest of the crate names only what is public here, and both systems have
//! it by the same names:
//!
//! | name | what it is |
//! |---|---|
//! | [`open_source`] | opens where a recording's events come from: the service, or on Linux the sensor |
//! | [`Service`], `ServiceError` | the service, asked for something: honed, or the driver |
//! | [`manage`] | the service installed, started, stopped, removed; on Linux a folder, for there it is files and a group |
//! | [`open_connections()`] | which process has which socket open |
//! | [`mod@file`], [`signals`], [`terminal`], [`host`], `accounts` | files and pipes; Ctrl-C and its like; width of the terminal; name and clock; names of users |
//! | [`arguments`], [`SERVICE`], `SERVICE_DROPS` | the command line, and words for messages |
//!
//! Only Linux has `proc_net`, which parses the kernel's lists of sockets, and `fuzzing`, which gives fuzz targets its parsers.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub use self::linux::*;
#[cfg(windows)]
pub use self::windows::*;
