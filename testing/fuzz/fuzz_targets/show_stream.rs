//! See `hone_fuzz::show_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::show_stream(input));
