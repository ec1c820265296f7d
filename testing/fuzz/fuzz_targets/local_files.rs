//! See `hone_fuzz::local_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::local_files(input));
