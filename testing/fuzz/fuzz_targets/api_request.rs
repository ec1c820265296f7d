//! See `hone_fuzz::api_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::api_request(input));
