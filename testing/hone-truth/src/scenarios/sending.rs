//! Ways to send other than send(2), and unusually large packets.

use std::fs::File;
use std::io::{IoSlice, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use io_uring::{IoUring, opcode, types};
use nix::fcntl::{SpliceFFlags, splice as splice_bytes};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile as send_file;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg};

use super::skip;
use crate::network::{End, refusal};
use crate::packet::Protocol;
use crate::ring::submit;
use crate::sockets::{
    MESSAGE, accept, connect, flow, hang_up, listen, quiet_listener, read, receive, serve, set_option, udp,
    write,
};
use crate::stage::{Actor, Part, Stage};
use crate::told::{Fact, Flow, now};

const PORT: u16 = 7400;
const ROUNDS: usize = 5;
/// Bytes of a large message.
const LARGE: usize = 100_000;
/// Largest size of a packet on a loopback interface in this scenario, in bytes.
const LARGEST: u32 = 190_000;

/// An actor at B that accepts one connection and reads large messages until the connection closes.
fn reader(stage: &Stage<'_>) -> Result<Actor> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "reader", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        while read(part, &stream, LARGE)? {}
        Ok(())
    })?;
    server.ready()?;
    Ok(server)
}

/// An actor at B that reads `count` datagrams.
fn sink(stage: &Stage<'_>, count: usize) -> Result<Actor> {
    let address = stage.address(End::B, PORT);
    let mut sink = stage.play(End::B, "sink", |part| {
        let socket = udp(part, address)?;
        part.ready()?;
        (0..count).try_for_each(|_| receive(part, &socket).map(drop))
    })?;
    sink.ready()?;
    Ok(sink)
}

pub(super) fn sendfile(stage: &mut Stage<'_>) -> Result<()> {
    let mut server = reader(stage)?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, stage.address(End::B, PORT))?;
        for _ in 0..ROUNDS {
            let (tag, message) = part.message(LARGE);
            let mut file = File::from(memfd_create("message", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(&message)?;
            file.rewind()?;
            let mut rest = LARGE;
            while rest > 0 {
                let count = send_file(&stream, &file, None, rest)?;
                ensure!(count > 0, "the file is shorter than it was");
                rest -= count;
            }
            part.sent(tag)?;
        }
        hang_up(stream)
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn splice(stage: &mut Stage<'_>) -> Result<()> {
    const SHORT: usize = 4000;
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "reader", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        let (out, into) = nix::unistd::pipe()?;
        for _ in 0..ROUNDS {
            let mut message = vec![0; SHORT];
            let mut had = 0;
            while had < SHORT {
                let count = splice_bytes(&stream, None, &into, None, SHORT - had, SpliceFFlags::empty())?;
                ensure!(count > 0, "closed too early");
                let mut moved = 0;
                while moved < count {
                    moved += nix::unistd::read(&out, &mut message[had + moved..had + count])?;
                }
                had += count;
            }
            part.read(&message)?;
        }
        ensure!(!read(part, &stream, 1)?, "more than expected");
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        let (out, into) = nix::unistd::pipe()?;
        for _ in 0..ROUNDS {
            let (tag, message) = part.message(SHORT);
            ensure!(nix::unistd::write(&into, &message)? == SHORT, "the pipe is too small");
            let mut rest = SHORT;
            while rest > 0 {
                rest -= splice_bytes(&out, None, &stream, None, rest, SpliceFFlags::empty())?;
            }
            part.sent(tag)?;
        }
        hang_up(stream)
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn zerocopy(stage: &mut Stage<'_>) -> Result<()> {
    let mut server = reader(stage)?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, stage.address(End::B, PORT))?;
        set_option(&stream, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
        // The kernel may send from these buffers until the other end has received everything.
        let mut buffers = Vec::new();
        for _ in 0..ROUNDS {
            let (tag, message) = part.message(LARGE);
            let mut rest = &message[..];
            while !rest.is_empty() {
                let parts = [IoSlice::new(rest)];
                let flags = MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);
                let count = sendmsg::<()>(stream.as_raw_fd(), &parts, &[], flags, None)?;
                rest = &rest[count..];
            }
            part.sent(tag)?;
            buffers.push(message);
        }
        hang_up(stream)?;
        drop(buffers);
        Ok(())
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn several(stage: &mut Stage<'_>) -> Result<()> {
    const COUNT: usize = 8;
    let mut sink = sink(stage, ROUNDS * COUNT)?;
    let to = stage.address(End::B, PORT);
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        for _ in 0..ROUNDS {
            let mut messages = Vec::new();
            messages.resize_with(COUNT, || part.message(MESSAGE));
            let parts: Vec<_> = messages.iter().map(|(_, message)| [IoSlice::new(message)]).collect();
            let ends = vec![Some(SockaddrStorage::from(to)); COUNT];
            let mut headers = MultiHeaders::preallocate(COUNT, None);
            let none: [ControlMessage<'_>; 0] = [];
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &parts, ends, none, MsgFlags::empty())?;
            ensure!(sent.count() == COUNT, "not all datagrams were sent");
            messages.iter().try_for_each(|(tag, _)| part.sent(*tag))?;
        }
        Ok(())
    })?;
    client.finish()?;
    sink.finish()
}

pub(super) fn segments(stage: &mut Stage<'_>) -> Result<()> {
    const COUNT: usize = 6;
    let mut sink = sink(stage, ROUNDS * COUNT)?;
    let to = stage.address(End::B, PORT);
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        for _ in 0..ROUNDS {
            let mut tags = Vec::new();
            let mut buffer = Vec::new();
            for _ in 0..COUNT {
                let (tag, message) = part.message(MESSAGE);
                tags.push(tag);
                buffer.extend(message);
            }
            let size = u16::try_from(MESSAGE)?;
            let segments = [ControlMessage::UdpGsoSegments(&size)];
            let end = SockaddrStorage::from(to);
            let parts = [IoSlice::new(&buffer)];
            let sent = sendmsg(socket.as_raw_fd(), &parts, &segments, MsgFlags::empty(), Some(&end))?;
            ensure!(sent == buffer.len(), "the buffer was cut");
            tags.into_iter().try_for_each(|tag| part.sent(tag))?;
        }
        Ok(())
    })?;
    client.finish()?;
    sink.finish()
}

fn ring_read(part: &Part, ring: &mut IoUring, stream: &TcpStream) -> Result<bool> {
    let mut message = vec![0; MESSAGE];
    let mut had = 0;
    while had < MESSAGE {
        let rest = &mut message[had..];
        let length = u32::try_from(rest.len())?;
        let entry = opcode::Recv::new(types::Fd(stream.as_raw_fd()), rest.as_mut_ptr(), length).build();
        let count = usize::try_from(submit(ring, &entry)?)?;
        if count == 0 && had == 0 {
            return Ok(false);
        }
        ensure!(count > 0, "a message was cut");
        had += count;
    }
    part.read(&message)?;
    Ok(true)
}

fn ring_write(part: &mut Part, ring: &mut IoUring, stream: &TcpStream) -> Result<()> {
    let (tag, message) = part.message(MESSAGE);
    let length = u32::try_from(message.len())?;
    let entry = opcode::Send::new(types::Fd(stream.as_raw_fd()), message.as_ptr(), length).build();
    ensure!(submit(ring, &entry)? == i32::try_from(MESSAGE)?, "a message was cut");
    part.sent(tag)
}

fn ring_accept(part: &Part, ring: &mut IoUring, listener: &TcpListener) -> Result<TcpStream> {
    use std::os::fd::FromRawFd as _;
    let nowhere = std::ptr::null_mut();
    let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), nowhere, std::ptr::null_mut()).build();
    let descriptor = submit(ring, &entry)?;
    let accepted = now();
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    let stream = unsafe { TcpStream::from_raw_fd(descriptor) };
    stream.set_nodelay(true)?;
    part.holds_since(flow(&stream)?, accepted)?;
    Ok(stream)
}

pub(super) fn ring(stage: &mut Stage<'_>) -> Result<()> {
    if let Err(error) = IoUring::new(4) {
        return Err(skip(format_args!("no io_uring here ({error})")));
    }
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "parent", |part| {
        part.holds(Flow::at(Protocol::Tcp, address))?;
        let listener = quiet_listener(address, None, false)?;
        let since = now();
        // The process that accepts is not the one that made the listener.
        let mut worker = part.fork("worker", |part| {
            part.holds_since(Flow::at(Protocol::Tcp, address), since)?;
            let mut ring = IoUring::new(4)?;
            part.ready()?;
            for _ in 0..3 {
                let stream = ring_accept(part, &mut ring, &listener)?;
                while ring_read(part, &mut ring, &stream)? {
                    ring_write(part, &mut ring, &stream)?;
                }
            }
            Ok(())
        })?;
        worker.ready()?;
        part.ready()?;
        worker.finish()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let mut ring = IoUring::new(4)?;
        for _ in 0..3 {
            let stream = connect(part, address)?;
            for _ in 0..ROUNDS {
                ring_write(part, &mut ring, &stream)?;
                ensure!(ring_read(part, &mut ring, &stream)?, "closed too early");
            }
            hang_up(stream)?;
        }
        Ok(())
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn big_packets(stage: &mut Stage<'_>) -> Result<()> {
    let host = stage.network.at(End::A);
    let result = if stage.ip(End::A).is_ipv4() {
        // Needs Linux 6.3. The `ip` command may be older than that, so the setting is made without it.
        host.ip("link set lo mtu 65536\n")
            .and_then(|()| host.within(|| crate::netlink::set_ipv4_sizes("lo", LARGEST)))
    } else {
        host.ip(&format!("link set lo mtu 65536 gso_max_size {LARGEST} gro_max_size {LARGEST}\n"))
    };
    result.map_err(|error| skip(format_args!("lo takes no larger packets ({})", refusal(&error))))?;
    stage.tell(&Fact::Large(1 << 16))?;
    let address = stage.address(End::A, PORT);
    let mut server = stage.play(End::A, "server", |part| {
        let listener: TcpListener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        for _ in 0..ROUNDS {
            ensure!(read(part, &stream, 8 * LARGE)?, "closed too early");
        }
        serve(part, &stream)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, SocketAddr::new(stage.ip(End::A), PORT))?;
        for _ in 0..ROUNDS {
            write(part, &stream, 8 * LARGE)?;
        }
        hang_up(stream)
    })?;
    client.finish()?;
    std::thread::sleep(Duration::from_millis(5));
    server.finish()
}
