//! See `hone_fuzz::kernel_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::kernel_records(input));
