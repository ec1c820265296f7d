//! See `hone_fuzz::show_compressed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::show_compressed(input));
