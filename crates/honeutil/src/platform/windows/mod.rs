//! Windows: the driver as the source of a recording, installed and started, the console's signals, files, terminals. What is
//! unsafe is in `hone-windows`.

use std::ffi::OsString;

pub(crate) mod accounts;
pub mod command;
pub(crate) mod extcap;
pub mod file;
pub mod host;
pub mod manage;
mod open_connections;
mod open_source;
pub mod ready;
pub(crate) mod selftest;
mod service;
mod service_feed;
pub mod signals;
pub mod terminal;
mod wireshark;

pub(crate) use extcap::{access, end_pipe, open_control, processes, stop_with_parent, units, users};
pub(crate) use hone_windows::clock::utc_offset;
pub use open_connections::find as open_connections;
pub use open_source::open_source;
pub use service::{DriverError as ServiceError, Service};

/// The largest ring buffer that readers of the service can have, bytes.
pub const MAX_RING_BYTES: u32 = hone_api::limits::MAX_RING_BYTES;
/// What records and is read from, as messages name it.
pub const SERVICE: &str = "the driver";
/// Where it loses something, and what to do: before it, and in its ring buffers.
pub(crate) const SERVICE_DROPS: (&str, &str) = (
    "before the driver",
    "by the reader's full ring buffer in the driver (a smaller -s or a larger `honeutil ring-size` can help)",
);

/// The command line. Windows' shells leave `*.pcapng` to programs; Wireshark, which starts this program under another name as
/// its interface, does not mean files.
pub fn arguments() -> Vec<OsString> {
    if wireshark::is_interface() {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        arguments.insert(arguments.len().min(1), "extcap".into());
        arguments
    } else {
        wild::args_os().collect()
    }
}
