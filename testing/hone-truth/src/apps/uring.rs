//! An HTTP server that accepts, reads and writes with io_uring. Debian 12 has no package of such a server.
//!
//! Four processes share a listener. Each one serves one connection at a time.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, opcode, types};
use nix::unistd::{ForkResult, fork};

use crate::ring::submit;

const WORKERS: usize = 4;

/// Serves until it is killed.
///
/// # Errors
/// The address is in use, or this process may not use io_uring.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot bind to {address}"))?;
    for _ in 1..WORKERS {
        // SAFETY: this process has one thread, so the child may do anything.
        if let ForkResult::Child = unsafe { fork() }? {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            break;
        }
    }
    let mut ring = IoUring::new(8).context("no io_uring")?;
    loop {
        let no_address = std::ptr::null_mut();
        let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), no_address, std::ptr::null_mut());
        let connection = submit(&mut ring, &accept.build())?;
        // The server continues if a client disconnects.
        if let Err(error) = answer(&mut ring, connection) {
            eprintln!("{error:#}");
        }
        submit(&mut ring, &opcode::Close::new(types::Fd(connection)).build())?;
    }
}

/// Answers the requests of a connection until the client closes it.
fn answer(ring: &mut IoUring, connection: RawFd) -> Result<()> {
    let mut request = vec![0; 4096];
    let mut had = 0;
    loop {
        let rest = &mut request[had..];
        let length = u32::try_from(rest.len())?;
        let receive = opcode::Recv::new(types::Fd(connection), rest.as_mut_ptr(), length);
        let count = submit(ring, &receive.build())?;
        if count == 0 {
            return Ok(());
        }
        had += usize::try_from(count)?;
        ensure!(had < request.len(), "the request is too long");
        if request[..had].ends_with(b"\r\n\r\n") {
            let body = if request.starts_with(b"GET /large ") {
                "0123456789abcdef".repeat(40_000)
            } else {
                "small\n".into()
            };
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            send(ring, connection, response.as_bytes())?;
            had = 0;
        }
    }
}

fn send(ring: &mut IoUring, connection: RawFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let send = opcode::Send::new(types::Fd(connection), bytes.as_ptr(), u32::try_from(bytes.len())?);
        // With MSG_NOSIGNAL, a closed connection is an error and not a signal.
        let sent = submit(ring, &send.flags(libc::MSG_NOSIGNAL).build())?;
        bytes = &bytes[usize::try_from(sent)?..];
    }
    Ok(())
}
