//! See `hone_fuzz::client_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::client_frames(input));
