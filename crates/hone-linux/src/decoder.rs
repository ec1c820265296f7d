//! Turns records of the BPF programs into events of the engine.

use hone_engine::{Corrected, Event, Packet, ProcessKey, ProcessStart, SourceDrops, StartKind};

use crate::abi::types as abi;
use crate::clock::WallClock;
use crate::error::SensorError;
use crate::hashing::{Executed, Hashing};
use crate::loopback::Loopback;
use crate::names::Names;
use crate::record::{PacketRecord, Process, Record, join_path};
use crate::starts::Starts;
use crate::unreadable::Tally;
use crate::{container, unit};

/// Turns records into events.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) clock: WallClock,
    names: Names,
    path: Vec<u8>,
    unreadable: Tally,
    pub(crate) starts: Starts,
    /// Processes that have ended, and of which the programs may have an entry.
    pub(crate) ended: Vec<ProcessKey>,
    /// `None`: executables are not hashed.
    pub(crate) hashing: Option<Hashing>,
    loopback: Loopback,
}

/// epb_flags of the pcapng draft: bit 9 "checksum not ready", bit 11 "TCP segmentation offload".
const FLAG_CHECKSUM_NOT_READY: u32 = 1 << 9;
const FLAG_SEGMENTATION_OFFLOAD: u32 = 1 << 11;

impl Decoder {
    pub(crate) fn start() -> Self {
        Self::with(WallClock::start())
    }

    /// Reads no clock of its own.
    pub(crate) fn with(clock: WallClock) -> Self {
        Self {
            clock,
            names: Names::default(),
            path: Vec::new(),
            unreadable: Tally::default(),
            starts: Starts::default(),
            ended: Vec::new(),
            hashing: None,
            loopback: Loopback::default(),
        }
    }

    /// Hands what the record at the start of `bytes` reports to `sink`; one that cannot be read is lost, and counted.
    /// Returns how many bytes it has, unless that is not known.
    ///
    /// # Errors
    /// Too many could not be read.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<usize>, SensorError> {
        if let Some((packet, length)) = PacketRecord::parse(bytes) {
            self.unreadable.readable();
            self.packet(&packet, sink);
            return Ok(Some(length));
        }
        match Record::parse(bytes) {
            Ok((record, length)) => {
                self.unreadable.readable();
                self.deliver(record, sink);
                Ok(Some(length))
            }
            Err(fault) => {
                self.unreadable.unreadable(&fault, bytes)?;
                Ok(fault.length)
            }
        }
    }

    /// What could not be read so far.
    pub(crate) const fn lost(&self) -> SourceDrops {
        self.unreadable.lost()
    }

    pub(crate) fn deliver(&mut self, record: Record<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        match record {
            Record::Packet(packet) => self.packet(&packet, sink),
            Record::SocketOpened { time, connection, task, used } => {
                let at = self.clock.wall(time);
                sink(Event::ConnectionOpened { connection, owner: task, at });
                if let (Some(used), Some(process)) = (used, task) {
                    sink(Event::ConnectionUsed { connection, process, used, at });
                }
            }
            Record::DatagramDropped { time, connection, ticket } => {
                let at = self.clock.wall(time);
                sink(Event::DatagramDropped { connection, number: ticket, at });
            }
            Record::SocketUsed { time, connection, task, used } => {
                let at = self.clock.wall(time);
                sink(Event::ConnectionUsed { connection, process: task, used, at });
            }
            Record::Corrected { time, connection, direction, packets, attribution } => {
                let packets = match packets {
                    Corrected::Time(time) => Corrected::Time(self.clock.wall(time)),
                    bytes @ Corrected::Bytes { .. } => bytes,
                };
                let at = self.clock.wall(time);
                sink(Event::Corrected { connection, direction, packets, attribution, at });
            }
            Record::SocketClosed { time, connection, task } => {
                sink(Event::ConnectionClosed { connection, process: task, at: self.clock.wall(time) });
            }
            Record::ProcessForked(process) => self.process(&process, StartKind::Forked, sink),
            Record::ProcessStarted(process) => self.process(&process, StartKind::Started, sink),
            Record::ProcessEnded { time, task } => {
                sink(Event::ProcessEnded { process: task, at: self.clock.wall(time) });
                if self.starts.ended(task).is_some_and(|start| start.has_entry) {
                    self.ended.push(task);
                }
            }
        }
    }

    #[inline]
    pub(crate) fn packet(&mut self, packet: &PacketRecord<'_>, sink: &mut dyn FnMut(Event<'_>)) {
        let &PacketRecord { time, connection, owner, direction, offload, length, buffer, data } = packet;
        let mut flags = 0;
        if offload & abi::offload::OFFLOAD_CHECKSUM.0 != 0 {
            flags |= FLAG_CHECKSUM_NOT_READY;
        }
        if offload & abi::offload::OFFLOAD_SEGMENTS.0 != 0 {
            flags |= FLAG_SEGMENTATION_OFFLOAD;
        }
        sink(Event::Packet(Packet {
            at: self.clock.wall(time),
            connection: (connection != 0).then_some(connection),
            owner,
            direction,
            flags,
            original_length: length,
            packet_id: self.loopback.packet_id(buffer, direction, length),
            data,
        }));
    }

    fn process(&mut self, process: &Process<'_>, kind: StartKind, sink: &mut dyn FnMut(Event<'_>)) {
        let at = self.clock.wall(process.time);
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
        start.born = Some(process.born);
        start.executions = Some(process.executions);
        start.unit = unit::of(process.cgroup);
        if let Some(hashing) = &mut self.hashing {
            match kind {
                StartKind::Started => {
                    start.hash = Some(hashing.executed(&Executed {
                        process: process.task,
                        parent: process.parent,
                        file: process.file,
                        path: &self.path,
                    }));
                }
                StartKind::Forked => hashing.forked(process.task, process.parent),
                StartKind::KernelThread | StartKind::Supplemented => {}
            }
        }
        sink(Event::ProcessStarted(start));
        // Not before: what is said of the process must not be older than this.
        self.starts.handed_on(process.task, process.time);
    }
}
