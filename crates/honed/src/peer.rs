//! Which user a client is, and whether it may read. Packets can contain everybody's secrets, so not every user may.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use hone_client::Credentials;

/// Most supplementary groups that are read: the kernel's own limit.
const MAX_GROUPS: usize = 65_536;

/// The process at the other end, as it was when it connected.
#[derive(Debug)]
pub(crate) struct Peer {
    credentials: Credentials,
    groups: Vec<u32>,
}

impl Peer {
    pub(crate) fn of(socket: &UnixStream) -> io::Result<Self> {
        let credentials = Credentials::of(socket)?;
        let mut groups = supplementary_groups(socket)?;
        groups.push(credentials.group);
        Ok(Self { credentials, groups })
    }

    pub(crate) const fn user(&self) -> u32 {
        self.credentials.user
    }

    pub(crate) const fn process(&self) -> Option<u32> {
        self.credentials.process
    }

    pub(crate) const fn is_root(&self) -> bool {
        self.user() == 0
    }

    /// Root, or a member of the group.
    pub(crate) fn may_read(&self, group: Option<u32>) -> bool {
        self.is_root() || group.is_some_and(|group| self.groups.contains(&group))
    }
}

impl Display for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.credentials.fmt(f)
    }
}

/// The supplementary groups that the process had when it connected: `SO_PEERGROUPS`. /proc would show the groups of the
/// process that has this id now, which may be another one.
fn supplementary_groups(socket: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let bytes = size_of_val(groups.as_slice());
        let mut length = libc::socklen_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to the start of `groups`, which has so many, and how many it
        // were (or would be) to `length`; both live through the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MAX_GROUPS {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_members_of_the_group_may_read() {
        let peer = |user| {
            let credentials = Credentials { process: Some(1), user, group: 100 };
            Peer { credentials, groups: vec![100, 7] }
        };
        assert!(peer(0).may_read(None));
        assert!(peer(1000).may_read(Some(7)));
        assert!(!peer(1000).may_read(Some(8)));
        assert!(!peer(1000).may_read(None));
    }

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (socket, _other) = UnixStream::pair().expect("a pair can be made");
        let peer = Peer::of(&socket).expect("it has credentials");
        assert_eq!(peer.credentials.process, Some(std::process::id()));
        assert_eq!(peer.is_root(), rustix::process::geteuid().is_root());
    }
}
