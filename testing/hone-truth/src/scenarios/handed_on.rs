//! Sockets that are passed to another process, with data in the socket or on its way to it.
//!
//! Every inbound packet belongs to the process that takes its first byte out of the socket. It does not matter which
//! process held the socket when the packet arrived.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::passing::{Pass, pass, possible, take};
use super::places::{keep_open, reap, run_again};
use super::tcp::joined;
use crate::network::End;
use crate::packet::Protocol;
use crate::sockets::{
    MESSAGE, accept, connect, flow, hang_up, listen, read, receive, send_to, serve, udp, write,
};
use crate::stage::{Actor, PATIENCE, Part, Stage};
use crate::tag::Tag;
use crate::told::{Flow, now};

const PORT: u16 = 7900;

/// How a socket is passed on.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// To a child.
    Fork,
    /// To another program of the same process.
    Exec,
    /// To another program of a child, as inetd does.
    ForkExec,
    /// To a process that already exists.
    Pass(Pass),
    /// To a process that already exists, with different threads: one thread uses the socket and another passes it; one
    /// thread takes it and another uses it.
    Threads,
}

/// What the first holder has done with the socket before it passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Not,
    Read,
    Wrote,
    /// It has peeked at the data that the next holder reads.
    Peeked,
}

/// When the data arrives that the new holder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// This number of milliseconds before the socket is passed on.
    Before(u64),
    /// At the same time.
    During,
    After,
}

/// One socket of a scenario.
#[derive(Clone, Copy, Debug)]
struct Case {
    protocol: Protocol,
    way: Way,
    used: Used,
    when: When,
    /// Whether the first holder keeps the socket until the new one has finished.
    keeps: bool,
    /// A number that no other case of the scenario has.
    number: u16,
}

/// Every combination of use and time.
fn cases(protocols: &[Protocol], way: Way) -> Vec<Case> {
    // The last delay is longer than a recorder waits for a reader.
    let times = [0, 1, 20, 100, 300, 800].map(When::Before);
    let mut found = Vec::new();
    for protocol in protocols {
        for used in [Used::Not, Used::Read, Used::Wrote, Used::Peeked] {
            for when in times.into_iter().chain([When::During, When::After]) {
                if used == Used::Peeked && !matches!(when, When::Before(_)) {
                    continue;
                }
                let number = u16::try_from(found.len()).unwrap_or(u16::MAX);
                let keeps = number % 3 == 2 && !matches!(way, Way::Exec);
                found.push(Case { protocol: *protocol, way, used, when, keeps, number });
            }
        }
    }
    found
}

pub(super) fn tcp_fork(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp], Way::Fork)
}

pub(super) fn udp_fork(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Udp], Way::Fork)
}

pub(super) fn tcp_exec(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp], Way::Exec)
}

pub(super) fn udp_exec(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Udp], Way::Exec)
}

pub(super) fn tcp_inetd(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp], Way::ForkExec)
}

pub(super) fn udp_inetd(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Udp], Way::ForkExec)
}

pub(super) fn tcp_passed(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp], Way::Pass(Pass::Message))
}

pub(super) fn udp_passed(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Udp], Way::Pass(Pass::Message))
}

pub(super) fn tcp_threads(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp], Way::Threads)
}

pub(super) fn udp_threads(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Udp], Way::Threads)
}

pub(super) fn messages(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp, Protocol::Udp], Way::Pass(Pass::Messages))
}

pub(super) fn fifth(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp, Protocol::Udp], Way::Pass(Pass::Fifth))
}

pub(super) fn ring(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp, Protocol::Udp], Way::Pass(Pass::Ring))
}

pub(super) fn ring_to_ring(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp, Protocol::Udp], Way::Pass(Pass::RingToRing))
}

pub(super) fn taken(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, &[Protocol::Tcp, Protocol::Udp], Way::Pass(Pass::Taken))
}

/// Plays all cases at the same time.
fn play(stage: &Stage<'_>, protocols: &[Protocol], way: Way) -> Result<()> {
    if let Way::Pass(how) = way {
        possible(how)?;
    }
    let cases = cases(protocols, way);
    let mut actors: Vec<Actor> = cases
        .iter()
        .map(|case| start(stage, *case))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    actors.iter_mut().try_for_each(Actor::finish)
}

/// A socket that is passed on, or the other end of its connection.
#[derive(Debug)]
enum Line {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Line {
    fn new(protocol: Protocol, descriptor: OwnedFd) -> Self {
        if protocol == Protocol::Tcp { Self::Tcp(descriptor.into()) } else { Self::Udp(descriptor.into()) }
    }

    fn flow(&self) -> Result<Flow> {
        match self {
            Self::Tcp(stream) => flow(stream),
            Self::Udp(socket) => Ok(Flow::at(Protocol::Udp, socket.local_addr()?)),
        }
    }

    fn read(&self, part: &Part) -> Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => {
                ensure!(read(part, stream, MESSAGE)?, "closed too early");
                Ok(stream.peer_addr()?)
            }
            Self::Udp(socket) => receive(part, socket),
        }
    }

    fn write(&self, part: &mut Part, to: SocketAddr) -> Result<()> {
        match self {
            Self::Tcp(stream) => write(part, stream, MESSAGE),
            Self::Udp(socket) => send_to(part, socket, to, MESSAGE),
        }
    }

    fn peek(&self) -> Result<()> {
        let mut bytes = [0; MESSAGE];
        let length = match self {
            Self::Tcp(stream) => stream.peek(&mut bytes)?,
            Self::Udp(socket) => socket.peek(&mut bytes)?,
        };
        ensure!(length == MESSAGE, "there is nothing to see");
        Ok(())
    }

    /// The new holder's part: reads the data and answers, until the other end closes.
    fn answer(&self, part: &mut Part) -> Result<()> {
        match self {
            Self::Tcp(stream) => serve(part, stream),
            Self::Udp(_) => {
                let from = self.read(part)?;
                self.write(part, from)
            }
        }
    }
}

/// Waits until there is something to read.
fn arrival(from: &impl AsFd) -> Result<()> {
    let mut waiting = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).context("a time to wait")?;
    ensure!(poll(&mut waiting, patience)? == 1, "there is nothing to read for {PATIENCE:?}");
    Ok(())
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

fn start(stage: &Stage<'_>, case: Case) -> Result<Vec<Actor>> {
    let [here, there] = [End::A, End::B].map(|end| stage.address(end, PORT + case.number));
    let ((cue, cued), (from, to)) = (UnixStream::pair()?, UnixStream::pair()?);
    // Carries the time at which the socket is passed on.
    let (clock, time) = UnixStream::pair()?;
    let mut actors = Vec::new();
    let method = match case.way {
        Way::Pass(method) => Some(method),
        Way::Threads => Some(Pass::Message),
        Way::Fork | Way::Exec | Way::ForkExec => None,
    };
    if let Some(method) = method {
        actors.push(stage.play(End::B, "new holder", |part| {
            let mut since = [0; 8];
            (&time).read_exact(&mut since).context("the first holder has ended")?;
            let socket = Line::new(case.protocol, take(method, &to)?);
            part.holds_since(socket.flow()?, u64::from_ne_bytes(since))?;
            if matches!(case.way, Way::Threads) {
                scope(|scope| joined(scope.spawn(|| socket.answer(part)).join()))?;
            } else {
                socket.answer(part)?;
            }
            (&to).write_all(b"!").context("the first holder has ended")
        })?);
    }
    let mut holder = stage.play(End::B, "first holder", |part| {
        let listener = (case.protocol == Protocol::Tcp).then(|| listen(part, there)).transpose()?;
        let datagrams = if listener.is_none() { Some(udp(part, there)?) } else { None };
        part.ready()?;
        (&cue).read_exact(&mut [0]).context("the client has ended")?;
        let socket = match (&listener, datagrams) {
            (Some(listener), _) => Line::Tcp(accept(part, listener)?),
            (None, Some(socket)) => Line::Udp(socket),
            (None, None) => unreachable!("it is one of the two"),
        };
        match case.used {
            Used::Read => drop(socket.read(part)?),
            Used::Wrote => socket.write(part, here)?,
            Used::Not | Used::Peeked => {}
        }
        hand_on(part, case, socket, &cue, &from, &clock)
    })?;
    holder.ready()?;
    actors.push(holder);
    actors.push(stage.play(End::A, "client", |part| {
        let socket = match case.protocol {
            Protocol::Tcp => Line::Tcp(connect(part, there)?),
            _ => Line::Udp(udp(part, here)?),
        };
        if case.used == Used::Read {
            socket.write(part, there)?;
        }
        (&cued).write_all(b"!").context("the server has ended")?;
        if case.used == Used::Wrote {
            socket.read(part)?;
        }
        (&cued).read_exact(&mut [0]).context("the server has ended")?;
        socket.write(part, there)?;
        socket.read(part)?;
        match socket {
            Line::Tcp(stream) => hang_up(stream),
            Line::Udp(_) => Ok(()),
        }
    })?);
    Ok(actors)
}

/// Signals the client to send, and passes the socket to its new holder. The new holder receives the time through
/// `clock`.
fn hand_on(
    part: &mut Part,
    case: Case,
    socket: Line,
    mut cue: &UnixStream,
    line: &UnixStream,
    mut clock: &UnixStream,
) -> Result<()> {
    let flow = socket.flow()?;
    if case.when != When::After {
        cue.write_all(b"!").context("the client has ended")?;
    }
    if let When::Before(delay) = case.when {
        arrival(&socket)?;
        sleep(Duration::from_millis(delay));
    }
    if case.used == Used::Peeked {
        socket.peek()?;
    }
    let program = |part: &Part| {
        let cue = if case.when == When::After { keep_open(cue)?.to_string() } else { "-".into() };
        let (protocol, descriptor) = (case.protocol.to_string(), keep_open(&socket)?.to_string());
        let name = format!("program-{}", case.number);
        run_again(part, &["answer", &name, &protocol, &descriptor, &cue])
    };
    let since = now();
    clock.write_all(&since.to_ne_bytes())?;
    let child = match case.way {
        Way::Exec => return program(part),
        Way::ForkExec => Some(part.fork_briefly(|part| {
            part.holds_since(flow, since)?;
            program(part)
        })?),
        // The child uses the socket first, and reports that it holds it afterwards.
        Way::Fork => Some(part.fork_briefly(|part| {
            socket.answer(part)?;
            part.holds_since(flow, since)
        })?),
        Way::Pass(how) => {
            pass(how, line, socket.as_fd())?;
            None
        }
        Way::Threads => {
            scope(|scope| joined(scope.spawn(|| pass(Pass::Message, line, socket.as_fd())).join()))?;
            None
        }
    };
    if case.when == When::After && !matches!(case.way, Way::ForkExec) {
        cue.write_all(b"!").context("the client has ended")?;
    }
    let mut socket = Some(socket);
    if !case.keeps {
        drop(socket.take());
    }
    match child {
        Some(child) => reap(child)?,
        None => (&*line).read_exact(&mut [0]).context("the new holder has ended")?,
    }
    drop(socket);
    // Reported only now: until the new holder uses the socket, packets without data may name this process.
    part.leaves(flow)
}

/// The part of the program that inherits the socket when it starts.
pub(super) fn answer_after_exec(part: &mut Part, protocol: &str, descriptor: &str, cue: &str) -> Result<()> {
    // SAFETY: whoever became this program has left the descriptor to it, and nothing else here uses it.
    let given = |number: i32| unsafe { OwnedFd::from_raw_fd(number) };
    let socket = Line::new(protocol.parse()?, given(descriptor.parse().context("a descriptor")?));
    if cue != "-" {
        let mut cue = UnixStream::from(given(cue.parse().context("a descriptor")?));
        cue.write_all(b"!").context("the client has ended")?;
    }
    socket.answer(part)
}

/// Like `PostgreSQL`: the parent accepts a connection and forks at once; the child at once reads the data that already
/// waits.
pub(super) fn fork_at_once(stage: &mut Stage<'_>) -> Result<()> {
    const CONNECTIONS: usize = 40;
    let address = stage.address(End::B, PORT);
    let mut server = stage.play(End::B, "parent", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        for _ in 0..CONNECTIONS {
            // The client's data, and the packet that acknowledges it, come before the accept.
            part.wait()?;
            let stream = accept(part, &listener)?;
            let since = now();
            let child = part.fork_briefly(|part| {
                serve(part, &stream)?;
                part.holds_since(flow(&stream)?, since)
            })?;
            let flow = flow(&stream)?;
            drop(stream);
            part.leaves(flow)?;
            reap(child)?;
        }
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        for _ in 0..CONNECTIONS {
            let stream = connect(part, address)?;
            write(part, &stream, MESSAGE)?;
            part.ready()?;
            for _ in 0..3 {
                ensure!(read(part, &stream, MESSAGE)?, "closed too early");
                write(part, &stream, MESSAGE)?;
            }
            ensure!(read(part, &stream, MESSAGE)?, "closed too early");
            hang_up(stream)?;
        }
        Ok(())
    })?;
    for _ in 0..CONNECTIONS {
        client.ready()?;
        server.go()?;
    }
    client.finish()?;
    server.finish()
}

/// One process takes the first bytes of a packet, another process takes the rest.
pub(super) fn split_packets(stage: &mut Stage<'_>) -> Result<()> {
    const ROUNDS: usize = 12;
    const HALF: usize = MESSAGE / 2;
    let address = stage.address(End::B, PORT);
    let take = |part: &Part, mut stream: &TcpStream, length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).context("part of a packet")?;
        // If no message begins in these bytes, there is nothing to report.
        if Tag::all(&bytes).is_empty() { Ok(()) } else { part.read(&bytes) }
    };
    let mut server = stage.play(End::B, "parent", |part| {
        let listener = listen(part, address)?;
        part.ready()?;
        let stream = accept(part, &listener)?;
        for round in 0..ROUNDS {
            arrival(&stream)?;
            // Waits until all data has arrived; in every second round, also until a recorder no longer holds the
            // packets of a shared socket.
            sleep(Duration::from_millis(if round % 2 == 0 { 10 } else { 700 }));
            let since = now();
            // Takes part of one packet; part of a packet with two messages; or, of two packets, the first one
            // completely.
            let (first, rest) = match round % 4 {
                0 => (HALF, MESSAGE - HALF),
                1 => (HALF, 2 * MESSAGE - HALF),
                2 => (MESSAGE + HALF, MESSAGE - HALF),
                // The child takes the beginning.
                _ => (0, HALF),
            };
            if first > 0 {
                take(part, &stream, first)?;
            }
            let child = part.fork_briefly(|part| {
                part.holds_since(flow(&stream)?, since)?;
                take(part, &stream, rest)?;
                write(part, &stream, MESSAGE)
            })?;
            reap(child)?;
            if first == 0 {
                take(part, &stream, MESSAGE - rest)?;
            }
        }
        ensure!(!read(part, &stream, 1)?, "more than expected");
        Ok(())
    })?;
    server.ready()?;
    let mut client = stage.play(End::A, "client", |part| {
        let stream = connect(part, address)?;
        stream.set_nodelay(true)?;
        for round in 0..ROUNDS {
            let mut messages = Vec::new();
            messages.resize_with(if matches!(round % 4, 1 | 2) { 2 } else { 1 }, || part.message(MESSAGE));
            if round % 4 == 1 {
                let both: Vec<u8> = messages.iter().flat_map(|(_, message)| message.clone()).collect();
                (&stream).write_all(&both)?;
            } else {
                messages.iter().try_for_each(|(_, message)| (&stream).write_all(message))?;
            }
            messages.iter().try_for_each(|(tag, _)| part.sent(*tag))?;
            ensure!(read(part, &stream, MESSAGE)?, "closed too early");
        }
        hang_up(stream)
    })?;
    client.finish()?;
    server.finish()
}
