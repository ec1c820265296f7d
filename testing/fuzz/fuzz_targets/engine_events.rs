//! See `hone_fuzz::engine_events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::engine_events(input));
