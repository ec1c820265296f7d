//! Listeners and connections that several processes share. Some let go of them before packets without data arrive.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::passing::{Pass, pass, take};
use super::places::reap;
use crate::network::End;
use crate::packet::Protocol;
use crate::sockets::{MESSAGE, accept, connect, flow, hang_up, listen, read, serve, talk, write};
use crate::stage::{Actor, Part, Stage, pause};
use crate::told::{Flow, now};

const PORT: u16 = 7960;
const ROUNDS: usize = 2;
const CONNECTIONS: usize = 5;

/// How the process that has bound a listener leaves it to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// It forks and ends, as the first process of a daemon does.
    Fork,
    /// It forks and ends a while later.
    Late,
    /// It forks, closes its own descriptor, and continues.
    Close,
    /// It passes the listener over a Unix socket, closes its own descriptor, and continues.
    Pass,
    /// It passes the listener over a Unix socket, and ends.
    PassAndEnd,
}

pub(super) fn daemon(stage: &mut Stage<'_>) -> Result<()> {
    leave(stage, Leaving::Fork)
}

pub(super) fn late_end(stage: &mut Stage<'_>) -> Result<()> {
    leave(stage, Leaving::Late)
}

pub(super) fn close(stage: &mut Stage<'_>) -> Result<()> {
    leave(stage, Leaving::Close)
}

pub(super) fn passed(stage: &mut Stage<'_>) -> Result<()> {
    leave(stage, Leaving::Pass)
}

pub(super) fn passed_and_ended(stage: &mut Stage<'_>) -> Result<()> {
    leave(stage, Leaving::PassAndEnd)
}

/// A client that makes connections one after another.
fn client(stage: &Stage<'_>, to: SocketAddr, connections: usize) -> Result<Actor> {
    stage.play(End::A, "client", move |part| {
        for _ in 0..connections {
            let stream = connect(part, to)?;
            talk(part, &stream, ROUNDS)?;
            hang_up(stream)?;
        }
        Ok(())
    })
}

/// Serves connections of a listener that this process has held since `since`.
fn work(part: &mut Part, listener: &TcpListener, since: u64) -> Result<()> {
    part.holds_since(Flow::at(Protocol::Tcp, listener.local_addr()?), since)?;
    for _ in 0..CONNECTIONS {
        serve(part, &accept(part, listener)?)?;
    }
    Ok(())
}

fn leave(stage: &Stage<'_>, leaving: Leaving) -> Result<()> {
    // At the first port, the process that bound the listener has not used it; at the second port it has.
    for (port, used) in [(PORT, 0), (PORT + 1, 2)] {
        let address = stage.address(End::B, port);
        let (done, mut waits) = UnixStream::pair()?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut taker = match leaving {
            Leaving::Pass | Leaving::PassAndEnd => Some(stage.play(End::B, "server", |part| {
                let listener = TcpListener::from(take(Pass::Message, &theirs)?);
                work(part, &listener, now())
            })?),
            _ => None,
        };
        let mut binder = stage.play(End::B, "binder", |part| {
            let listener = listen(part, address)?;
            part.ready()?;
            for _ in 0..used {
                serve(part, &accept(part, &listener)?)?;
            }
            let since = now();
            if taker.is_some() {
                pass(Pass::Message, &ours, listener.as_fd())?;
            } else {
                part.fork_briefly(|part| {
                    work(part, &listener, since)?;
                    (&done).write_all(b"!").context("nobody waits for the server")
                })?;
            }
            if leaving == Leaving::Late {
                sleep(Duration::from_millis(100));
            }
            drop(listener);
            part.leaves(Flow::at(Protocol::Tcp, address))?;
            match leaving {
                Leaving::Close | Leaving::Pass => part.ready_and_wait(),
                Leaving::Fork | Leaving::Late | Leaving::PassAndEnd => Ok(()),
            }
        })?;
        drop(done);
        binder.ready()?;
        client(stage, address, used)?.finish()?;
        let stays = matches!(leaving, Leaving::Close | Leaving::Pass);
        if stays {
            binder.ready()?
        } else {
            binder.finish()?
        }
        pause();
        client(stage, address, CONNECTIONS)?.finish()?;
        match &mut taker {
            Some(taker) => taker.finish()?,
            None => waits.read_exact(&mut [0]).context("the server failed")?,
        }
        if stays {
            binder.go()?;
            binder.finish()?;
        }
    }
    Ok(())
}

/// Replaces a server as haproxy does: the new process also receives the listener; the old process closes its own
/// descriptor of it, and continues with its open connection.
pub(super) fn reload(stage: &mut Stage<'_>) -> Result<()> {
    let address = stage.address(End::B, PORT);
    let (ours, theirs) = UnixStream::pair()?;
    let mut new = stage.play(End::B, "new server", |part| {
        let listener = TcpListener::from(take(Pass::Message, &theirs)?);
        work(part, &listener, now())
    })?;
    let mut old = stage.play(End::B, "old server", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        ensure!(read(part, &stream, MESSAGE)?, "closed too early");
        write(part, &stream, MESSAGE)?;
        pass(Pass::Message, &ours, listener.as_fd())?;
        drop(listener);
        part.leaves(Flow::at(Protocol::Tcp, address))?;
        part.ready()?;
        serve(part, &stream)
    })?;
    old.ready()?;
    let mut first = stage.play(End::A, "old client", |part| {
        let stream = connect(part, address)?;
        talk(part, &stream, 1)?;
        part.ready_and_wait()?;
        talk(part, &stream, ROUNDS)?;
        hang_up(stream)
    })?;
    first.ready()?;
    old.ready()?;
    pause();
    client(stage, address, CONNECTIONS - 1)?.finish()?;
    first.go()?;
    first.finish()?;
    old.finish()?;
    client(stage, address, 1)?.finish()?;
    new.finish()
}

/// Connections that two processes share. On some of them, neither process has sent or received data when the other end
/// closes its sending direction.
pub(super) fn shared_end(stage: &mut Stage<'_>) -> Result<()> {
    // Whether data was sent before, and how long the child waits before it writes, in milliseconds.
    let cases = [0, 20, 300, 800].into_iter().flat_map(|delay| [(false, delay), (true, delay)]);
    let mut actors = Vec::new();
    for (port, (used, delay)) in (PORT..).zip(cases) {
        let address = stage.address(End::B, port);
        let mut server = stage.play(End::B, "server", |part| {
            let listener = listen(part, address)?;
            part.ready()?;
            let stream = accept(part, &listener)?;
            if used {
                ensure!(read(part, &stream, MESSAGE)?, "closed too early");
            }
            part.ready_and_wait()?;
            stream.shutdown(Shutdown::Write)?;
            while read(part, &stream, MESSAGE)? {}
            Ok(())
        })?;
        server.ready()?;
        let mut client = stage.play(End::A, "client", |part| {
            let stream = connect(part, address)?;
            if used {
                write(part, &stream, MESSAGE)?;
            }
            let flow = flow(&stream)?;
            let since = now();
            let child = part.fork_briefly(|part| {
                part.holds_since(flow, since)?;
                sleep(Duration::from_millis(20 + delay));
                write(part, &stream, MESSAGE)
            })?;
            part.ready()?;
            reap(child)
        })?;
        client.ready()?;
        server.ready()?;
        server.go()?;
        actors.extend([client, server]);
    }
    actors.iter_mut().try_for_each(Actor::finish)
}
