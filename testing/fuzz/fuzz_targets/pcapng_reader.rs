//! See `hone_fuzz::pcapng_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::pcapng_reader(input));
