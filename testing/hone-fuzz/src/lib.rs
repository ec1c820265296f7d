//! The fuzz targets. Each target accepts any bytes, and panics if the code that it tests breaks a promise.
//!
//! They run in three ways: with libFuzzer in `testing/fuzz/`, which needs a nightly compiler; a bounded number of
//! inputs in `tests/smoke.rs`, as a part of `cargo test`; and one input that failed, with the example `replay`. The
//! seeds are made here, by the same code that writes valid data. `testing/fuzz/corpus` keeps further inputs that
//! libFuzzer has found; `testing/fuzz/regressions` keeps inputs that have failed. The target for the driver's requests
//! is in the driver's workspace: `driver/kernel/hone-driver/tests/hostile.rs`.

#![forbid(unsafe_code)]

mod api;
pub mod bounded;
mod engine;
mod files;
mod frames;
mod input;
mod kernel;
mod names;
mod packet;
mod pcapng;

pub mod seeds;

pub use api::api_request;
pub use engine::engine_events;
pub use files::{
    configuration, cut_stream, filter_expression, local_files, option_values, selection_text,
    show_compressed, show_stream,
};
pub use frames::{client_frames, server_frames, server_session};
pub use kernel::kernel_records;
pub use names::packet_names;
pub use packet::packet_checksums;
pub use pcapng::pcapng_reader;

/// A target: its name, its function, and the function that makes its seeds.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All targets. Their names are those in `testing/fuzz/fuzz_targets`.
pub const TARGETS: [Target; 17] = [
    ("pcapng_reader", pcapng_reader, seeds::pcapng_reader),
    ("api_request", api_request, seeds::api_request),
    ("engine_events", engine_events, seeds::engine_events),
    ("packet_checksums", packet_checksums, seeds::packet_checksums),
    ("packet_names", packet_names, seeds::packet_names),
    ("show_stream", show_stream, seeds::show_stream),
    ("cut_stream", cut_stream, seeds::show_stream),
    ("show_compressed", show_compressed, seeds::show_compressed),
    ("filter_expression", filter_expression, seeds::filter_expression),
    ("selection_text", selection_text, seeds::selection_text),
    ("option_values", option_values, seeds::option_values),
    ("configuration", configuration, seeds::configuration),
    ("local_files", local_files, seeds::local_files),
    ("server_frames", server_frames, seeds::server_frames),
    ("server_session", server_session, seeds::server_session),
    ("client_frames", client_frames, seeds::client_frames),
    ("kernel_records", kernel_records, seeds::kernel_records),
];
