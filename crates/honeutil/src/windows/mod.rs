//! What Windows has in its own way: the driver as the source of a recording ([`driver`]), installed and started
//! ([`manage`]), the console's signals, files, terminals. `linux/` has the same for Linux; the rest of the crate knows
//! both as `system`, by the names that are public here. What is unsafe is in `hone-windows`.

pub(crate) mod accounts;
pub mod args;
mod driver;
pub mod file;
pub mod manage;
pub mod notes;
mod open;
pub mod record;
pub mod service;
pub mod signals;
pub mod terminal;

pub use driver::DriverError as ServiceError;
pub use open::find as open_connections;
pub use record::now;
pub use service::Service;
/// The command line: Windows' shells leave `*.pcapng` to programs.
pub use wild::args_os as arguments;

/// What records and is read from, as messages name it.
pub const SERVICE: &str = "the driver";
/// Where it loses something, and what to do: before it, and in its ring buffers.
pub(crate) const SERVICE_DROPS: (&str, &str) = (
    "before the driver",
    "by the reader's full ring buffer in the driver (a smaller -s or a larger RingBufferSize in the registry can help)",
);
