//! TCP connections and the processes that accept them.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::places::{keep_open, run_again};
use super::skip;
use crate::network::End;
use crate::packet::{Direction, Protocol};
use crate::sockets::{
    MESSAGE, accept, connect, flow, hang_up, listen, quiet_listener, quiet_udp, read, serve, set_option,
    talk, write,
};
use crate::stage::{Actor, Part, Stage, pause};
use crate::told::{Fact, Flow, Reason, now};

const PORT: u16 = 8000;
const ROUNDS: usize = 5;
/// Bytes of a large message.
const LARGE: usize = 250_000;

/// A client at A. It waits for `go`, then talks and closes its connections.
fn client(stage: &Stage<'_>, connections: usize) -> Result<Actor> {
    let to = stage.address(End::B, PORT);
    stage.play(End::A, "client", move |part| {
        part.wait()?;
        for _ in 0..connections {
            let stream = connect(part, to)?;
            talk(part, &stream, ROUNDS)?;
            hang_up(stream)?;
        }
        Ok(())
    })
}

pub(super) fn plain(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        for _ in 0..3 {
            serve(part, &accept(part, &listener)?)?;
        }
        let stream = accept(part, &listener)?;
        for _ in 0..4 {
            ensure!(read(part, &stream, LARGE)?, "closed too early");
        }
        for _ in 0..4 {
            write(part, &stream, LARGE)?;
        }
        ensure!(!read(part, &stream, 1)?, "more than expected");
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        for _ in 0..3 {
            let stream = connect(part, address)?;
            talk(part, &stream, ROUNDS)?;
            hang_up(stream)?;
        }
        let stream = connect(part, address)?;
        for _ in 0..4 {
            write(part, &stream, LARGE)?;
        }
        for _ in 0..4 {
            ensure!(read(part, &stream, LARGE)?, "closed too early");
        }
        hang_up(stream)
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn late_accept(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "listener", |part| {
        let listener = listen(part, address)?;
        let since = now();
        let mut worker = part.fork("worker", |part| {
            part.holds_since(Flow::at(Protocol::Tcp, address), since)?;
            part.wait()?;
            // The client's message has certainly arrived by now.
            std::thread::sleep(Duration::from_millis(150));
            let stream = accept(part, &listener)?;
            serve(part, &stream)
        })?;
        part.ready_and_wait()?;
        worker.go()?;
        worker.finish()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        write(part, &stream, MESSAGE)?;
        part.ready()?;
        ensure!(read(part, &stream, MESSAGE)?, "closed too early");
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
    client.ready()?;
    server.go()?;
    client.finish()?;
    server.finish()
}

pub(super) fn prefork(stage: &mut Stage<'_>) -> Result<()> {
    workers(stage, |_| Ok(()))
}

pub(super) fn defer_accept(stage: &mut Stage<'_>) -> Result<()> {
    // The value is in seconds.
    workers(stage, |listener| set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 5))
}

/// Several workers accept from one listener, which they and their parent hold.
fn workers(stage: &mut Stage<'_>, prepare: impl Fn(&TcpListener) -> Result<()>) -> Result<()> {
    const WORKERS: usize = 4;
    const EACH: usize = 3;
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "listener", |part| {
        let listener = listen(part, address)?;
        prepare(&listener)?;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let since = now();
            workers.push(part.fork("worker", |part| {
                part.holds_since(Flow::at(Protocol::Tcp, address), since)?;
                part.ready()?;
                for _ in 0..EACH {
                    serve(part, &accept(part, &listener)?)?;
                }
                Ok(())
            })?);
        }
        workers.iter_mut().try_for_each(Actor::ready)?;
        part.ready()?;
        workers.iter_mut().try_for_each(Actor::finish)
    })?;
    server.ready()?;
    let mut clients = [client(stage, 6)?, client(stage, 6)?];
    clients.iter_mut().try_for_each(Actor::go)?;
    clients.iter_mut().try_for_each(Actor::finish)?;
    server.finish()
}

pub(super) fn reuseport(stage: &mut Stage<'_>) -> Result<()> {
    const CONNECTIONS: usize = 12;
    let address = stage.address(End::B, PORT);
    let mut servers = Vec::new();
    for _ in 0..3 {
        let mut server = stage.play(End::B, "server", |part| {
            // Not reported: the handshake of a connection belongs to the one listener of the three that the kernel has
            // chosen.
            let listener = quiet_listener(address, None, true)?;
            listener.set_nonblocking(true)?;
            part.ready()?;
            loop {
                let stream = match listener.accept() {
                    Ok((stream, _)) => stream,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                part.holds(flow(&stream)?)?;
                serve(part, &stream)?;
            }
        })?;
        server.ready()?;
        servers.push(server);
    }
    let mut client = client(stage, CONNECTIONS)?;
    client.go()?;
    client.finish()?;
    // The servers have nothing more to report after the client has closed. Dropping them ends them.
    pause();
    Ok(())
}

pub(super) fn accept_fork(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "parent", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        for _ in 0..3 {
            let stream = accept(part, &listener)?;
            let since = now();
            let mut child = part.fork("child", |part| {
                part.holds_since(flow(&stream)?, since)?;
                part.wait()?;
                serve(part, &stream)
            })?;
            let flow = flow(&stream)?;
            drop(stream);
            part.leaves(flow)?;
            pause();
            child.go()?;
            // Lets the client talk.
            part.ready_and_wait()?;
            child.finish()?;
        }
        Ok(())
    })?;
    server.ready()?;
    for _ in 0..3 {
        let mut client = stage.play(End::A, "client", |part| {
            let stream = connect(part, address)?;
            part.ready_and_wait()?;
            talk(part, &stream, ROUNDS)?;
            hang_up(stream)
        })?;
        client.ready()?;
        server.ready()?;
        client.go()?;
        server.go()?;
        client.finish()?;
    }
    server.finish()
}

pub(super) fn exec(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        serve(part, &accept(part, &listener)?)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        let flow = flow(&stream)?;
        let since = now();
        let mut child = part.fork("program", |part| {
            part.holds_since(flow, since)?;
            part.wait()?;
            run_again(part, &["talk", &keep_open(&stream)?.to_string()])
        })?;
        drop(stream);
        part.leaves(flow)?;
        pause();
        child.go()?;
        child.finish()
    })?;
    client.finish()?;
    server.finish()
}

/// The part of the program that inherits the connection over exec.
pub(super) fn talk_after_exec(part: &mut Part, stream: TcpStream) -> Result<()> {
    talk(part, &stream, ROUNDS)?;
    hang_up(stream)
}

pub(super) fn backlog(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let _listener = listen(part, address)?;
        part.ready_and_wait()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let stream = connect(part, address)?;
            write(part, &stream, MESSAGE)?;
            streams.push(stream);
        }
        pause();
        part.ready_and_wait()
    })?;
    client.ready()?;
    // Its end resets all connections.
    server.go()?;
    server.finish()?;
    pause();
    client.go()?;
    client.finish()
}

pub(super) fn full_backlog(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        part.holds(Flow::at(Protocol::Tcp, address))?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.listen(1)?;
        part.ready_and_wait()
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let mut sockets = Vec::new();
        for number in 1..=6 {
            let local = stage.address(End::A, PORT + number);
            part.holds(Flow::at(Protocol::Tcp, local))?;
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.bind(&local.into())?;
            socket.set_nonblocking(true)?;
            // The connection is being opened, or waits until the listener's queue has space.
            let _ = socket.connect(&address.into());
            sockets.push(socket);
        }
        part.ready_and_wait()
    })?;
    client.ready()?;
    // Waits until the packets for which the queue had no space are sent again.
    std::thread::sleep(Duration::from_millis(1500));
    // The actors stay until the recording ends, so that no packet arrives at a closed port.
    stage.waiting = vec![server, client];
    Ok(())
}

pub(super) fn exit(stage: &mut Stage<'_>) -> Result<()> {
    const MESSAGES: usize = 8;
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        part.wait()?;
        for _ in 0..MESSAGES {
            ensure!(read(part, &stream, LARGE)?, "closed too early");
        }
        ensure!(!read(part, &stream, 1)?, "more than expected");
        pause();
        // No process holds the other end any more. The rest of it is in TIME_WAIT (or in FIN_WAIT2, without a socket).
        let gone = Flow::between(Protocol::Tcp, stream.peer_addr()?, address);
        part.tell(&Fact::Nobody(Direction::In, gone, now(), vec![Reason::TIME_WAIT]))?;
        part.tell(&Fact::Nobody(Direction::Out, gone, now(), vec![Reason::TIME_WAIT, Reason::KERNEL]))
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        // Large enough for everything, so that no write has to wait.
        setsockopt(&stream.as_fd(), sockopt::SndBufForce, &(64 << 20))?;
        (0..MESSAGES).try_for_each(|_| write(part, &stream, LARGE))?;
        // From now on, the kernel may have finished with the connection before the server reports it.
        part.leaves(flow(&stream)?)
    })?;
    client.finish()?;
    server.go()?;
    server.finish()?;
    pause();
    Ok(())
}

pub(super) fn threads(stage: &mut Stage<'_>) -> Result<()> {
    const THREADS: usize = 4;
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "server", |part| {
        let listener = listen(part, address)?;
        let datagrams = quiet_udp(address)?;
        part.holds(Flow::at(Protocol::Udp, address))?;
        part.ready()?;
        let mut streams = Vec::new();
        for _ in 0..THREADS {
            streams.push(accept(part, &listener)?);
        }
        let part = &*part;
        std::thread::scope(|scope| {
            let threads: Vec<_> = streams
                .into_iter()
                .map(|stream| {
                    let datagrams = &datagrams;
                    scope.spawn(move || -> Result<()> {
                        while read(part, &stream, MESSAGE)? {}
                        crate::sockets::receive(part, datagrams)?;
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| joined(thread.join()))
        })
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let mut messages = Vec::new();
        for _ in 0..THREADS {
            let mut several = Vec::new();
            several.resize_with(ROUNDS + 1, || part.message(MESSAGE));
            messages.push(several);
        }
        let part = &*part;
        std::thread::scope(|scope| {
            let threads: Vec<_> = messages
                .into_iter()
                .map(|mut messages| {
                    scope.spawn(move || -> Result<()> {
                        let stream = connect(part, address)?;
                        let (tag, last) = messages.pop().context("there are some")?;
                        for (tag, message) in messages {
                            std::io::Write::write_all(&mut &stream, &message)?;
                            part.sent(tag)?;
                        }
                        let socket = crate::sockets::udp(part, crate::sockets::any_for(address))?;
                        socket.send_to(&last, address)?;
                        part.sent(tag)?;
                        hang_up(stream)
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| joined(thread.join()))
        })
    })?;
    client.finish()?;
    server.finish()
}

pub(super) fn joined(result: std::thread::Result<Result<()>>) -> Result<()> {
    result.map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

pub(super) fn multipath(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let domain = Domain::for_address(address);
    if let Err(error) = Socket::new(domain, Type::STREAM, Some(Number::MPTCP)) {
        return Err(skip(format_args!("no Multipath TCP in this kernel ({error})")));
    }
    let mut server = stage.play(End::B, "server", |part| {
        part.holds(Flow::at(Protocol::Tcp, address))?;
        let listener = quiet_listener(address, Some(Number::MPTCP), false)?;
        part.ready()?;
        serve(part, &accept(part, &listener)?)
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let socket = Socket::new(domain, Type::STREAM, Some(Number::MPTCP))?;
        socket.connect(&address.into())?;
        let stream = TcpStream::from(socket);
        part.holds(flow(&stream)?)?;
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
    client.finish()?;
    server.finish()
}
