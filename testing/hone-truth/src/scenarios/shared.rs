//! Sockets that several processes share.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use super::passing::{Pass, pass, take};
use crate::network::End;
use crate::packet::Protocol;
use crate::sockets::{
    MESSAGE, accept, connect, echo, flow, hang_up, listen, quiet_udp, read, receive, send, send_to, serve,
    talk, udp, write,
};
use crate::stage::{Part, Stage, pause};
use crate::told::{Flow, now};

const PORT: u16 = 7100;
const ROUNDS: usize = 10;

pub(super) fn udp_send(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut sink = stage.play(End::B, "sink", |part| {
        let socket = udp(part, to)?;
        part.ready()?;
        (0..4 * ROUNDS).try_for_each(|_| receive(part, &socket).map(drop))
    })?;
    sink.ready()?;
    let mut senders = stage.play(End::A, "parent", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        socket.connect(to)?;
        let at = Flow::at(Protocol::Udp, socket.local_addr()?);
        let since = now();
        let mut child = part.fork("child", |part| {
            part.holds_since(at, since)?;
            for _ in 0..ROUNDS {
                part.wait()?;
                send(part, &socket, MESSAGE)?;
                part.ready()?;
            }
            part.wait()?;
            (0..ROUNDS).try_for_each(|_| send(part, &socket, MESSAGE))
        })?;
        // First in turn,
        for _ in 0..ROUNDS {
            send(part, &socket, MESSAGE)?;
            child.go()?;
            child.ready()?;
        }
        // then both at once.
        child.go()?;
        (0..ROUNDS).try_for_each(|_| send(part, &socket, MESSAGE))?;
        child.finish()
    })?;
    senders.finish()?;
    sink.finish()
}

pub(super) fn udp_read(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut readers = stage.play(End::B, "parent", |part| {
        let socket = udp(part, to)?;
        let since = now();
        let mut child = part.fork("child", |part| {
            part.holds_since(Flow::at(Protocol::Udp, to), since)?;
            for _ in 0..ROUNDS {
                part.wait()?;
                receive(part, &socket)?;
                part.ready()?;
            }
            (0..ROUNDS).try_for_each(|_| receive(part, &socket).map(drop))
        })?;
        part.ready()?;
        // First in turn,
        for _ in 0..ROUNDS {
            receive(part, &socket)?;
            child.go()?;
            child.ready()?;
        }
        // then the process that is first.
        (0..ROUNDS).try_for_each(|_| receive(part, &socket).map(drop))?;
        child.finish()
    })?;
    readers.ready()?;
    let mut sender = stage.play(End::A, "sender", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        for _ in 0..4 * ROUNDS {
            send_to(part, &socket, to, MESSAGE)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })?;
    sender.finish()?;
    readers.finish()
}

pub(super) fn udp_unread(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let mut holders = stage.play(End::B, "parent", |part| {
        let _socket = udp(part, to)?;
        let since = now();
        let mut child = part.fork("child", |part| {
            part.holds_since(Flow::at(Protocol::Udp, to), since)?;
            part.ready_and_wait()
        })?;
        child.ready()?;
        part.ready_and_wait()?;
        child.go()?;
        child.finish()
    })?;
    holders.ready()?;
    let mut sender = stage.play(End::A, "sender", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        (0..ROUNDS).try_for_each(|_| send_to(part, &socket, to, MESSAGE))
    })?;
    sender.finish()?;
    pause();
    holders.go()?;
    holders.finish()
}

pub(super) fn tcp_send(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "reader", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        while read(part, &stream, MESSAGE)? {}
        Ok(())
    })?;
    server.ready()?;
    let mut senders = stage.play(End::A, "parent", |part| {
        let stream = connect(part, address)?;
        // Large enough for everything: a write that has to wait for free space can be split in two by a write of
        // the other process.
        setsockopt(&stream.as_fd(), sockopt::SndBufForce, &(64 << 20))?;
        let since = now();
        let mut child = part.fork("child", |part| {
            part.holds_since(flow(&stream)?, since)?;
            for _ in 0..ROUNDS {
                part.wait()?;
                write(part, &stream, MESSAGE)?;
                part.ready()?;
            }
            part.wait()?;
            // More than a window, so that data of one process leaves while the other process writes.
            (0..300 * ROUNDS).try_for_each(|_| write(part, &stream, MESSAGE))
        })?;
        for _ in 0..ROUNDS {
            write(part, &stream, MESSAGE)?;
            child.go()?;
            child.ready()?;
        }
        child.go()?;
        (0..300 * ROUNDS).try_for_each(|_| write(part, &stream, MESSAGE))?;
        child.finish()?;
        hang_up(stream)
    })?;
    senders.finish()?;
    server.finish()
}

pub(super) fn tcp_read(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut readers = stage.play(End::B, "parent", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        let since = now();
        let mut child = part.fork("child", |part| {
            part.holds_since(flow(&stream)?, since)?;
            for _ in 0..ROUNDS {
                part.wait()?;
                ensure!(read(part, &stream, MESSAGE)?, "closed too early");
                part.ready()?;
            }
            while read(part, &stream, MESSAGE)? {}
            Ok(())
        })?;
        for _ in 0..ROUNDS {
            ensure!(read(part, &stream, MESSAGE)?, "closed too early");
            child.go()?;
            child.ready()?;
        }
        while read(part, &stream, MESSAGE)? {}
        child.finish()
    })?;
    readers.ready()?;
    let mut sender = stage.play(End::A, "sender", |part| {
        let stream = connect(part, address)?;
        for _ in 0..4 * ROUNDS {
            write(part, &stream, MESSAGE)?;
            // One message at a time, so that no read gets parts of two messages.
            std::thread::sleep(Duration::from_millis(5));
        }
        hang_up(stream)
    })?;
    sender.finish()?;
    readers.finish()
}

pub(super) fn tcp_split(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        serve(part, &accept(part, &listener)?)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "writer", |part| {
        let stream = connect(part, address)?;
        let since = now();
        let mut reader = part.fork("reader", |part| {
            part.holds_since(flow(&stream)?, since)?;
            part.ready()?;
            while read(part, &stream, MESSAGE)? {}
            Ok(())
        })?;
        reader.ready()?;
        (0..5 * ROUNDS).try_for_each(|_| write(part, &stream, MESSAGE))?;
        stream.shutdown(std::net::Shutdown::Write)?;
        reader.finish()
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn udp_passed(stage: &mut Stage<'_>) -> Result<()> {
    let to = stage.address(End::B, PORT);
    let (ours, theirs) = UnixStream::pair()?;
    let mut receiver = stage.play(End::B, "receiver", |part| {
        let since = now();
        let socket = UdpSocket::from(take(Pass::Message, &theirs)?);
        part.holds_since(Flow::at(Protocol::Udp, to), since)?;
        pause();
        part.ready()?;
        echo(part, &socket, ROUNDS)
    })?;
    let mut passer = stage.play(End::B, "passer", |part| {
        let socket = quiet_udp(to)?;
        part.holds(Flow::at(Protocol::Udp, to))?;
        part.ready()?;
        echo(part, &socket, ROUNDS)?;
        pass(Pass::Message, &ours, socket.as_fd())?;
        drop(socket);
        part.leaves(Flow::at(Protocol::Udp, to))
    })?;
    passer.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = udp(part, stage.address(End::A, 0))?;
        let ask = |part: &mut Part, to: SocketAddr| {
            send_to(part, &socket, to, MESSAGE)?;
            receive(part, &socket).map(drop)
        };
        (0..ROUNDS).try_for_each(|_| ask(part, to))?;
        part.ready_and_wait()?;
        (0..ROUNDS).try_for_each(|_| ask(part, to))
    })?;
    client.ready()?;
    passer.finish()?;
    receiver.ready()?;
    client.go()?;
    client.finish()?;
    receiver.finish()
}

pub(super) fn tcp_passed(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let (ours, theirs) = UnixStream::pair()?;
    let mut receiver = stage.play(End::B, "receiver", |part| {
        let since = now();
        part.ready()?;
        let stream = TcpStream::from(take(Pass::Message, &theirs)?);
        part.holds_since(flow(&stream)?, since.max(now()))?;
        pause();
        part.ready()?;
        serve(part, &stream)
    })?;
    receiver.ready()?;
    let mut passer = stage.play(End::B, "passer", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        (0..ROUNDS).try_for_each(|_| {
            ensure!(read(part, &stream, MESSAGE)?, "closed too early");
            write(part, &stream, MESSAGE)
        })?;
        let flow = flow(&stream)?;
        pass(Pass::Message, &ours, stream.as_fd())?;
        drop(stream);
        part.leaves(flow)?;
        // The listener stays open, so that only the connection is passed on.
        part.wait()
    })?;
    passer.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        talk(part, &stream, ROUNDS)?;
        part.ready_and_wait()?;
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
    client.ready()?;
    receiver.ready()?;
    client.go()?;
    client.finish()?;
    receiver.finish()?;
    passer.go()?;
    passer.finish()
}
