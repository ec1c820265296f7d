//! The description of host and driver that every section begins with.

use alloc::vec::Vec;

use hone_engine::{HostIdentity, OutOfMemory, SectionInfo};

use crate::text::formatted as text;

/// What is known about the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host {
    /// Windows' version: major, minor, build.
    pub version: (u32, u32, u32),
    /// Service pack; 0 if there is none.
    pub service_pack: u16,
    /// Whether Windows is a server edition.
    pub is_server: bool,
    /// The processors' architecture, for example `x86`.
    pub architecture: &'static str,
    /// Identity of the host; all zeros if it is unknown.
    pub id: [u8; 16],
}

impl Host {
    /// The description that a section's header contains.
    pub(crate) fn section(&self) -> Result<SectionInfo, OutOfMemory> {
        let Self { version: (major, minor, build), service_pack, is_server, architecture, id } = *self;
        let kind = if is_server { "server" } else { "workstation" };
        let bits = usize::BITS;
        Ok(SectionInfo {
            hardware: text(format_args!("{bits}-bit {architecture} {kind}"))?,
            os: match service_pack {
                0 => text(format_args!("Windows {major}.{minor} {bits}-bit build {build}"))?,
                pack => text(format_args!(
                    "Windows {major}.{minor} Service Pack {pack} {bits}-bit build {build}"
                ))?,
            },
            application: text(format_args!("Hone {}", env!("CARGO_PKG_VERSION")))?,
            host: HostIdentity::Guid(id),
            boot: None,
            comment: Vec::new(),
            interface: text(format_args!("Windows Filtering Platform, transport layers"))?,
        })
    }
}
