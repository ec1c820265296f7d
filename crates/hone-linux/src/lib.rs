//! Hone's sensor for Linux.
//!
//! The *network monitor* and the *process monitor* are BPF programs (`src/bpf`): the first sees every packet that a
//! socket sends or receives, in every network namespace, and keeps in each socket who used it last; the second sees
//! processes fork, execute and exit. Their records come through one ring buffer, nearly in the order in which they happened,
//! and leave here as [`hone_engine::Event`]s.
//!
//! [`Sensor`] owns the loaded programs and belongs to one thread. Nothing here knows of files, readers or formats.

/// What `bpf/abi.h` and the object's data declare, as Rust types, and the object itself, by the names of its parts. Made by the
/// build (libbpf-cargo) from what was compiled.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused,
    reason = "generated"
)]
mod abi {
    include!(concat!(env!("OUT_DIR"), "/hone.skel.rs"));
}
#[cfg(test)]
mod assembler;
mod capture;
mod clock;
mod container;
mod decoder;
mod error;
mod exclusive;
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
mod host;
mod inherited;
mod loopback;
mod names;
mod preflight;
mod priority;
mod programs;
mod record;
mod requirements;
mod ring;
mod sensor;
mod starts;
mod trace_fs;
mod unit;
mod unreadable;

pub use capture::Capture;
pub use clock::{now, utc_offset};
pub use error::SensorError;
pub use hone_types::{Mechanism, SnapLength};
pub use host::{HostInfo, host, section};
pub use inherited::inherited;
pub use names::{group_id, user_id, user_name};
pub use priority::raise_priority;
pub use programs::mechanism;
pub use sensor::{DEFAULT_RING_BYTES, RING_BYTES, Sensor, SensorConfig};
pub use unit::unit_of;
