//! The system calls of every process in some network namespaces, told by the bench's own BPF programs.
//!
//! `bpf/trace.bpf.c` says what is looked at. It follows namespaces, not processes, so that nothing is missed of what
//! daemonises or was forked by whatever; and it stops nobody, so that programs behave as they do without it.

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

/// Bytes of data that are kept of a call: `PREFIX` of `bpf/trace.bpf.c`.
const PREFIX: usize = 48;
/// Bytes of `struct event`.
const EVENT: usize = 168;

/// What a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Some other call on a socket, which says that the process had it.
    Held,
    Closed,
    Forked,
    /// One of its threads ended.
    Ended,
    /// It may have got descriptors over a Unix socket.
    Passed,
}

/// A call that has returned.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) enter: u64,
    pub(crate) exit: u64,
    /// What it returned; of [`Kind::Forked`], the parent; of [`Kind::Closed`], 1 if it was the process's last descriptor.
    pub(crate) result: i64,
    pub(crate) process: u32,
    pub(crate) flags: u32,
    /// The socket's inode, which no other socket has while this machine runs; 0 if there is none.
    pub(crate) socket: u64,
    pub(crate) protocol: Protocol,
    /// The address is unspecified where the socket is bound to none.
    pub(crate) local: SocketAddr,
    /// Port 0 where the socket is connected to nobody.
    pub(crate) remote: SocketAddr,
    /// The other end that the call names or is told.
    pub(crate) peer: Option<SocketAddr>,
    /// How the data begins; empty if that is not known.
    pub(crate) prefix: Vec<u8>,
}

/// What was traced.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Call>,
    /// How many there was no room for; with any there is no truth.
    pub(crate) lost: u64,
}

/// A trace under way.
#[derive(Debug)]
pub(crate) struct Trace {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Calls>>,
}

impl Trace {
    /// Starts to trace the namespaces with these inode numbers; returns when every call is seen.
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
            // It ended before it was ready, and says why.
            join(thread)?;
            bail!("the trace ended at once");
        }
        Ok(Self { stop, thread })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It failed on its way.
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
    // Two processors' calls may be a little out of order.
    calls.sort_by_key(|call: &Call| call.exit);
    Ok(Calls { calls, lost })
}

fn map<'o>(object: &'o Object, name: &str) -> Result<Map<'o>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("the trace has no map {name}"))
}

/// Whether the kernel's tracepoints about io_uring have the arguments that the programs expect: the ring, the request,
/// the completed entry (Linux 6.16); they are preceded by one that is nobody's.
pub(crate) fn tells_of_rings() -> bool {
    let Ok(btf) = Btf::from_vmlinux() else { return false };
    let Some(name) = btf.type_by_name::<Typedef<'_>>("btf_trace_io_uring_complete") else { return false };
    let pointer = Ptr::try_from(name.referenced_type());
    let function = pointer.ok().and_then(|pointer| FuncProto::try_from(pointer.referenced_type()).ok());
    function.is_some_and(|function| function.iter().count() == 4)
}

/// The wall clock minus the boot clock, in ns: of a few readings the one with the least time between them.
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

/// An event, as `struct event` lays it out.
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

/// IPv4 as what it is, also where a socket of IPv6 is used for it.
fn address(bytes: &[u8], is_v4: bool) -> Option<IpAddr> {
    Some(if is_v4 {
        IpAddr::from(*bytes.first_chunk::<4>()?)
    } else {
        Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical()
    })
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        AF_INET => Some(SocketAddr::new(address(bytes.get(4..)?, true)?, port)),
        AF_INET6 => Some(SocketAddr::new(address(bytes.get(8..)?, false)?, port)),
        _ => None,
    }
}
