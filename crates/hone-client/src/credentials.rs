//! Which process is at the other end of a local socket: `SO_PEERCRED`, see unix(7).

use std::fmt::{self, Display, Formatter};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _};

/// The process at the other end of a local socket, as it was when it connected or began to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Its id in this process's pid namespace; `None`: it is outside this namespace and has no id in it.
    pub process: Option<u32>,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
}

impl Credentials {
    /// Reads the credentials of the other end of `socket`.
    ///
    /// # Errors
    /// It is not a connected local socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let mut peer = MaybeUninit::<libc::ucred>::zeroed();
        let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to `peer`, which has so many, and how many it were to `length`;
        // both live through the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                peer.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: three integers, all zero before the call; any value is one of theirs.
        let peer = unsafe { peer.assume_init() };
        Ok(Self { process: number(peer.pid), user: peer.uid, group: peer.gid })
    }
}

/// A process id. The kernel reports 0 for a process that has no id in the pid namespace of the caller.
fn number(pid: libc::pid_t) -> Option<u32> {
    u32::try_from(pid).ok().filter(|&pid| pid != 0)
}

impl Display for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process} of user {}", self.user),
            None => write!(f, "a process outside this pid namespace, of user {}", self.user),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (socket, _other) = UnixStream::pair().expect("a pair can be made");
        let peer = Credentials::of(&socket).expect("it has credentials");
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(peer, Credentials { process: Some(std::process::id()), user, group });
        assert_eq!(peer.to_string(), format!("process {} of user {user}", std::process::id()));
    }

    #[test]
    fn a_process_without_a_number_here_is_said_to_be_outside() {
        assert_eq!((number(0), number(-13), number(7)), (None, None, Some(7)));
        let peer = Credentials { process: None, user: 13, group: 13 };
        assert_eq!(peer.to_string(), "a process outside this pid namespace, of user 13");
    }

    #[test]
    fn what_is_not_connected_has_no_credentials() {
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let error = Credentials::of(&file).expect_err("it is no socket");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK), "{error}");
    }
}
