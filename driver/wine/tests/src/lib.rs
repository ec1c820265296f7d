//! Tests of the real `hone.sys` under Wine, controlled from Linux. The driver is loaded as a service, the stand-in for
//! `fwpkclnt.sys` reports events to it on command, and probes are its readers. `scripts/test-windows` builds all of
//! them and puts their folder into `HONE_WINE`. Without it, or without Wine, the tests print `skipped:`.
//!
//! Only one driver runs at a time: a test owns it as long as it has a [`Driver`].

#![forbid(unsafe_code)]

mod driver;
mod honeutil;
mod native;
mod probe;
mod scenario;
mod stand_in;
mod step;
mod wine;

pub use driver::{Driver, Left, driver};
pub use honeutil::{Ended, Folder, Honeutil, wait};
pub use native::Native;
pub use probe::{Event, Failed, File, Pipe, Probe};
pub use scenario::{
    LATER, NOW, WIDE, assert_same, everything, happen, packet, start_processes, stock_readers,
};
pub use stand_in::StandIn;
pub use step::{Packet, Step};
pub use wine::Wine;

/// Bytes as hexadecimal digits, `-` for none.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

/// Hexadecimal digits as bytes.
///
/// # Panics
/// `text` is not hexadecimal.
#[must_use]
pub fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits are ASCII");
            u8::from_str_radix(pair, 16).expect("these are digits")
        })
        .collect()
}
