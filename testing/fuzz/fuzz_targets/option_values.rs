//! See `hone_fuzz::option_values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::option_values(input));
