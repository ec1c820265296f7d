//! What Linux and Windows do differently. The rest of the crate uses only the public names of this module, which both
//! systems have:
//!
//! | name | what it is |
//! |---|---|
//! | [`open_source`] | opens where a recording's events come from: the service, or on Linux the sensor |
//! | [`Service`], `ServiceError` | the service, asked for something: honed, or the driver |
//! | [`manage`] | the service installed, started, stopped, removed; on Linux a folder, for there it is files and a group |
//! | [`open_connections()`] | which process has which socket open |
//! | [`mod@file`], [`signals`], [`terminal`], [`host`], `accounts` | files and pipes; Ctrl-C and its like; width of the terminal; name and clock; names of users |
//! | [`arguments`], [`SERVICE`], `SERVICE_DROPS`, [`MAX_RING_BYTES`] | the command line, words for messages, a bound |
//! | `access`, `processes`, `users`, `units`, `open_control`, `end_pipe`, `stop_with_parent` | what the interface of Wireshark needs |
//!
//! Only Windows has `selftest`. Only Linux has `proc_net`, which parses the kernel's lists of sockets, and `fuzzing`, which exports its parsers to
//! the fuzz targets.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;
mod wireshark;

#[cfg(target_os = "linux")]
pub use self::linux::*;
#[cfg(windows)]
pub use self::windows::*;

/// How a user can capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, allow(dead_code, reason = "there, captures say what is wrong"))]
pub(crate) enum Access {
    /// Through the service.
    Service,
    /// Through the service and without it.
    Both,
    /// Only without the service, which does not run.
    Local,
    /// The service does not run.
    NoService,
    /// The service does not let this user.
    NoPermission,
}
