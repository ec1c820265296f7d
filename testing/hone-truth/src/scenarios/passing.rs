//! Every way in which the kernel lets one process pass a descriptor to another.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, opcode, types};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, UnixAddr, UnixCredentials, recvmsg,
    sendmmsg, sendmsg,
};

use super::skip;
use crate::ring::submit;

/// How a descriptor is passed, directly over a pair of Unix sockets or with their help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// `sendmsg(2)` with `SCM_RIGHTS`.
    Message,
    /// `sendmmsg(2)` with `SCM_RIGHTS`.
    Messages,
    /// `SCM_RIGHTS` behind four other control messages.
    Fifth,
    /// `IORING_OP_SENDMSG` with `SCM_RIGHTS`.
    Ring,
    /// `IORING_OP_MSG_RING` from one ring's table of files to another's.
    RingToRing,
    /// The receiver fetches it with `pidfd_getfd(2)`.
    Taken,
}

/// Passes a descriptor. After this returns, the caller may close its own descriptor.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn pass(how: Pass, mut line: &UnixStream, socket: BorrowedFd<'_>) -> Result<()> {
    let sockets = [socket.as_raw_fd()];
    let byte = [IoSlice::new(b"!")];
    let rights = ControlMessage::ScmRights(&sockets);
    match how {
        Pass::Message => {
            sendmsg::<UnixAddr>(line.as_raw_fd(), &byte, &[rights], MsgFlags::empty(), None)?;
        }
        Pass::Messages => {
            let space = nix::cmsg_space!([RawFd; 1]);
            let mut headers = MultiHeaders::<UnixAddr>::preallocate(1, Some(space));
            let parts = [byte];
            let sent = sendmmsg(line.as_raw_fd(), &mut headers, &parts, [None], [rights], MsgFlags::empty())?;
            ensure!(sent.count() == 1, "the message was not sent");
        }
        Pass::Fifth => {
            let who = UnixCredentials::new();
            let other = || ControlMessage::ScmCredentials(&who);
            let messages = [other(), other(), other(), other(), rights];
            sendmsg::<UnixAddr>(line.as_raw_fd(), &byte, &messages, MsgFlags::empty(), None)?;
        }
        Pass::Ring => send_through_ring(line, socket)?,
        Pass::RingToRing => {
            let theirs = fetch(place_of(line)?)?;
            let mut ring = IoUring::new(2)?;
            ring.submitter().register_files(&sockets)?;
            let slot = types::DestinationSlot::try_from_slot_target(0)
                .map_err(|slot| anyhow::anyhow!("slot {slot}"))?;
            let entry = opcode::MsgRingSendFd::new(types::Fd(theirs.as_raw_fd()), types::Fixed(0), slot, 0);
            submit(&mut ring, &entry.build())?;
            line.write_all(b"!")?;
        }
        Pass::Taken => {
            send_place(line, socket.as_raw_fd())?;
            line.read_exact(&mut [0]).context("nobody took the socket")?;
        }
    }
    Ok(())
}

/// Waits for the descriptor that the other end passes in the same way, and takes it.
///
/// # Errors
/// No descriptor arrives.
pub(super) fn take(how: Pass, mut line: &UnixStream) -> Result<OwnedFd> {
    match how {
        Pass::Message | Pass::Messages | Pass::Fifth | Pass::Ring => {}
        Pass::RingToRing => {
            let mut ring = IoUring::new(2)?;
            ring.submitter().register_files_sparse(1)?;
            send_place(line, ring.as_raw_fd())?;
            line.read_exact(&mut [0]).context("nobody passes a socket")?;
            ring.completion().sync();
            ensure!(ring.completion().next().is_some(), "the ring was given nothing");
            let descriptor = submit(&mut ring, &opcode::FixedFdInstall::new(types::Fixed(0), 0).build())?;
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
        Pass::Taken => {
            let socket = fetch(place_of(line)?)?;
            line.write_all(b"!")?;
            return Ok(socket);
        }
    }
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let message =
        recvmsg::<UnixAddr>(line.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let found = message.cmsgs()?.find_map(|rights| match rights {
        ControlMessageOwned::ScmRights(sockets) => sockets.first().copied(),
        _ => None,
    });
    let socket = found.context("no socket was passed")?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Checks whether this kernel supports this way.
///
/// # Errors
/// The kernel does not support it. The error is a reason to skip a scenario.
pub(super) fn possible(how: Pass) -> Result<()> {
    let tried = match how {
        Pass::Message | Pass::Messages | Pass::Fifth => Ok(()),
        Pass::Ring => IoUring::new(2).map(drop).map_err(Into::into),
        Pass::RingToRing | Pass::Taken => std::thread::scope(|scope| {
            let (one, other) = UnixStream::pair()?;
            let passer = scope.spawn(move || pass(how, &one, std::os::fd::AsFd::as_fd(&one)));
            let taken = take(how, &other);
            // Lets the passing thread end, too.
            drop(other);
            super::tcp::joined(passer.join())?;
            taken.map(drop)
        }),
    };
    tried.map_err(|error| skip(format_args!("{how:?}: {error:#}")))
}

/// A control message with one descriptor, in the kernel's memory layout.
#[repr(C)]
struct Rights {
    header: libc::cmsghdr,
    descriptor: RawFd,
}

fn send_through_ring(line: &UnixStream, socket: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: all of it is numbers and pointers, for which zero is a value.
    let (mut rights, mut message) = unsafe { std::mem::zeroed::<(Rights, libc::msghdr)>() };
    rights.header.cmsg_level = libc::SOL_SOCKET;
    rights.header.cmsg_type = libc::SCM_RIGHTS;
    rights.header.cmsg_len = std::mem::offset_of!(Rights, descriptor) + size_of::<RawFd>();
    rights.descriptor = socket.as_raw_fd();
    let mut byte = *b"!";
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut rights).cast();
    message.msg_controllen = size_of::<Rights>();
    let mut ring = IoUring::new(2)?;
    let entry = opcode::SendMsg::new(types::Fd(line.as_raw_fd()), &raw const message).build();
    ensure!(submit(&mut ring, &entry)? == 1, "the message was cut");
    Ok(())
}

/// Sends the process id and the descriptor number that the other end may fetch.
fn send_place(mut line: &UnixStream, descriptor: RawFd) -> Result<()> {
    let place = [std::process::id(), descriptor.try_into()?];
    Ok(line.write_all(place.map(u32::to_ne_bytes).as_flattened())?)
}

fn place_of(mut line: &UnixStream) -> Result<[u32; 2]> {
    let mut place = [[0; 4]; 2];
    line.read_exact(place.as_flattened_mut()).context("nothing to take")?;
    Ok(place.map(u32::from_ne_bytes))
}

/// Duplicates another process's descriptor into this process: `pidfd_getfd(2)`.
fn fetch([process, descriptor]: [u32; 2]) -> Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    let process = Errno::result(process).context("pidfd_open")?.try_into()?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    let process = unsafe { OwnedFd::from_raw_fd(process) };
    // SAFETY: the call takes numbers only.
    let found = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0) };
    let found = Errno::result(found).context("pidfd_getfd")?.try_into()?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}
