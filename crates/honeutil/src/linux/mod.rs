//! What Linux does in its own way: where events come from ([`record`], [`remote`]), the service ([`manage`],
//! [`service`]), signals, files, terminals. `windows/` has the same for Windows; the rest of the crate knows both as
//! `system`, by the names that are public here.

pub(crate) mod accounts;
pub mod args;
pub mod file;
#[doc(hidden)]
pub mod fuzzing;
pub mod manage;
mod memory;
pub mod notes;
mod open;
pub mod record;
mod remote;
pub mod service;
pub mod signals;
mod sockets;
pub mod terminal;

pub use hone_client::ReaderError as ServiceError;
pub use hone_linux::now;
pub use open::find as open_connections;
pub use service::Service;
pub use std::env::args_os as arguments;

/// What records and is read from, as messages name it.
pub const SERVICE: &str = "honed";
/// Where it loses something, and what to do: before it, and in its ring buffers.
pub(crate) const SERVICE_DROPS: (&str, &str) = (
    "by the full kernel buffer (a larger sensor_buffer in hone.toml can help)",
    "by the reader's full ring buffer in honed (a smaller -s or a larger `honeutil ring-size` can help)",
);
