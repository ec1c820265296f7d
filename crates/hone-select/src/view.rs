//! Processes and packets as conditions see them.

use hone_packet::Headers;
use hone_types::{ConnectionId, Direction};

/// What is known of a process. What is empty or `None` is not known, or the process has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessView<'a> {
    /// The process id. `None`: what has it now is not the process that is meant by it.
    pub pid: Option<u32>,
    /// The executable's whole path.
    pub path: &'a [u8],
    /// The user's number.
    pub user: Option<u32>,
    /// The user's name.
    pub user_name: &'a [u8],
    /// The user's security identifier, of Windows, as `S-1-5-18`.
    pub security_id: &'a [u8],
    /// The group's number.
    pub group: Option<u32>,
    /// The group's name.
    pub group_name: &'a [u8],
    /// The container's id or name.
    pub container: &'a [u8],
    /// The systemd unit, such as `ssh.service`.
    pub unit: &'a [u8],
}

impl ProcessView<'_> {
    /// Whether it is a process of Windows: there, upper and lower case of names are alike.
    #[must_use]
    pub const fn is_of_windows(&self) -> bool {
        !self.security_id.is_empty() || matches!(self.path, [_, b':', b'\\', ..] | [b'\\', ..])
    }
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketView<'a> {
    /// From the IP header on, as far as it was captured; empty if there is none.
    pub ip: &'a [u8],
    /// What its IP headers contain; `None` if they are malformed or cut off.
    pub headers: Option<Headers<'a>>,
    /// Length on the wire, from the IP header on.
    pub length: u32,
    /// Which way it goes.
    pub direction: Option<Direction>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// The names that it has, and those of its connection: in lower case, without a dot at the end. Live packets have none.
    pub names: &'a [&'a str],
    /// Whether it has a link layer that is not decoded. Then nothing is known of its content, and no word of a packet
    /// but `conn` lets it pass, not even a `not-` one.
    pub is_undecoded: bool,
}
