//! See `driver/kernel/hone-driver/tests/common/hostile.rs`.
#![no_main]

#[path = "../../../driver/kernel/hone-driver/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::hostile::driver_requests(input));
