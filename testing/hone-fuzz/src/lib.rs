//! What the fuzz targets do with their bytes. Each target takes any bytes at all, and panics where what it drives does
//! not keep a promise.
//!
//! Three things run them: `testing/fuzz/` under libFuzzer, which needs a nightly compiler; `tests/smoke.rs`, a bounded part of
//! `cargo test`; and, for one input that failed, the example `replay`. The seeds are made here, by the code that knows
//! what sound input looks like; `testing/fuzz/corpus` keeps what libFuzzer has found beyond them, `testing/fuzz/regressions` what failed
//! once. The driver's requests have their target beside the driver: `driver/kernel/hone-driver/tests/hostile.rs`.

#![forbid(unsafe_code)]

mod api;
pub mod bounded;
mod engine;
mod files;
mod frames;
mod input;
mod kernel;
mod packet;
mod pcapng;

pub mod seeds;

pub use api::api_request;
pub use engine::engine_events;
pub use files::{configuration, filter_expression, local_files, option_values, show_compressed, show_stream};
pub use frames::{client_frames, server_frames, server_session};
pub use kernel::kernel_records;
pub use packet::packet_checksums;
pub use pcapng::pcapng_reader;

/// A target: its name, what it does with bytes, and its seeds.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All targets, each by the name it has in `testing/fuzz/fuzz_targets`.
pub const TARGETS: [Target; 14] = [
    ("pcapng_reader", pcapng_reader, seeds::pcapng_reader),
    ("api_request", api_request, seeds::api_request),
    ("engine_events", engine_events, seeds::engine_events),
    ("packet_checksums", packet_checksums, seeds::packet_checksums),
    ("show_stream", show_stream, seeds::show_stream),
    ("show_compressed", show_compressed, seeds::show_compressed),
    ("filter_expression", filter_expression, seeds::filter_expression),
    ("option_values", option_values, seeds::option_values),
    ("configuration", configuration, seeds::configuration),
    ("local_files", local_files, seeds::local_files),
    ("server_frames", server_frames, seeds::server_frames),
    ("server_session", server_session, seeds::server_session),
    ("client_frames", client_frames, seeds::client_frames),
    ("kernel_records", kernel_records, seeds::kernel_records),
];
