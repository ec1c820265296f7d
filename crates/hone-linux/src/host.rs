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
