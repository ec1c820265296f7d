//! What a section header says of this machine.

use std::fs;

use hone_engine::{HostIdentity, SectionInfo};
use sha2::{Digest, Sha256};

/// This machine, as a section header describes it.
#[derive(Debug, Clone)]
pub struct HostInfo {
    /// `uname -n`.
    pub host_name: String,
    /// Machine, processor model, number of processors.
    pub hardware: String,
    /// `uname`: sysname nodename release version machine.
    pub os: String,
    /// A lasting identity of this machine: a hash of `/etc/machine-id`, which itself is confidential (machine-id(5)).
    /// `None` where that file is missing or empty.
    pub id: Option<[u8; 16]>,
}

/// What a section says of this machine and of Hone.
#[must_use]
pub fn section() -> SectionInfo {
    let host = host();
    SectionInfo {
        hardware: host.hardware.into(),
        os: host.os.into(),
        application: concat!("Hone ", env!("CARGO_PKG_VERSION")).into(),
        host: host.id.map(HostIdentity::Guid).unwrap_or_default(),
        boot: boot_id(),
        comment: Vec::new(),
        interface: b"all sockets of the host".to_vec(),
    }
}

/// Describes this machine.
#[must_use]
pub fn host() -> HostInfo {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let host_name = text(uname.nodename());
    let machine = text(uname.machine());
    let os = [
        text(uname.sysname()),
        host_name.clone(),
        text(uname.release()),
        text(uname.version()),
        machine.clone(),
    ]
    .join(" ");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|info| {
        let line = info.lines().find(|line| line.starts_with("model name"))?;
        Some(format!(", {}", line.split_once(':')?.1.trim()))
    });
    let hardware = format!("{machine}{}, {processors} processors", model.unwrap_or_default());
    HostInfo { host_name, hardware, os, id: machine_id() }
}

/// The id that the kernel made for this boot (random(4)); `None` if `/proc` does not have it.
fn boot_id() -> Option<[u8; 16]> {
    parse_uuid(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The bytes of a UUID as the kernel writes it: 32 hexadecimal digits, and dashes.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits = text.trim().replace('-', "");
    let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?;
    Some(number.to_be_bytes())
}

fn machine_id() -> Option<[u8; 16]> {
    let id = fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    if id.is_empty() {
        return None;
    }
    Some(host_id(id))
}

/// The identity that a confidential text stands for: a GUID made of a hash of it.
fn host_id(text: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::new().chain_update(b"hone host id\0").chain_update(text).finalize().into();
    let mut guid = [0; 16];
    guid.copy_from_slice(&hash[..16]);
    // RFC 9562, section 5.8: a UUID of our own making, version 8.
    guid[6] = guid[6] & 0x0f | 0x80;
    guid[8] = guid[8] & 0x3f | 0x80;
    guid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_named_by_the_bytes_of_its_uuid() {
        let id =
            [0x0b, 0x6e, 0xc8, 0xa3, 0x27, 0x1d, 0x4f, 0x6c, 0x9d, 0x0e, 0x1f, 0x20, 0x31, 0x42, 0x53, 0x64];
        assert_eq!(parse_uuid("0b6ec8a3-271d-4f6c-9d0e-1f2031425364\n"), Some(id));
        for text in
            ["", "0b6ec8a3", "0b6ec8a3-271d-4f6c-9d0e-1f203142536g", "+b6ec8a3-271d-4f6c-9d0e-1f2031425364"]
        {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
        assert_eq!(boot_id(), boot_id(), "the same all the time");
        assert!(section().boot.is_some());
    }
}
