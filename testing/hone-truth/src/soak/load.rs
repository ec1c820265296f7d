//! The load: processes and connections that start and end, in the soak's own network namespaces. Each part is a process
//! that runs until a stop file exists. A part works at a fixed pace, so a busy machine only makes it slower.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::sockets::{quiet_listener, quiet_udp};

/// Destination port of the datagrams that are counted.
pub(super) const COUNTED: u16 = 7400;

const SERVER: u16 = 7401;
const SHARED_DATAGRAMS: u16 = 7402;
const SHARED_STREAMS: u16 = 7403;
const CLOSED: u16 = 7404;
const BUSY: u16 = 7500;
/// Time limit of a read or a connection.
const IMPATIENCE: Duration = Duration::from_millis(500);
/// How long a receiver waits for datagrams in flight when the load ends.
const LATE: Duration = Duration::from_secs(1);
/// Number of processes that share a socket.
const SHARERS: usize = 3;

/// The argument by which a program is counted. The processes of the load itself have the plain mark as an argument.
pub(super) fn counted(mark: &str) -> String {
    format!("{mark}-counted")
}

/// What a part of the load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Sends datagrams that are counted
    Send,
    /// Reads and counts them
    Receive,
    /// Accepts, answers, closes or resets
    Serve,
    /// Connects, asks, closes or resets; also to closed ports
    Connect,
    /// Processes that share sockets, and are killed
    Share,
    /// Sends to those
    ShareSend,
    /// Sockets without traffic
    Idle,
    /// Processes that come and go
    Processes,
}

impl Part {
    pub(super) const ALL: [Self; 8] = [
        Self::Receive,
        Self::Serve,
        Self::Share,
        Self::Send,
        Self::Connect,
        Self::ShareSend,
        Self::Idle,
        Self::Processes,
    ];

    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the part plays at the network's end B.
    pub(super) fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::Serve | Self::Share)
    }
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    #[arg(value_enum)]
    part: Part,
    /// The network namespace's file
    #[arg(long)]
    namespace: PathBuf,
    /// It ends when this exists, or when its directory is gone
    #[arg(long)]
    stop: PathBuf,
    /// Where it writes what it has done
    #[arg(long)]
    result: PathBuf,
    /// An argument of the programs that it starts, by which they are counted
    #[arg(long)]
    mark: String,
    /// And ends after so many seconds at the latest
    #[arg(long)]
    seconds: u64,
    /// An own address of each family
    #[arg(long)]
    own: Vec<IpAddr>,
    /// The other end's
    #[arg(long)]
    peer: Vec<IpAddr>,
}

/// Everything that a part works with.
struct Load {
    arguments: LoadArguments,
    end: Instant,
}

impl Load {
    /// Waits, and returns whether to continue.
    fn pace(&self, interval: Duration) -> bool {
        std::thread::sleep(interval);
        let directory = self.arguments.stop.parent().is_some_and(Path::exists);
        directory && !self.arguments.stop.exists() && Instant::now() < self.end
    }

    fn own(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.arguments.own.iter().map(move |address| SocketAddr::new(*address, port))
    }

    fn peer(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.arguments.peer.iter().map(move |address| SocketAddr::new(*address, port))
    }
}

/// Plays a part until it ends.
///
/// # Errors
/// Something that the part needs does not work.
pub(crate) fn play(arguments: LoadArguments) -> Result<()> {
    let namespace = File::open(&arguments.namespace).context("cannot open the network namespace")?;
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
    drop(namespace);
    let load = Load { end: Instant::now() + Duration::from_secs(arguments.seconds), arguments };
    let done = match load.arguments.part {
        Part::Send => send(&load)?,
        Part::Receive => receive(&load)?,
        Part::Serve => serve(&load)?,
        Part::Connect => connect(&load)?,
        Part::Share => share(&load)?,
        Part::ShareSend => share_send(&load)?,
        Part::Idle => idle(&load)?,
        Part::Processes => processes(&load)?,
    };
    std::fs::write(&load.arguments.result, done.to_string()).context("cannot write what was done")
}

/// Sends the counted datagrams. Each socket lives for 50 bursts of 4 datagrams.
fn send(load: &Load) -> Result<Value> {
    let mut sent = 0_u64;
    'all: loop {
        let sockets: Vec<_> = load.own(0).zip(load.peer(COUNTED)).collect();
        let sockets = sockets.into_iter().map(|(own, peer)| {
            let socket = UdpSocket::bind(own)?;
            socket.connect(peer)?;
            Ok(socket)
        });
        let sockets: Vec<UdpSocket> = sockets.collect::<Result<_>>()?;
        for _ in 0..50 {
            for socket in &sockets {
                for _ in 0..4 {
                    // An error may report that an earlier datagram was refused, before the receiver existed. It is not
                    // a failure.
                    sent += u64::from(socket.send(&[b'.'; 200]).is_ok());
                }
            }
            if !load.pace(Duration::from_millis(20)) {
                break 'all;
            }
        }
    }
    Ok(json!({ "datagrams": sent }))
}

fn receive(load: &Load) -> Result<Value> {
    let sockets: Vec<UdpSocket> = load.own(COUNTED).map(quiet_udp).collect::<Result<_>>()?;
    // From now on no datagram is refused, so the sender may start.
    std::fs::write(&load.arguments.result, "")?;
    let mut received = 0_u64;
    let mut last = Instant::now();
    let mut going_on = true;
    let mut buffer = [0; 2048];
    while going_on || last.elapsed() < LATE {
        going_on = going_on && load.pace(Duration::ZERO);
        if going_on {
            last = Instant::now();
        }
        for socket in readable(&sockets, Duration::from_millis(50))? {
            socket.recv(&mut buffer)?;
            received += 1;
            last = Instant::now();
        }
    }
    Ok(json!({ "datagrams": received }))
}

/// The sockets that have data to read.
fn readable<S: std::os::fd::AsFd>(sockets: &[S], patience: Duration) -> Result<Vec<&S>> {
    let mut fds: Vec<_> =
        sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::try_from(patience)?) {
        Err(nix::errno::Errno::EINTR) => return Ok(Vec::new()),
        result => result?,
    };
    let ready = sockets.iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true));
    Ok(ready.map(|(socket, _)| socket).collect())
}

/// Closes a connection with a reset.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Answers one request on a connection.
fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IMPATIENCE))?;
    stream.read_exact(&mut [0; 100])?;
    stream.write_all(&[b'.'; 1000])
}

fn serve(load: &Load) -> Result<Value> {
    let listeners = load.own(SERVER).map(|own| quiet_listener(own, None, false));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_>>()?;
    let mut accepted = 0_u64;
    while load.pace(Duration::ZERO) {
        for listener in readable(&listeners, Duration::from_millis(50))? {
            let (mut stream, _) = listener.accept()?;
            accepted += 1;
            // The other end may have reset the connection.
            let _ = answer(&mut stream);
            if accepted.is_multiple_of(3) {
                reset(stream);
            }
        }
    }
    Ok(json!({ "accepted": accepted }))
}

/// Sends a request and waits for the answer.
fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IMPATIENCE))?;
    stream.write_all(&[b'?'; 100])?;
    stream.read_exact(&mut [0; 1000])
}

fn connect(load: &Load) -> Result<Value> {
    let (mut connected, mut refused) = (0_u64, 0_u64);
    let mut number = 0_u64;
    while load.pace(Duration::from_millis(10)) {
        number += 1;
        for peer in load.peer(SERVER) {
            let Ok(mut stream) = TcpStream::connect_timeout(&peer, IMPATIENCE) else { continue };
            connected += 1;
            if !number.is_multiple_of(5) {
                let _ = ask(&mut stream);
            }
            if number % 5 == 1 {
                reset(stream);
            }
        }
        if number.is_multiple_of(20) {
            for peer in load.peer(CLOSED) {
                refused += u64::from(TcpStream::connect_timeout(&peer, IMPATIENCE).is_err());
            }
            for (own, peer) in load.own(0).zip(load.peer(CLOSED)) {
                let socket = UdpSocket::bind(own)?;
                let _ = socket.send_to(b"nobody reads this", peer);
            }
        }
    }
    Ok(json!({ "connected": connected, "refused": refused }))
}

/// Forks a process that runs `what` and ends. Returns its process id in the parent.
fn spawn(what: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: a part of the load has one thread, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let result =
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into).and_then(|()| what());
            std::process::exit(i32::from(result.is_err()))
        }
    }
}

/// Several processes read datagrams from the same sockets and accept from the same listeners. From time to time, one of
/// them is killed.
fn share(load: &Load) -> Result<Value> {
    let datagrams: Vec<UdpSocket> = load.own(SHARED_DATAGRAMS).map(quiet_udp).collect::<Result<_>>()?;
    let listeners = load.own(SHARED_STREAMS).map(|own| quiet_listener(own, None, false));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_>>()?;
    datagrams.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    let sharer = || {
        spawn(|| {
            while load.pace(Duration::ZERO) {
                for socket in readable(&datagrams, Duration::from_millis(20))? {
                    // Another process may have read the datagram first.
                    let _ = socket.recv(&mut [0; 2048]);
                }
                for listener in readable(&listeners, Duration::from_millis(20))? {
                    if let Ok((mut stream, _)) = listener.accept() {
                        stream.set_nonblocking(false)?;
                        let _ = answer(&mut stream);
                    }
                }
            }
            Ok(())
        })
    };
    let mut sharers = (0..SHARERS).map(|_| sharer()).collect::<Result<Vec<_>>>()?;
    let mut killed = 0_u64;
    while load.pace(Duration::from_millis(400)) {
        let sharer = sharer()?;
        sharers.push(sharer);
        let oldest = sharers.remove(0);
        kill(oldest, Signal::SIGKILL)?;
        waitpid(oldest, None)?;
        killed += 1;
    }
    sharers.into_iter().try_for_each(|sharer| waitpid(sharer, None).map(drop))?;
    Ok(json!({ "killed": killed }))
}

fn share_send(load: &Load) -> Result<Value> {
    let sockets: Vec<UdpSocket> = load.own(0).map(|own| Ok(UdpSocket::bind(own)?)).collect::<Result<_>>()?;
    let (mut sent, mut connected) = (0_u64, 0_u64);
    while load.pace(Duration::from_millis(25)) {
        for (socket, peer) in sockets.iter().zip(load.peer(SHARED_DATAGRAMS)) {
            sent += u64::from(socket.send_to(&[b'.'; 300], peer).is_ok());
        }
        for peer in load.peer(SHARED_STREAMS) {
            let Ok(mut stream) = TcpStream::connect_timeout(&peer, IMPATIENCE) else { continue };
            connected += 1;
            // The process that accepts may be killed.
            let _ = ask(&mut stream);
        }
    }
    Ok(json!({ "datagrams": sent, "connected": connected }))
}

/// Opens and closes listeners, and bound and unbound sockets. They never have a packet.
fn idle(load: &Load) -> Result<Value> {
    let mut sockets = std::collections::VecDeque::new();
    let mut made = 0_u64;
    let mut number = 0_u16;
    while load.pace(Duration::from_millis(20)) {
        number = (number + 1) % 200;
        for own in load.own(BUSY + number) {
            let domain = Domain::for_address(own);
            let listener = Socket::new(domain, Type::STREAM, None)?;
            listener.set_reuse_address(true)?;
            if listener.bind(&own.into()).is_ok() {
                listener.listen(8)?;
            }
            let bound = Socket::new(domain, Type::DGRAM, None)?;
            let _ = bound.bind(&own.into());
            let echo = if own.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
            let others =
                [Socket::new(domain, Type::STREAM, None)?, Socket::new(domain, Type::RAW, Some(echo))?];
            sockets.extend([listener, bound].into_iter().chain(others));
            made += 4;
        }
        while sockets.len() > 100 {
            sockets.pop_front();
        }
    }
    Ok(json!({ "sockets": made }))
}

/// Forks that end at once, forks that send one datagram, and programs.
fn processes(load: &Load) -> Result<Value> {
    let (mut forked, mut programs) = (0_u64, 0_u64);
    while load.pace(Duration::from_millis(30)) {
        let ends = spawn(|| Ok(()))?;
        let sends = spawn(|| {
            for (own, peer) in load.own(0).zip(load.peer(SHARED_DATAGRAMS)) {
                UdpSocket::bind(own)?.send_to(b"from a short life", peer)?;
            }
            Ok(())
        })?;
        forked += 2;
        let mut program = std::process::Command::new("true");
        let status = program
            .arg(counted(&load.arguments.mark))
            .stdin(Stdio::null())
            .status()
            .context("cannot start `true`")?;
        if !status.success() {
            bail!("`true` ended with {status}");
        }
        programs += 1;
        waitpid(ends, None)?;
        waitpid(sends, None)?;
    }
    Ok(json!({ "forked": forked, "programs": programs }))
}
