//! See `hone_fuzz::selection_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hone_fuzz::selection_text(input));
