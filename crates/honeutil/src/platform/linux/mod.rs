//! Linux: honed or the sensor as the source of a recording, honed installed and started, signals, files, terminals.

pub(crate) mod accounts;
pub mod command;
pub(crate) mod extcap;
pub mod file;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub(crate) mod listeners;
pub mod manage;
mod open_connections;
mod open_source;
pub mod own_traffic;
mod pipe_readers;
mod proc_net;
pub mod ready;
mod service;
mod service_feed;
pub mod signals;
pub mod terminal;

pub(crate) use extcap::{access, end_pipe, open_control, processes, stop_with_parent, units, users};
pub(crate) use hone_linux::utc_offset;

pub use hone_client::ReaderError as ServiceError;
pub use open_connections::find as open_connections;
pub use open_source::open_source;
pub use service::Service;
pub use std::env::args_os as arguments;

/// The largest ring buffer that readers of the service can have, bytes.
pub const MAX_RING_BYTES: u32 = hone_api::limits::HARD_MAX_RING_BYTES;
/// What records and is read from, as messages name it.
pub const SERVICE: &str = "honed";
/// Where it loses something, and what to do: before it, and in its ring buffers.
pub(crate) const SERVICE_DROPS: (&str, &str) = (
    "by the full kernel buffer (a larger sensor_buffer in hone.toml can help)",
    "by the reader's full ring buffer in honed (a smaller -s or a larger `honeutil ring-size` can help)",
);
