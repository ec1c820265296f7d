//! See `hone_fuzz::cut_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::cut_stream(input));
