//! `honeutil ring-size`: shows or sets the ring buffer of the service's new readers.

use std::process::ExitCode;

use hone_api::Request;
use hone_api::limits::MIN_RING_BYTES;
use hone_engine::RING_SLOT_BYTES;

use super::service_choice::ServiceAddress;
use crate::messages::print;
use crate::platform::{MAX_RING_BYTES, Service};
use crate::record::control::Control;
use crate::text::{bytes, counted};

#[cfg_attr(not(windows), doc = "Show or set the ring buffer of honed's new readers")]
#[cfg_attr(windows, doc = "Show or set the ring buffer of the driver's new readers")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub struct RingSizeArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceAddress,

    #[cfg_attr(not(windows), doc = "Bytes: 1024 to 16777216; one block of the stream takes 8")]
    #[cfg_attr(windows, doc = "Bytes: 1024 to 131072; one block of the stream takes 8")]
    #[arg(value_name = "BYTES", value_parser = ring_size)]
    pub bytes: Option<u32>,
}

/// Below the help.
#[cfg(target_os = "linux")]
const NOTES: &str = "\
Readers that are attached keep their ring buffers. The setting lasts until
honed ends; ring_buffer_size in /etc/hone/hone.toml is permanent.

Examples:
  honeutil ring-size
  honeutil ring-size 4194304";

/// Below the help.
#[cfg(windows)]
const NOTES: &str = "\
Readers that are attached keep their ring buffers. The driver keeps the setting
in the registry (RingBufferSize in HKLM\\SOFTWARE\\PNNL\\Hone), so it stays
after a restart. Sizes are rounded up to a power of two.

Examples:
  honeutil ring-size
  honeutil ring-size 65536";

fn ring_size(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|bytes| (MIN_RING_BYTES..=MAX_RING_BYTES).contains(bytes))
        .ok_or_else(|| format!("must be {MIN_RING_BYTES} to {MAX_RING_BYTES} bytes"))
}

pub(super) fn run(args: &RingSizeArgs) -> anyhow::Result<ExitCode> {
    let mut service = Service::open(&args.service, &Control::new())?;
    if let Some(bytes) = args.bytes {
        service.control(&Request::SetRingBytes(bytes))?;
    }
    let size = service.statistics()?.ring_bytes;
    let blocks = size / RING_SLOT_BYTES as u64;
    print(&format!("{size} bytes ({}): {}\n", bytes(size), counted(blocks, "block")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_outside_the_range_is_refused_with_the_range() {
        assert_eq!(
            (ring_size("1024"), ring_size(&MAX_RING_BYTES.to_string())),
            (Ok(1024), Ok(MAX_RING_BYTES))
        );
        for text in ["1023", &(MAX_RING_BYTES + 1).to_string(), "4K", ""] {
            let range = format!("must be 1024 to {MAX_RING_BYTES} bytes");
            assert_eq!(ring_size(text).unwrap_err(), range, "{text}");
        }
        // The help has the number itself.
        let help = <crate::cli::Cli as clap::CommandFactory>::command()
            .find_subcommand_mut("ring-size")
            .expect("it is a command")
            .render_long_help()
            .to_string();
        assert!(help.contains(&format!("1024 to {MAX_RING_BYTES}")), "{help}");
    }
}
