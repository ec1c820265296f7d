//! The sensor: loads and attaches the BPF programs, reads the state that was there before, hands out events.
//!
//! Owned and used by one thread. The order of starting matters: everything is attached first and the running state is
//! read afterwards, so that nothing falls between; what is then seen twice, the engine takes once.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use hone_engine::{Event, Nanos, Packet, ProcessStart, SourceDrops, StartKind};
use libbpf_rs::btf::{Btf, types::Typedef};
use libbpf_rs::{
    Iter, Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, PrintLevel, ProgramMut,
    RingBuffer, RingBufferBuilder,
};

use crate::accept::TraceFs;
use crate::capture::Capture;
use crate::clock::WallClock;
use crate::container;
use crate::error::SensorError;
use crate::names::Names;
use crate::preflight;
use crate::record::{Process, Record, join_path};
use crate::ring::Lender;

/// The compiled programs, built by `build.rs`.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sensor.bpf.o"));

/// The most that is captured of a packet, in bytes: what stock readers of the file accept at most.
pub const MAX_SNAP_LENGTH: u32 = 262_144;

/// Sizes that the ring buffer to the kernel may have, in bytes; a power of two.
pub const RING_BYTES: std::ops::RangeInclusive<u32> = (1 << 20)..=(1 << 30);

/// The ring buffer's size where nothing else is said: 64 MiB.
pub const DEFAULT_RING_BYTES: u32 = 64 << 20;

/// How to start the sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorConfig {
    /// Bytes captured of a packet, from the IP header on; 0: all (up to [`MAX_SNAP_LENGTH`]).
    pub snap_length: u32,
    /// Bytes of the ring buffer between kernel and sensor: a power of two within [`RING_BYTES`].
    pub ring_bytes: u32,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self { snap_length: 0, ring_bytes: DEFAULT_RING_BYTES }
    }
}

/// The running sensor. Dropping it detaches and unloads everything.
pub struct Sensor {
    ring: RingBuffer<'static>,
    lender: Lender,
    losses: MapHandle,
    capture: Capture,
    decoder: Decoder,
    notes: Vec<String>,
    iterators: [Link; 2],
    // Dropped last: the links hold the programs in place, the object holds the maps.
    _links: Vec<Link>,
    _object: Object,
}

impl Sensor {
    /// Checks, loads and attaches.
    ///
    /// # Errors
    /// Whatever is missing or refused, with the remedy.
    pub fn start(config: &SensorConfig) -> Result<Self, SensorError> {
        let snap_length = Capture::bytes(config.snap_length)?;
        if !RING_BYTES.contains(&config.ring_bytes) || !config.ring_bytes.is_power_of_two() {
            return Err(SensorError::Setting {
                what: "the ring buffer's size",
                found: config.ring_bytes.into(),
                range: "a power of two from 1 MiB to 1 GiB",
            });
        }
        let cgroup = preflight::check()?;
        let mut notes = Vec::new();
        let object = load(snap_length, config.ring_bytes)?;
        let (links, iterators) = attach(&object, &cgroup, &mut notes)?;

        let lender = Lender::default();
        let map = |name: &str| {
            object.maps().find(|map| map.name() == name).expect("the object is built with this map")
        };
        let events = map("events");
        let mut builder = RingBufferBuilder::new();
        let callback = lender.clone();
        let refused = |error| SensorError::refused("opening the ring buffer", error);
        builder.add(&events, move |bytes| callback.call(bytes)).map_err(refused)?;
        let ring = builder.build().map_err(refused)?;
        let losses = MapHandle::try_from(&map("losses")).map_err(refused)?;
        let data = object.maps().find(|map| map.name().to_string_lossy().ends_with(".data"));
        let data = data.expect("the object is built with its writable data");
        let capture = Capture::new(MapHandle::try_from(&data).map_err(refused)?);
        Ok(Self {
            ring,
            lender,
            losses,
            capture,
            decoder: Decoder { clock: WallClock::start(), names: Names::default(), path: Vec::new() },
            notes,
            iterators,
            _links: links,
            _object: object,
        })
    }

    /// Hands the processes that run and the sockets that are open to `sink`. To be called once, before the first poll.
    ///
    /// # Errors
    /// If the kernel's lists cannot be read.
    pub fn restate(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), SensorError> {
        for (link, what) in self.iterators.iter().zip(["running processes", "open sockets"]) {
            let mut bytes = Vec::new();
            Iter::new(link)
                .map_err(|error| SensorError::refused(format!("listing the {what}"), error))?
                .read_to_end(&mut bytes)
                .map_err(|error| SensorError::io(format!("cannot list the {what}"), error))?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (record, length) = Record::parse(rest)?;
                self.decoder.deliver(record, sink);
                rest = &rest[length..];
            }
        }
        Ok(())
    }

    /// Waits up to `timeout` for records, then hands at most `most` of them to `sink`. Returns how many.
    ///
    /// # Errors
    /// If the ring buffer cannot be read, or holds what this build doesn't know.
    pub fn poll(
        &mut self,
        timeout: Duration,
        most: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SensorError> {
        let (ring, decoder) = (&self.ring, &mut self.decoder);
        let mut seen = 0;
        let mut fault = None;
        let mut handler = |bytes: &[u8]| {
            match Record::parse(bytes) {
                Ok((record, _)) => decoder.deliver(record, sink),
                Err(error) => fault = Some(error),
            }
            seen += 1;
            fault.is_none()
        };
        let result = self.lender.lend(&mut handler, || match ring.consume_raw_n(most) {
            0 if !timeout.is_zero() => {
                wait(ring.epoll_fd(), timeout)?;
                Ok(ring.consume_raw_n(most))
            }
            result => Ok(result),
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if result < 0 {
            return Err(SensorError::io(
                "cannot read the ring buffer",
                std::io::Error::from_raw_os_error(-result),
            ));
        }
        Ok(seen)
    }

    /// Packets and events that found no room in the ring buffer so far. Also follows a wall clock that was set.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn drops(&mut self) -> Result<SourceDrops, SensorError> {
        self.decoder.clock.follow();
        let total = |kind: u32| {
            let values = self
                .losses
                .lookup_percpu(&kind.to_ne_bytes(), MapFlags::ANY)
                .map_err(|error| SensorError::refused("reading the loss counters", error))?;
            let values = values.unwrap_or_default();
            Ok(values
                .iter()
                .filter_map(|value| value.first_chunk())
                .map(|value| u64::from_ne_bytes(*value))
                .sum())
        };
        Ok(SourceDrops { packets: total(0)?, processes: total(1)?, connections: total(2)? })
    }

    /// What sets how much of each packet is captured, also from other threads.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture.clone()
    }

    /// What is weaker here than on the best of machines, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl AsFd for Sensor {
    /// To wait without polling the sensor: readable when the ring buffer is a quarter full.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.ring`, which `self` owns and never replaces.
        unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd()) }
    }
}

/// Waits until the ring buffer asks for it (at a quarter full) or the time is over. A signal ends it early.
fn wait(epoll: i32, timeout: Duration) -> Result<(), SensorError> {
    let mut event = libc::pollfd { fd: epoll, events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd, alive for the call.
    let result = unsafe { libc::poll(&raw mut event, 1, milliseconds) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(SensorError::io("cannot wait for the ring buffer", error));
        }
    }
    Ok(())
}

/// Whether the running kernel has the tracepoint.
fn has_tracepoint(btf: &Btf<'_>, name: &str) -> bool {
    btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_some()
}

fn load(snap_length: u32, ring_bytes: u32) -> Result<Object, SensorError> {
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| tracing::debug!("libbpf: {}", text.trim_end()))));
    let refused = |error| SensorError::refused("loading", error);
    let mut object: OpenObject = ObjectBuilder::default()
        .name("hone")
        .and_then(|builder| builder.open_memory(OBJECT))
        .map_err(refused)?;
    let btf = Btf::from_vmlinux().map_err(|error| SensorError::refused("reading the kernel's BTF", error))?;
    let tracepoints = has_tracepoint(&btf, "sock_send_length") && has_tracepoint(&btf, "sock_recv_length");
    for mut map in object.maps_mut() {
        if map.name() == "events" {
            map.set_max_entries(ring_bytes).map_err(refused)?;
        } else if map.name().to_string_lossy().ends_with(".rodata") {
            // `settings` in bpf/common.h: the object's only read-only data.
            let settings = map.initial_value_mut().and_then(|value| value.first_chunk_mut::<4>());
            *settings.expect("the object is built with its settings") = ring_bytes.to_ne_bytes();
        } else if map.name().to_string_lossy().ends_with(".data") {
            let capture = map.initial_value_mut().and_then(|value| value.first_chunk_mut::<4>());
            *capture.expect("the object is built with its writable data") = snap_length.to_ne_bytes();
        }
    }
    for mut program in object.progs_mut() {
        let tells_use = match program.section().to_str() {
            Some("tp_btf/sock_send_length" | "tp_btf/sock_recv_length") => tracepoints,
            Some(section) if section.starts_with("fentry/") => !tracepoints,
            _ => true,
        };
        program.set_autoload(tells_use);
    }
    object.load().map_err(refused)
}

/// Attaches every loaded program; the iterators are returned apart, in the order: processes, sockets.
fn attach(
    object: &Object,
    cgroup: &Path,
    notes: &mut Vec<String>,
) -> Result<(Vec<Link>, [Link; 2]), SensorError> {
    let directory = std::fs::File::open(cgroup).map_err(|error| {
        SensorError::io(format!("cannot open the cgroup hierarchy {}", cgroup.display()), error)
    })?;
    // The root cgroup's directory has inode 1; a container sees its own cgroup as "/".
    if std::os::unix::fs::MetadataExt::ino(
        &directory
            .metadata()
            .map_err(|error| SensorError::io(format!("cannot look at {}", cgroup.display()), error))?,
    ) != 1
    {
        notes.push(format!(
            "{} is not the root of the cgroup hierarchy (a container?): only sockets of the cgroups below it are seen",
            cgroup.display()
        ));
    }
    let tracefs = TraceFs::open();
    let mut links = Vec::new();
    let (mut processes, mut sockets) = (None, None);
    for program in object.progs_mut() {
        if program.autoload() {
            attach_one(&program, &directory, &tracefs, notes, &mut links, (&mut processes, &mut sockets))?;
        }
    }
    let missing = "the object is built with both iterators";
    Ok((links, [processes.expect(missing), sockets.expect(missing)]))
}

fn attach_one(
    program: &ProgramMut<'_>,
    cgroup: &std::fs::File,
    tracefs: &Result<TraceFs, SensorError>,
    notes: &mut Vec<String>,
    links: &mut Vec<Link>,
    (processes, sockets): (&mut Option<Link>, &mut Option<Link>),
) -> Result<(), SensorError> {
    let section = program.section().to_string_lossy();
    let refused = |error| SensorError::refused(format!("attaching {section}"), error);
    if section.starts_with("cgroup") {
        links.push(program.attach_cgroup(cgroup.as_raw_fd()).map_err(refused)?);
    } else if let Some(call) = section.strip_prefix("tp/syscalls/sys_exit_") {
        let link = match tracefs {
            Ok(tracefs) => tracefs.attach_syscall_exit(program, call).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match link {
            Ok(link) => links.push(link),
            Err(error) => notes.push(format!(
                "{call}() is not watched ({error}): a connection is its listener's owner's until it is first used"
            )),
        }
    } else {
        let link = program.attach().map_err(refused)?;
        match &*section {
            "iter.s/task" => *processes = Some(link),
            "iter/task_file" => *sockets = Some(link),
            _ => links.push(link),
        }
    }
    Ok(())
}

/// Turns records into events.
struct Decoder {
    clock: WallClock,
    names: Names,
    path: Vec<u8>,
}

/// epb_flags of the pcapng draft: bit 9 "checksum not ready", bit 11 "TCP segmentation offload".
const FLAG_CHECKSUM_NOT_READY: u32 = 1 << 9;
const FLAG_SEGMENTATION_OFFLOAD: u32 = 1 << 11;

impl Decoder {
    fn deliver(&mut self, record: Record<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        match record {
            Record::Packet { time, connection, owner, direction, offload, length, data } => {
                let mut flags = 0;
                if offload & 1 != 0 {
                    flags |= FLAG_CHECKSUM_NOT_READY;
                }
                if offload & 2 != 0 {
                    flags |= FLAG_SEGMENTATION_OFFLOAD;
                }
                sink(Event::Packet(Packet {
                    at: self.clock.wall(time),
                    connection: (connection != 0).then_some(connection),
                    owner,
                    direction,
                    flags,
                    original_length: length,
                    data,
                }));
            }
            Record::SocketOpened { time, connection, task } => {
                sink(Event::ConnectionOpened { connection, owner: task, at: self.clock.wall(time) });
            }
            Record::SocketClosed { time, connection, task } => {
                sink(Event::ConnectionClosed { connection, process: task, at: self.clock.wall(time) });
            }
            Record::ProcessForked(process) => self.process(&process, StartKind::Forked, sink),
            Record::ProcessStarted(process) => self.process(&process, StartKind::Started, sink),
            Record::ProcessEnded { time, task } => {
                sink(Event::ProcessEnded { process: task, at: self.clock.wall(time) });
            }
        }
    }

    fn process(&mut self, process: &Process<'_>, kind: StartKind, sink: &mut dyn FnMut(Event<'_>)) {
        let at: Nanos = self.clock.wall(process.time);
        let kind = if process.kernel_thread { StartKind::KernelThread } else { kind };
        if process.kernel_thread {
            // As ps(1) and the format have it: [name].
            let name = process.path.split(|&byte| byte == 0).next().unwrap_or_default();
            self.path.clear();
            self.path.push(b'[');
            self.path.extend_from_slice(name);
            self.path.push(b']');
        } else {
            join_path(process.path, &mut self.path);
        }
        let (user_name, group_name) = self.names.of(process.user, process.group);
        let mut start = ProcessStart::new(process.task, at, kind);
        start.parent = Some(process.parent);
        start.path = (!self.path.is_empty()).then_some(&self.path);
        start.arguments = (!process.arguments.is_empty()).then_some(process.arguments);
        start.user = Some(process.user);
        start.group = Some(process.group);
        start.user_name = user_name;
        start.group_name = group_name;
        let container = container::of(process.cgroup);
        start.container = container.as_deref();
        start.namespace_pid = process.namespace_pid;
        start.network_namespace = process.network;
        sink(Event::ProcessStarted(start));
    }
}
