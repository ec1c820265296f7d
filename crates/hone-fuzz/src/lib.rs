//! What the fuzz targets do with their bytes. Each target takes any bytes at all, and panics where what it drives does
//! not keep a promise.
//!
//! Three things run them: `fuzz/` under libFuzzer, which needs a nightly compiler; `tests/smoke.rs`, a bounded part of
//! `cargo test`; and, for one input that failed, the example `replay`. The seeds are made here, by the code that knows
//! what sound input looks like, so that there are no opaque files to keep.

mod api;
mod engine;
mod input;
mod packet;
mod pcapng;

pub mod seeds;

pub use api::api_request;
pub use engine::engine_events;
pub use packet::packet_checksums;
pub use pcapng::pcapng_reader;

/// A target: its name, what it does with bytes, and its seeds.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All targets, each by the name it has in `fuzz/fuzz_targets`.
pub const TARGETS: [Target; 4] = [
    ("pcapng_reader", pcapng_reader, seeds::pcapng_reader),
    ("api_request", api_request, seeds::api_request),
    ("engine_events", engine_events, seeds::engine_events),
    ("packet_checksums", packet_checksums, seeds::packet_checksums),
];
