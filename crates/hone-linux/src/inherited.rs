//! File descriptors that the parent process has left open for this program.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// The first number that is not standard input, output or error.
const FIRST: RawFd = 3;

/// Takes over the descriptor with this number: it is closed when dropped, and no program that this one executes gets it.
/// Call it once for a number, before anything else is opened.
///
/// # Errors
/// It is not open, or one of the three standard ones.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it must be 3 or more"));
    }
    // SAFETY: a call with numbers alone; it changes a flag of the descriptor, if it is open.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the caller says that nothing else in this program has opened or taken it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
