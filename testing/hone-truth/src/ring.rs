//! Runs io_uring requests, one at a time.

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, squeue};
use nix::errno::Errno;

/// Submits one request to the ring and returns its result. Buffers that the entry refers to must outlive the call.
///
/// # Errors
/// The kernel refuses the request, or the request fails.
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
