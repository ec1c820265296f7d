//! See `hone_fuzz::server_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::server_frames(input));
