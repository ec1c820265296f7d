//! Traces the system calls of every process in some network namespaces, with the bench's own BPF programs.
//!
//! `bpf/trace.bpf.c` lists the calls that are traced. The trace follows namespaces, not processes, so it misses no
//! process, however it was started. It does not stop any process, so programs behave as they do without the trace.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use libbpf_rs::ReferencesType as _;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{FuncProto, Ptr, Typedef};
use libbpf_rs::{Map, MapCore as _, MapFlags, Object, ObjectBuilder, ProgramMut, RingBufferBuilder};
use nix::time::{ClockId, clock_gettime};

use crate::packet::Protocol;

/// The compiled programs, built by `build.rs`.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trace.bpf.o"));

/// Bytes of data that are kept for each call: `PREFIX` of `bpf/trace.bpf.c`.
const PREFIX: usize = 48;
/// Size of `struct event`.
const EVENT: usize = 168;

/// What a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Another call on a socket. It shows that the process had the socket.
    Held,
    Closed,
    Forked,
    /// One of its threads ended.
    Ended,
    /// It may have received descriptors over a Unix socket.
    Passed,
}

/// A call that has returned.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) enter: u64,
    pub(crate) exit: u64,
    /// The call's result. For [`Kind::Forked`] it is the parent; for [`Kind::Closed`] it is 1 if the descriptor was the
    /// process's last one of the socket.
    pub(crate) result: i64,
    pub(crate) process: u32,
    pub(crate) flags: u32,
    /// The socket's inode. No other socket has the same inode while this machine runs. 0 if there is none.
    pub(crate) socket: u64,
    pub(crate) protocol: Protocol,
    /// The address is unspecified if the socket is not bound to one.
    pub(crate) local: SocketAddr,
    /// The port is 0 if the socket is not connected.
    pub(crate) remote: SocketAddr,
    /// The other end, if the call passes or returns it.
    pub(crate) peer: Option<SocketAddr>,
    /// The beginning of the data. Empty if it is not known.
    pub(crate) prefix: Vec<u8>,
}

/// The result of a trace.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Call>,
    /// Number of calls that were lost because a buffer was full. If there is any, the trace is not complete and cannot
    /// be used.
    pub(crate) lost: u64,
}

/// A running trace.
#[derive(Debug)]
pub(crate) struct Trace {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Calls>>,
}

impl Trace {
    /// Starts to trace the namespaces with these inode numbers. Returns when every call is traced.
    ///
    /// # Errors
    /// The kernel refuses the programs.
    pub(crate) fn start(namespaces: Vec<u32>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || follow(&namespaces, &ready, &stop)
        });
        if is_ready.recv().is_err() {
            // The thread ended before it was ready. Joining it returns its error.
            join(thread)?;
            bail!("the trace ended at once");
        }
        Ok(Self { stop, thread })
    }

    /// Ends the trace and returns the calls.
    ///
    /// # Errors
    /// The trace has failed while it ran.
    pub(crate) fn stop(self) -> Result<Calls> {
        self.stop.store(true, Ordering::Release);
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<Calls>>) -> Result<Calls> {
    thread.join().map_err(|_| anyhow!("the thread that traces panicked"))?
}

fn follow(namespaces: &[u32], ready: &Sender<()>, stop: &AtomicBool) -> Result<Calls> {
    let mut open = ObjectBuilder::default().name("truth")?.open_memory(OBJECT)?;
    let with_rings = tells_of_rings();
    for mut program in open.progs_mut() {
        let of_rings = program.section().to_string_lossy().contains("io_uring");
        program.set_autoload(with_rings || !of_rings);
    }
    let object = open.load().context("the kernel refuses the programs that trace system calls")?;
    for number in namespaces {
        map(&object, "namespaces")?.update(&number.to_ne_bytes(), &[1], MapFlags::ANY)?;
    }
    let mut links = Vec::new();
    for program in object.progs_mut().filter(|program: &ProgramMut<'_>| program.autoload()) {
        let name = program.name().to_string_lossy().into_owned();
        links.push(program.attach().with_context(|| format!("cannot attach {name}"))?);
    }
    let mut calls = Vec::new();
    let offset = offset()?;
    {
        let events = map(&object, "events")?;
        let mut rings = RingBufferBuilder::new();
        rings.add(&events, |bytes| {
            calls.extend(parse(bytes, offset));
            0
        })?;
        let rings = rings.build()?;
        let _ = ready.send(());
        while !stop.load(Ordering::Acquire) {
            rings.poll(Duration::from_millis(20))?;
        }
        drop(links);
        rings.consume()?;
    }
    let lost = map(&object, "lost")?.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)?;
    let lost = lost.and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u64::from_ne_bytes);
    // Calls on different processors may be slightly out of order.
    calls.sort_by_key(|call: &Call| call.exit);
    Ok(Calls { calls, lost })
}

fn map<'o>(object: &'o Object, name: &str) -> Result<Map<'o>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("the trace has no map {name}"))
}

/// Whether the kernel's io_uring tracepoints have the arguments that the programs expect: the ring, the request, and
/// the completed entry (Linux 6.16). BTF adds one argument before these.
pub(crate) fn tells_of_rings() -> bool {
    let Ok(btf) = Btf::from_vmlinux() else { return false };
    let Some(name) = btf.type_by_name::<Typedef<'_>>("btf_trace_io_uring_complete") else { return false };
    let pointer = Ptr::try_from(name.referenced_type());
    let function = pointer.ok().and_then(|pointer| FuncProto::try_from(pointer.referenced_type()).ok());
    function.is_some_and(|function| function.iter().count() == 4)
}

/// The wall clock minus the boot clock, in nanoseconds. Reads both several times and uses the reading that took the
/// shortest time.
fn offset() -> Result<u64> {
    let nanos = |clock| -> Result<u64> {
        let time = clock_gettime(clock)?;
        Ok(u64::try_from(time.tv_sec())? * 1_000_000_000 + u64::try_from(time.tv_nsec())?)
    };
    let mut best = (u64::MAX, 0);
    for _ in 0..5 {
        let before = nanos(ClockId::CLOCK_BOOTTIME)?;
        let wall = nanos(ClockId::CLOCK_REALTIME)?;
        let width = nanos(ClockId::CLOCK_BOOTTIME)? - before;
        if width < best.0 {
            best = (width, wall - before - width / 2);
        }
    }
    Ok(best.1)
}

/// Parses an event, laid out as `struct event`.
fn parse(bytes: &[u8], offset: u64) -> Option<Call> {
    let bytes: &[u8; EVENT] = bytes.first_chunk()?;
    let long = |at: usize| bytes[at..].first_chunk().copied().map(u64::from_ne_bytes);
    let word = |at: usize| bytes[at..].first_chunk().copied().map(u32::from_ne_bytes);
    let half = |at: usize| bytes[at..].first_chunk().copied().map(u16::from_ne_bytes);
    let port = |at: usize| bytes[at..].first_chunk().copied().map(u16::from_be_bytes);
    let kind = match word(32)? {
        1 => Kind::Read,
        2 => Kind::Write,
        3 => Kind::Held,
        4 => Kind::Closed,
        5 => Kind::Forked,
        6 => Kind::Ended,
        7 => Kind::Passed,
        _ => return None,
    };
    let is_v4 = half(48)? == AF_INET;
    let end = |at: usize, port: u16| Some(SocketAddr::new(address(&bytes[at..], is_v4)?, port));
    let kept = usize::try_from(word(116)?).ok()?.min(PREFIX);
    Some(Call {
        kind,
        enter: long(0)?.wrapping_add(offset),
        exit: long(8)?.wrapping_add(offset),
        result: long(16)?.cast_signed(),
        process: word(36)?,
        flags: word(44)?,
        socket: long(24)?,
        protocol: Protocol::from(u8::try_from(half(50)?).unwrap_or_default()),
        local: end(56, port(52)?)?,
        remote: end(72, port(54)?)?,
        peer: socket_address(&bytes[88..116]),
        prefix: bytes[120..120 + kept].to_vec(),
    })
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// An address. IPv4 addresses stay IPv4, even if an IPv6 socket uses them.
fn address(bytes: &[u8], is_v4: bool) -> Option<IpAddr> {
    Some(if is_v4 {
        IpAddr::from(*bytes.first_chunk::<4>()?)
    } else {
        Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical()
    })
}

/// Parses a `struct sockaddr_in` or `sockaddr_in6`.
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        AF_INET => Some(SocketAddr::new(address(bytes.get(4..)?, true)?, port)),
        AF_INET6 => Some(SocketAddr::new(address(bytes.get(8..)?, false)?, port)),
        _ => None,
    }
}
