//! What is read from files that others have written, for the fuzz targets (`hone-fuzz`).

use std::net::SocketAddr;

use super::proc_net::{self, LISTS};

pub use super::manage::fuzzing::manifest;

/// A socket as a list has it: protocol, both ends, inode.
pub type Socket = (u8, SocketAddr, Option<SocketAddr>, u64);

/// The sockets in the text of one of the kernel's lists, `which` by its number.
#[must_use]
pub fn listed_sockets(which: u8, text: &str) -> Vec<Socket> {
    let (_, protocol) = LISTS[usize::from(which) % LISTS.len()];
    let fields = |socket: proc_net::Socket| (socket.protocol, socket.local, socket.remote, socket.inode);
    proc_net::parse(text, protocol).map(fields).collect()
}
