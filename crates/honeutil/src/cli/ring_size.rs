//! `honeutil ring-size`: shows or sets the ring buffer of honed's new readers.

use std::process::ExitCode;

use hone_client::api::limits::{HARD_MAX_RING_BYTES, MIN_RING_BYTES};
use hone_engine::RING_SLOT_BYTES;

use super::service_choice::ServiceAddress;
use crate::messages::print;
use crate::platform::Service;
use crate::record::control::Control;
use crate::text::{bytes, counted};

/// Show or set the ring buffer of honed's new readers
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct RingSizeArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceAddress,

    /// Bytes: 1024 to 16777216; one block of the stream takes 8
    #[arg(value_name = "BYTES", value_parser = ring_size)]
    pub bytes: Option<u32>,
}

/// Below the help.
const NOTES: &str = "\
Readers that are attached keep their ring buffers. The setting lasts until
honed ends; ring_buffer_size in /etc/hone/hone.toml is permanent.

Examples:
  honeutil ring-size
  honeutil ring-size 4194304";

fn ring_size(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|bytes| (MIN_RING_BYTES..=HARD_MAX_RING_BYTES).contains(bytes))
        .ok_or_else(|| format!("must be {MIN_RING_BYTES} to {HARD_MAX_RING_BYTES} bytes"))
}

pub(super) fn run(args: &RingSizeArgs) -> anyhow::Result<ExitCode> {
    let mut honed = Service::open(&args.service, &Control::new())?;
    if let Some(bytes) = args.bytes {
        honed.connection().set_ring_bytes(bytes)?;
    }
    let size = honed.connection().statistics()?.ring_bytes;
    let blocks = size / RING_SLOT_BYTES as u64;
    print(&format!("{size} bytes ({}): {}\n", bytes(size), counted(blocks, "block")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_outside_the_range_is_refused_with_the_range() {
        assert_eq!(ring_size("1024"), Ok(1024));
        for text in ["1023", "16777217", "4K", ""] {
            assert!(ring_size(text).unwrap_err().contains("1024 to 16777216"), "{text}");
        }
    }
}
