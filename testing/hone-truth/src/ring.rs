//! io_uring, one request at a time.

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, squeue};
use nix::errno::Errno;

/// Does one thing through the ring, and returns its result. Buffers that the entry points to must outlive the call.
///
/// # Errors
/// The kernel refuses it, or it fails.
pub(crate) fn submit(ring: &mut IoUring, entry: &squeue::Entry) -> Result<i32> {
    // SAFETY: the callers' buffers outlive this call, which returns only when the kernel is done with them.
    unsafe { ring.submission().push(entry) }.context("the ring is full")?;
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => break result.map(drop)?,
        }
    }
    let done = ring.completion().next().context("the ring has no result")?;
    ensure!(done.result() >= 0, "io_uring: {}", Errno::from_raw(-done.result()));
    Ok(done.result())
}
