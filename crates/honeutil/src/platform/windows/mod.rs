//! Windows: the driver as the source of a recording, installed and started, the console's signals, files, terminals. What is
//! unsafe is in `hone-windows`.

pub(crate) mod accounts;
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

pub(crate) use hone_windows::clock::utc_offset;
pub use open_connections::find as open_connections;
pub use open_source::open_source;
pub use service::{DriverError as ServiceError, Service};
/// The command line: Windows' shells leave `*.pcapng` to programs.
pub use wild::args_os as arguments;

/// The largest ring buffer that readers of the service can have, bytes.
pub const MAX_RING_BYTES: u32 = hone_api::limits::MAX_RING_BYTES;
/// What records and is read from, as messages name it.
pub const SERVICE: &str = "the driver";
/// Where it loses something, and what to do: before it, and in its ring buffers.
pub(crate) const SERVICE_DROPS: (&str, &str) = (
    "before the driver",
    "by the reader's full ring buffer in the driver (a smaller -s or a larger `honeutil ring-size` can help)",
);
