//! See `hone_fuzz::packet_names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::packet_names(input));
