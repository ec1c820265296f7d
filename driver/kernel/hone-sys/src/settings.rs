//! The driver's settings in the registry. Keeps no state.
//!
//! The ring buffer's size is where the original has it ("Setting the Driver Ring Buffer Size"). The log levels and the
//! host's identity are in the key of the service: they are needed when the driver is loaded, and when the system starts,
//! no other part of the registry is available yet.

use hone_driver::Setting;
use hone_wdm::{NTSTATUS, Passive, registry, system, wide};

const VENDOR: &[u16] = wide!("\\Registry\\Machine\\SOFTWARE\\PNNL");
const PRODUCT: &[u16] = wide!("\\Registry\\Machine\\SOFTWARE\\PNNL\\Hone");
const SERVICE: &[u16] = wide!("\\Registry\\Machine\\SYSTEM\\CurrentControlSet\\Services\\hone");

/// Where a setting is: the key, and the value's name.
const fn place(setting: Setting) -> (&'static [u16], &'static [u16]) {
    match setting {
        Setting::RingBytes => (PRODUCT, wide!("RingBufferSize")),
        Setting::LogLevels => (SERVICE, wide!("LogLevels")),
    }
}

/// The value of a setting; `None` if it was never set.
pub(crate) fn number(passive: Passive, setting: Setting) -> Option<u32> {
    let (key, name) = place(setting);
    registry::number(passive, key, name)
}

/// Keeps the value of a setting. Makes the keys that are missing.
pub(crate) fn keep(passive: Passive, setting: Setting, value: u32) -> Result<(), NTSTATUS> {
    let (key, name) = place(setting);
    if setting == Setting::RingBytes {
        registry::create_key(passive, VENDOR)?;
    }
    registry::set_number(passive, key, name, value)
}

/// The host's identity. It is made when the driver is loaded for the first time, and then kept.
pub(crate) fn host_id(passive: Passive) -> [u8; 16] {
    let name = wide!("SystemId");
    registry::binary(passive, SERVICE, name).unwrap_or_else(|| {
        let id = system::new_id(passive);
        if let Err(status) = registry::set_binary(passive, SERVICE, name, &id) {
            hone_wdm::debug::show(1, format_args!("the host's identity cannot be kept: {status:#x}"));
        }
        id
    })
}
