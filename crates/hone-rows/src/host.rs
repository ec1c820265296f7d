//! The host of a section.

use hone_pcapng::{HostId, Section};

/// The scope in which connection ids are unique: the recordings of one host or, if the host has no identity, one input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Its GUID.
    Guid([u8; 16]),
    /// The name that its administrator chose.
    Name(String),
    /// It has no identity: the position of the input.
    OfInput(usize),
}

impl Host {
    /// The host of a section of the input at this position.
    pub fn of(section: &Section<'_>, input: usize) -> Self {
        match &section.host {
            Some(HostId::Guid(guid)) => Self::Guid(*guid),
            Some(HostId::Name(name)) => Self::Name(name.to_string()),
            None => Self::OfInput(input),
        }
    }
}
