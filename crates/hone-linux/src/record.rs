//! The records that the BPF programs send, as `bpf/abi.h` lays them out: by its names and offsets (`abi`).

use std::mem::offset_of;

use hone_engine::{Attribution, Corrected, Direction, Method, NoOwner, Owner, ProcessKey, Used, Wait};

use crate::abi::types::{self as abi, packet_record, process_record, record_kind, socket_record};
use crate::hashing::FileId;

/// One record, borrowed from the ring buffer. Times are ns of the boot clock.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Packet(PacketRecord<'a>),
    SocketOpened {
        time: u64,
        connection: u64,
        task: Option<ProcessKey>,
        /// What that means for packets that wait.
        used: Option<Used>,
    },
    SocketUsed {
        time: u64,
        connection: u64,
        task: ProcessKey,
        used: Used,
    },
    DatagramDropped {
        time: u64,
        connection: u64,
        ticket: u64,
    },
    Corrected {
        time: u64,
        connection: u64,
        direction: Direction,
        /// A time is one of the boot clock.
        packets: Corrected,
        attribution: Attribution,
    },
    SocketClosed {
        time: u64,
        connection: u64,
        task: Option<ProcessKey>,
    },
    ProcessForked(Process<'a>),
    ProcessStarted(Process<'a>),
    ProcessEnded {
        time: u64,
        task: ProcessKey,
    },
}

/// A packet. Nearly all records are packets, so it can be read without the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PacketRecord<'a> {
    pub(crate) time: u64,
    /// 0: none.
    pub(crate) connection: u64,
    pub(crate) owner: Owner,
    pub(crate) direction: Direction,
    /// As `enum offload` has it.
    pub(crate) offload: u32,
    pub(crate) length: u32,
    /// Where its bytes lie in the kernel, if it is on a loopback device; else 0.
    pub(crate) buffer: u64,
    pub(crate) data: &'a [u8],
}

/// A process as it forked, executed or was found running.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Process<'a> {
    pub(crate) time: u64,
    pub(crate) task: ProcessKey,
    pub(crate) parent: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// In its own process id namespace, unless that is the initial one.
    pub(crate) namespace_pid: Option<u32>,
    /// Inode number of its network namespace; a process that ends has none any more.
    pub(crate) network: Option<u32>,
    /// The names from its cgroup (v2) to the root, each followed by NUL; none if it is the root.
    pub(crate) cgroup: &'a [u8],
    /// The names from the file to the root, each followed by NUL; a kernel thread's one name, padded with NULs.
    pub(crate) path: &'a [u8],
    pub(crate) arguments: &'a [u8],
    pub(crate) kernel_thread: bool,
    /// When it was forked, by the boot clock, and how many programs it and its ancestors have executed.
    pub(crate) born: u64,
    pub(crate) executions: u32,
    /// The file that it executes.
    pub(crate) file: Option<FileId>,
}

const PACKET_HEAD: usize = size_of::<packet_record>();
const SOCKET_RECORD: usize = size_of::<socket_record>();
const PROCESS_HEAD: usize = size_of::<process_record>();

/// Bytes of a record's beginning that [`expected`] needs.
pub(crate) const EXPECTED: usize = offset_of!(packet_record, connection) + size_of::<u64>();

/// The connection of the packet whose record begins so; `None`: it is no packet, or of no connection.
pub(crate) fn expected(beginning: &[u8; EXPECTED]) -> Option<u64> {
    const CONNECTION: usize = offset_of!(packet_record, connection);
    let (kind, connection) = (beginning.first_chunk()?, beginning[CONNECTION..].first_chunk()?);
    let is_packet = record_kind(u32::from_ne_bytes(*kind)) == record_kind::RECORD_PACKET;
    Some(u64::from_ne_bytes(*connection)).filter(|connection| is_packet && *connection != 0)
}

#[inline]
fn task(word: u64) -> Option<ProcessKey> {
    let pid = u32::try_from(word & ((1 << abi::part::PART_START.0) - 1)).ok()?;
    (word != 0).then_some(ProcessKey { pid, start: word >> abi::part::PART_START.0 })
}

#[inline]
fn owner(word: u64, method: u8, wait: u32, ticket: u64) -> Option<Owner> {
    // Perhaps the engine's tables know, or somebody is seen to use the socket soon.
    if abi::method(method.into()) == abi::method::METHOD_UNKNOWN {
        return Some(Owner::Ask);
    }
    let attribution = attribution(word, method)?;
    Some(match (wait, attribution) {
        (0, Ok((process, method))) => Owner::Process(process, method),
        (0, Err(reason)) => Owner::None(reason),
        _ => Owner::Wait(awaited(wait, ticket)?, attribution),
    })
}

#[inline]
fn attribution(word: u64, number: u8) -> Option<Attribution> {
    use abi::method;
    Some(match method(number.into()) {
        method::METHOD_CURRENT => named(word, Method::CurrentTask)?,
        method::METHOD_LAST_SENDER => named(word, Method::LastSender)?,
        method::METHOD_LAST_RECEIVER => named(word, Method::LastReceiver)?,
        method::METHOD_CREATOR => named(word, Method::Creator)?,
        method::METHOD_ACCEPTED => named(word, Method::Accepted)?,
        method::METHOD_LISTENER => named(word, Method::Listener)?,
        method::METHOD_WRITER => named(word, Method::Writer)?,
        method::METHOD_READER => named(word, Method::Reader)?,
        method::METHOD_KERNEL => Err(NoOwner::Kernel),
        method::METHOD_NO_SOCKET => Err(NoOwner::NoSocket),
        method::METHOD_TIME_WAIT => Err(NoOwner::TimeWait),
        method::METHOD_FORWARDED => Err(NoOwner::Forwarded),
        method::METHOD_FILTERED => Err(NoOwner::Filtered),
        method::METHOD_SHARED => Err(NoOwner::Shared),
        _ => return None,
    })
}

#[inline]
fn direction(number: u32) -> Option<Direction> {
    match abi::direction(number) {
        abi::direction::DIRECTION_IN => Some(Direction::Inbound),
        abi::direction::DIRECTION_OUT => Some(Direction::Outbound),
        _ => None,
    }
}

fn corrected(corrects: u32, ticket: u64) -> Option<Corrected> {
    match abi::corrects(corrects) {
        abi::corrects::CORRECTS_BYTES => Some(Corrected::Bytes {
            from: sequence_number(ticket >> abi::part::PART_FROM.0)?,
            to: sequence_number(ticket)?,
        }),
        abi::corrects::CORRECTS_TIME => Some(Corrected::Time(ticket)),
        _ => None,
    }
}

fn named(word: u64, method: Method) -> Option<Attribution> {
    Some(Ok((task(word)?, method)))
}

fn awaited(wait: u32, ticket: u64) -> Option<Wait> {
    match abi::wait(wait) {
        abi::wait::WAIT_USE => Some(Wait::Use),
        abi::wait::WAIT_DATAGRAM => Some(Wait::Datagram(ticket)),
        abi::wait::WAIT_STREAM => Some(Wait::Stream(sequence_number(ticket)?)),
        abi::wait::WAIT_HANDSHAKE => Some(Wait::Handshake(ticket)),
        _ => None,
    }
}

/// What it means that a socket is opened, for packets that wait; the outer `None`: it cannot be read.
fn owns(flags: u32) -> Option<Option<Used>> {
    match abi::owns(flags) {
        abi::owns(0) => Some(None),
        abi::owns::OWNS_ACCEPTED => Some(Some(Used::Accepted)),
        abi::owns::OWNS_ALONE => Some(Some(Used::Alone)),
        _ => None,
    }
}

fn used(flags: u32, ticket: u64) -> Option<Used> {
    use abi::settles;
    match settles(low(flags, abi::part::PART_LENGTH)) {
        settles::SETTLES_USE => Some(Used::Somehow),
        settles::SETTLES_DATAGRAM => Some(Used::Datagram(ticket)),
        settles::SETTLES_STREAM => Some(Used::Stream(sequence_number(ticket)?)),
        settles::SETTLES_NEXT_DATAGRAM => {
            Some(Used::NextDatagram { before: ticket, length: flags >> abi::part::PART_LENGTH.0 })
        }
        settles::SETTLES_HANDSHAKE => Some(Used::Handshake(ticket)),
        _ => None,
    }
}

/// The bits of a number below where this part of it begins.
const fn low(number: u32, begin: abi::part) -> u32 {
    number & ((1 << begin.0) - 1)
}

fn sequence_number(ticket: u64) -> Option<u32> {
    u32::try_from(ticket & u64::from(u32::MAX)).ok()
}

/// Fields of a record at their offsets; `None` past its end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// All records begin with it.
    #[inline]
    fn kind(&self) -> Option<record_kind> {
        self.u32(0).map(record_kind)
    }
    #[inline]
    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }
    #[inline]
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }
    #[inline]
    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }
    fn bytes(&self, at: usize, length: u32) -> Option<&'a [u8]> {
        self.0.get(at..)?.get(..usize::try_from(length).ok()?)
    }
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`, and how many bytes it has (the ring's own records may be longer).
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Unreadable> {
        let fields = Fields(bytes);
        let length = length(&fields).filter(|&length| length <= bytes.len());
        length
            .and_then(|length| Some((content(&fields)?, length)))
            .ok_or_else(|| Unreadable { subject: Subject::of(&fields), length })
    }
}

/// What a record is about, by its kind alone: as what it is counted when the rest cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Packet,
    Process,
    Connection,
    /// Of no kind that this build knows.
    Unknown,
}

impl Subject {
    fn of(fields: &Fields<'_>) -> Self {
        match fields.kind() {
            Some(record_kind::RECORD_PACKET) => Self::Packet,
            Some(
                record_kind::RECORD_SOCKET_OPENED
                | record_kind::RECORD_SOCKET_CLOSED
                | record_kind::RECORD_SOCKET_USED
                | record_kind::RECORD_CORRECTED,
            ) => Self::Connection,
            Some(
                record_kind::RECORD_PROCESS_FORKED
                | record_kind::RECORD_PROCESS_STARTED
                | record_kind::RECORD_PROCESS_ENDED,
            ) => Self::Process,
            _ => Self::Unknown,
        }
    }
}

/// A record that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) subject: Subject,
    /// How many bytes it has; `None` if it does not say so, or is cut off before.
    pub(crate) length: Option<usize>,
}

/// How many bytes the record says that it has.
fn length(fields: &Fields<'_>) -> Option<usize> {
    let part = |at| usize::try_from(fields.u32(at)?).ok();
    match Subject::of(fields) {
        Subject::Packet => Some(PACKET_HEAD + part(offset_of!(packet_record, captured))?),
        Subject::Connection => Some(SOCKET_RECORD),
        Subject::Process => Some(
            PROCESS_HEAD
                + part(offset_of!(process_record, path))?
                + part(offset_of!(process_record, arguments))?
                + part(offset_of!(process_record, cgroup))?,
        ),
        Subject::Unknown => None,
    }
}

fn content<'a>(fields: &Fields<'a>) -> Option<Record<'a>> {
    match Subject::of(fields) {
        Subject::Packet => PacketRecord::parse(fields.0).map(|(packet, _)| Record::Packet(packet)),
        Subject::Connection => socket(fields),
        Subject::Process => process(fields),
        Subject::Unknown => None,
    }
}

impl<'a> PacketRecord<'a> {
    /// Reads the packet's record at the start of `bytes`, and how many bytes it has. `None`: it is none, or cannot be read.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        // Of a head of known length, so that its length is not compared for each field.
        let (head, data) = bytes.split_first_chunk::<PACKET_HEAD>()?;
        let fields = Fields(head);
        if fields.kind()? != record_kind::RECORD_PACKET {
            return None;
        }
        let captured = usize::try_from(fields.u32(offset_of!(packet_record, captured))?).ok()?;
        let task = fields.u64(offset_of!(packet_record, task))?;
        let method = fields.u8(offset_of!(packet_record, method))?;
        let wait = fields.u8(offset_of!(packet_record, wait))?;
        let ticket = fields.u64(offset_of!(packet_record, ticket))?;
        let packet = Self {
            time: fields.u64(offset_of!(packet_record, time))?,
            connection: fields.u64(offset_of!(packet_record, connection))?,
            owner: owner(task, method, wait.into(), ticket)?,
            direction: direction(fields.u8(offset_of!(packet_record, direction))?.into())?,
            offload: fields.u8(offset_of!(packet_record, offload))?.into(),
            length: fields.u32(offset_of!(packet_record, length))?,
            buffer: fields.u64(offset_of!(packet_record, buffer))?,
            data: data.get(..captured)?,
        };
        Some((packet, PACKET_HEAD + captured))
    }
}

fn socket<'a>(fields: &Fields<'a>) -> Option<Record<'a>> {
    let flags = fields.u32(offset_of!(socket_record, flags))?;
    let time = fields.u64(offset_of!(socket_record, time))?;
    let connection = fields.u64(offset_of!(socket_record, connection))?;
    let word = fields.u64(offset_of!(socket_record, task))?;
    let ticket = fields.u64(offset_of!(socket_record, ticket))?;
    let task = task(word);
    Some(match fields.kind()? {
        record_kind::RECORD_SOCKET_OPENED => {
            Record::SocketOpened { time, connection, task, used: owns(flags)? }
        }
        record_kind::RECORD_SOCKET_CLOSED => Record::SocketClosed { time, connection, task },
        record_kind::RECORD_CORRECTED => Record::Corrected {
            time,
            connection,
            direction: direction(flags >> abi::part::PART_DIRECTION.0 & 0xFF)?,
            packets: corrected(low(flags, abi::part::PART_DIRECTION), ticket)?,
            attribution: attribution(word, u8::try_from(flags >> abi::part::PART_METHOD.0 & 0xFF).ok()?)?,
        },
        _ if abi::settles(flags) == abi::settles::SETTLES_DROPPED => {
            Record::DatagramDropped { time, connection, ticket }
        }
        _ => Record::SocketUsed { time, connection, task: task?, used: used(flags, ticket)? },
    })
}

fn process<'a>(fields: &Fields<'a>) -> Option<Record<'a>> {
    let time = fields.u64(offset_of!(process_record, time))?;
    let task = task(fields.u64(offset_of!(process_record, task))?)?;
    let kind = fields.kind()?;
    if kind == record_kind::RECORD_PROCESS_ENDED {
        return Some(Record::ProcessEnded { time, task });
    }
    let number = |at| fields.u32(at);
    let cgroup = fields.bytes(PROCESS_HEAD, number(offset_of!(process_record, cgroup))?)?;
    let path = fields.bytes(PROCESS_HEAD + cgroup.len(), number(offset_of!(process_record, path))?)?;
    let behind = PROCESS_HEAD + cgroup.len() + path.len();
    let arguments = fields.bytes(behind, number(offset_of!(process_record, arguments))?)?;
    let flags = number(offset_of!(process_record, flags))?;
    let process = Process {
        time,
        task,
        parent: number(offset_of!(process_record, parent))?,
        user: number(offset_of!(process_record, user))?,
        group: number(offset_of!(process_record, group))?,
        namespace_pid: number(offset_of!(process_record, namespace_pid)).filter(|&pid| pid != 0),
        network: number(offset_of!(process_record, network)).filter(|&inode| inode != 0),
        cgroup,
        path,
        arguments,
        kernel_thread: flags & abi::process_flags::PROCESS_KERNEL_THREAD.0 != 0,
        born: fields.u64(offset_of!(process_record, born))?,
        executions: number(offset_of!(process_record, executions))?,
        file: file(fields),
    };
    Some(if kind == record_kind::RECORD_PROCESS_FORKED {
        Record::ProcessForked(process)
    } else {
        Record::ProcessStarted(process)
    })
}

/// The executed file, unless the record does not say which.
fn file(fields: &Fields<'_>) -> Option<FileId> {
    let long = |at| fields.u64(at);
    let file = FileId {
        device: fields.u32(offset_of!(process_record, device))?,
        kind: fields.u32(offset_of!(process_record, file_system))?,
        inode: long(offset_of!(process_record, inode))?,
        size: long(offset_of!(process_record, size))?,
        changed: (
            long(offset_of!(process_record, changed))?.cast_signed(),
            fields.u32(offset_of!(process_record, changed_nanos))?,
        ),
    };
    (file != FileId::default()).then_some(file)
}

/// Joins names from leaf to root into a path, into `out`.
///
/// A name that was being read when its file was renamed may be torn; there is nothing better without a lock.
pub(crate) fn join_path(names: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for name in names.split(|&byte| byte == 0).rev().filter(|name| !name.is_empty()) {
        out.push(b'/');
        out.extend_from_slice(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_packet_carries_its_process_and_only_its_captured_bytes() {
        let mut bytes = record(1, PACKET_HEAD + 128);
        bytes[4..8].copy_from_slice(&3u32.to_ne_bytes());
        bytes[16..24].copy_from_slice(&9u64.to_ne_bytes());
        bytes[24..32].copy_from_slice(&(5u64 << 22 | 4_194_303).to_ne_bytes());
        bytes[32..36].copy_from_slice(&1500u32.to_ne_bytes());
        bytes[36] = 2;
        bytes[37] = 1;
        bytes[48] = 8;
        bytes[56..59].copy_from_slice(b"abc");
        let (parsed, length) = Record::parse(&bytes).unwrap();
        assert_eq!(length, 59);
        let key = ProcessKey { pid: 4_194_303, start: 5 };
        assert_eq!(
            parsed,
            Record::Packet(PacketRecord {
                time: 77,
                connection: 9,
                owner: Owner::Process(key, Method::CurrentTask),
                direction: Direction::Outbound,
                offload: 0,
                length: 1500,
                buffer: 8,
                data: b"abc",
            })
        );
    }

    #[test]
    fn a_packet_may_wait_and_a_use_tells_whose_it_is() {
        let key = ProcessKey { pid: 9, start: 5 };
        let mut bytes = record(1, PACKET_HEAD);
        (bytes[36], bytes[37], bytes[39]) = (1, 13, 3);
        bytes[40..48].copy_from_slice(&0xFFFF_FFF0_u64.to_ne_bytes());
        let Ok((Record::Packet(PacketRecord { owner, .. }), _)) = Record::parse(&bytes) else {
            panic!("it is a packet")
        };
        assert_eq!(owner, Owner::Wait(Wait::Stream(0xFFFF_FFF0), Err(NoOwner::Shared)));
        (bytes[37], bytes[39]) = (6, 1);
        assert!(Record::parse(&bytes).is_err(), "a listener's owner is named");
        bytes[24..32].copy_from_slice(&(5u64 << 22 | 9).to_ne_bytes());
        let Ok((Record::Packet(PacketRecord { owner, .. }), _)) = Record::parse(&bytes) else {
            panic!("it is a packet")
        };
        assert_eq!(owner, Owner::Wait(Wait::Use, Ok((key, Method::Listener))));

        let mut bytes = record(7, SOCKET_RECORD);
        (bytes[4], bytes[16], bytes[32]) = (2, 3, 4);
        assert!(Record::parse(&bytes).is_err(), "somebody used it");
        bytes[24..32].copy_from_slice(&(5u64 << 22 | 9).to_ne_bytes());
        let used = Record::SocketUsed { time: 77, connection: 3, task: key, used: Used::Datagram(4) };
        assert_eq!(Record::parse(&bytes).unwrap(), (used, SOCKET_RECORD));
    }

    #[test]
    fn a_correction_says_which_packets_and_whose_they_are() {
        let key = ProcessKey { pid: 9, start: 5 };
        let mut bytes = record(8, SOCKET_RECORD);
        // Bytes from 2^32 - 1 to 4 of what was received, read by the task.
        bytes[4..8].copy_from_slice(&(1_u32 | 1 << 8 | 14 << 16).to_ne_bytes());
        bytes[16] = 3;
        bytes[24..32].copy_from_slice(&(5u64 << 22 | 9).to_ne_bytes());
        bytes[32..40].copy_from_slice(&(0xFFFF_FFFF_0000_0004_u64).to_ne_bytes());
        let corrected = |packets, direction, attribution| Record::Corrected {
            time: 77,
            connection: 3,
            direction,
            packets,
            attribution,
        };
        let read = corrected(
            Corrected::Bytes { from: u32::MAX, to: 4 },
            Direction::Inbound,
            Ok((key, Method::Reader)),
        );
        assert_eq!(Record::parse(&bytes).unwrap(), (read, SOCKET_RECORD));
        // One that was sent at a time, and then dropped.
        bytes[4..8].copy_from_slice(&(2_u32 | 2 << 8 | 12 << 16).to_ne_bytes());
        let dropped =
            corrected(Corrected::Time(0xFFFF_FFFF_0000_0004), Direction::Outbound, Err(NoOwner::Filtered));
        assert_eq!(Record::parse(&bytes).unwrap(), (dropped, SOCKET_RECORD));
        for flags in [0_u32, 1, 1 | 3 << 8 | 14 << 16, 3 | 1 << 8 | 14 << 16, 1 | 1 << 8 | 99 << 16] {
            bytes[4..8].copy_from_slice(&flags.to_ne_bytes());
            assert!(Record::parse(&bytes).is_err(), "{flags:#x}");
        }
    }

    #[test]
    fn a_process_has_its_cgroup_its_path_and_its_arguments_one_after_the_other() {
        let mut bytes = record(5, PROCESS_HEAD);
        bytes[16..24].copy_from_slice(&(5u64 << 22 | 77).to_ne_bytes());
        for (at, value) in [(32, 3u32), (36, 4), (44, 2), (48, 9), (52, 4_026_531_840)] {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes[offset_of!(process_record, born)] = 6;
        bytes[offset_of!(process_record, executions)] = 7;
        bytes.extend_from_slice(b"c\0pp\0aaa\0next");
        let (Record::ProcessStarted(process), length) = Record::parse(&bytes).unwrap() else { panic!() };
        assert_eq!(length, PROCESS_HEAD + 9);
        let parts: [&[u8]; 3] = [b"c\0", b"pp\0", b"aaa\0"];
        assert_eq!([process.cgroup, process.path, process.arguments], parts);
        assert_eq!((process.namespace_pid, process.network), (Some(9), Some(4_026_531_840)));
        assert_eq!((process.born, process.executions), (6, 7));
        assert!(Record::parse(&bytes[..length - 1]).is_err());
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error() {
        for kind in 0..10 {
            let bytes = record(kind, PROCESS_HEAD);
            for length in 0..40 {
                assert!(Record::parse(&bytes[..length]).is_err(), "kind {kind}, {length} bytes");
            }
        }
        let mut beyond = record(1, PACKET_HEAD);
        beyond[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(Record::parse(&beyond).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_what_it_is_about_and_where_the_next_begins() {
        let fault = |bytes: &[u8]| Record::parse(bytes).expect_err("it cannot be read");
        // Complete, but a last sender is named and nobody is he; of three captured bytes, in the room for 256.
        let mut packet = record(1, PACKET_HEAD + 256);
        (packet[4], packet[36], packet[37], packet[39]) = (3, 1, 2, 1);
        let length = Some(PACKET_HEAD + 3);
        assert_eq!(fault(&packet), Unreadable { subject: Subject::Packet, length });
        let cut = Unreadable { subject: Subject::Packet, length: None };
        assert_eq!(fault(&packet[..PACKET_HEAD + 2]), cut);
        assert_eq!(fault(&packet[..5]), cut);
        // A use by nobody.
        let used = Unreadable { subject: Subject::Connection, length: Some(SOCKET_RECORD) };
        assert_eq!(fault(&record(7, SOCKET_RECORD + 9)), used);
        // No process.
        let mut process = record(5, PROCESS_HEAD + 4);
        process[36] = 4;
        let length = Some(PROCESS_HEAD + 4);
        assert_eq!(fault(&process), Unreadable { subject: Subject::Process, length });
        for length in [32, 36, 44] {
            process[length..length + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        }
        assert_eq!(fault(&process), Unreadable { subject: Subject::Process, length: None });
        for bytes in [&[][..], &[1, 0, 0], &record(0, 64), &record(9, 64), &[0xFF; 304]] {
            assert_eq!(fault(bytes), Unreadable { subject: Subject::Unknown, length: None }, "{bytes:x?}");
        }
    }

    #[test]
    fn names_become_a_path() {
        let mut out = Vec::new();
        join_path(b"curl\0bin\0usr\0", &mut out);
        assert_eq!(out, b"/usr/bin/curl");
        join_path(b"", &mut out);
        assert_eq!(out, b"");
    }
}
