//! See `hone_fuzz::filter_expression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::filter_expression(input));
