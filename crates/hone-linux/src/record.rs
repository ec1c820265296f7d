//! The records that the BPF programs send, as `bpf/record.h` lays them out.

use hone_engine::{Attribution, Corrected, Direction, Method, NoOwner, Owner, ProcessKey, Used, Wait};

/// One record, borrowed from the ring buffer. Times are ns of the boot clock.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Packet {
        time: u64,
        connection: u64,
        owner: Owner,
        direction: Direction,
        offload: u8,
        length: u32,
        data: &'a [u8],
    },
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
}

const PACKET_HEAD: usize = 48;
const SOCKET_RECORD: usize = 40;
const PROCESS_HEAD: usize = 56;
const PROCESS_KERNEL_THREAD: u32 = 1;
const OWNS_ACCEPTED: u32 = 1;
const OWNS_ALONE: u32 = 2;
const SETTLES_DROPPED: u32 = 5;

const CORRECTS_BYTES: u32 = 1;
const CORRECTS_TIME: u32 = 2;

/// The kernel's limit of process ids, 2^22 (`PID_MAX_LIMIT`).
const PID_BITS: u32 = 22;

fn task(word: u64) -> Option<ProcessKey> {
    let pid = u32::try_from(word & ((1 << PID_BITS) - 1)).ok()?;
    (word != 0).then_some(ProcessKey { pid, start: word >> PID_BITS })
}

fn owner(word: u64, method: u8, wait: u32, ticket: u64) -> Option<Owner> {
    // Perhaps the engine's tables know, or somebody is seen to use the socket soon.
    if method == 7 {
        return Some(Owner::Ask);
    }
    let attribution = attribution(word, method)?;
    Some(match (wait, attribution) {
        (0, Ok((process, method))) => Owner::Process(process, method),
        (0, Err(reason)) => Owner::None(reason),
        _ => Owner::Wait(awaited(wait, ticket)?, attribution),
    })
}

fn attribution(word: u64, method: u8) -> Option<Attribution> {
    Some(match method {
        0 => Err(NoOwner::Kernel),
        1 => named(word, Method::CurrentTask)?,
        2 => named(word, Method::LastSender)?,
        3 => named(word, Method::LastReceiver)?,
        4 => named(word, Method::Creator)?,
        5 => named(word, Method::Accepted)?,
        6 => named(word, Method::Listener)?,
        8 => named(word, Method::Writer)?,
        9 => Err(NoOwner::NoSocket),
        10 => Err(NoOwner::TimeWait),
        11 => Err(NoOwner::Forwarded),
        12 => Err(NoOwner::Filtered),
        13 => Err(NoOwner::Shared),
        14 => named(word, Method::Reader)?,
        _ => return None,
    })
}

fn direction(number: u32) -> Option<Direction> {
    match number {
        1 => Some(Direction::Inbound),
        2 => Some(Direction::Outbound),
        _ => None,
    }
}

fn corrected(corrects: u32, ticket: u64) -> Option<Corrected> {
    match corrects {
        CORRECTS_BYTES => {
            Some(Corrected::Bytes { from: sequence_number(ticket >> 32)?, to: sequence_number(ticket)? })
        }
        CORRECTS_TIME => Some(Corrected::Time(ticket)),
        _ => None,
    }
}

fn named(word: u64, method: Method) -> Option<Attribution> {
    Some(Ok((task(word)?, method)))
}

fn awaited(wait: u32, ticket: u64) -> Option<Wait> {
    match wait {
        1 => Some(Wait::Use),
        2 => Some(Wait::Datagram(ticket)),
        3 => Some(Wait::Stream(sequence_number(ticket)?)),
        4 => Some(Wait::Handshake(ticket)),
        _ => None,
    }
}

fn used(flags: u32, ticket: u64) -> Option<Used> {
    match flags & 0xFF {
        1 => Some(Used::Somehow),
        2 => Some(Used::Datagram(ticket)),
        3 => Some(Used::Stream(sequence_number(ticket)?)),
        4 => Some(Used::NextDatagram { before: ticket, length: flags >> 8 }),
        6 => Some(Used::Handshake(ticket)),
        _ => None,
    }
}

fn sequence_number(ticket: u64) -> Option<u32> {
    u32::try_from(ticket & u64::from(u32::MAX)).ok()
}

/// Fields of a record at their offsets; `None` past its end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }
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
        match fields.u32(0) {
            Some(1) => Self::Packet,
            Some(2 | 3 | 7 | 8) => Self::Connection,
            Some(4..=6) => Self::Process,
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
        Subject::Packet => Some(PACKET_HEAD + part(4)?),
        Subject::Connection => Some(SOCKET_RECORD),
        Subject::Process => Some(PROCESS_HEAD + part(32)? + part(36)? + part(44)?),
        Subject::Unknown => None,
    }
}

fn content<'a>(fields: &Fields<'a>) -> Option<Record<'a>> {
    let time = fields.u64(8)?;
    Some(match fields.u32(0)? {
        1 => Record::Packet {
            time,
            connection: fields.u64(16)?,
            owner: owner(fields.u64(24)?, fields.u8(37)?, fields.u8(39)?.into(), fields.u64(40)?)?,
            direction: direction(fields.u8(36)?.into())?,
            offload: fields.u8(38)?,
            length: fields.u32(32)?,
            data: fields.bytes(PACKET_HEAD, fields.u32(4)?)?,
        },
        kind @ (2 | 3 | 7 | 8) => {
            let (flags, connection, word) = (fields.u32(4)?, fields.u64(16)?, fields.u64(24)?);
            let task = task(word);
            let ticket = fields.u64(32)?;
            match kind {
                2 => Record::SocketOpened {
                    time,
                    connection,
                    task,
                    used: match flags {
                        0 => None,
                        OWNS_ACCEPTED => Some(Used::Accepted),
                        OWNS_ALONE => Some(Used::Alone),
                        _ => return None,
                    },
                },
                3 => Record::SocketClosed { time, connection, task },
                8 => Record::Corrected {
                    time,
                    connection,
                    direction: direction(flags >> 8 & 0xFF)?,
                    packets: corrected(flags & 0xFF, ticket)?,
                    attribution: attribution(word, u8::try_from(flags >> 16 & 0xFF).ok()?)?,
                },
                _ if flags == SETTLES_DROPPED => Record::DatagramDropped { time, connection, ticket },
                _ => Record::SocketUsed { time, connection, task: task?, used: used(flags, ticket)? },
            }
        }
        kind @ 4..=6 => {
            let task = task(fields.u64(16)?)?;
            if kind == 6 {
                return Some(Record::ProcessEnded { time, task });
            }
            let cgroup = fields.bytes(PROCESS_HEAD, fields.u32(44)?)?;
            let path = fields.bytes(PROCESS_HEAD + cgroup.len(), fields.u32(32)?)?;
            let arguments = fields.bytes(PROCESS_HEAD + cgroup.len() + path.len(), fields.u32(36)?)?;
            let process = Process {
                time,
                task,
                parent: fields.u32(4)?,
                user: fields.u32(24)?,
                group: fields.u32(28)?,
                namespace_pid: fields.u32(48).filter(|&pid| pid != 0),
                network: fields.u32(52).filter(|&inode| inode != 0),
                cgroup,
                path,
                arguments,
                kernel_thread: fields.u32(40)? & PROCESS_KERNEL_THREAD != 0,
            };
            if kind == 4 { Record::ProcessForked(process) } else { Record::ProcessStarted(process) }
        }
        _ => return None,
    })
}

/// Joins names from leaf to root into a path, into `out`.
///
/// A name that was being read when its file was renamed may be torn; the kernel gives no better without a lock.
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
        bytes[48..51].copy_from_slice(b"abc");
        let (parsed, length) = Record::parse(&bytes).unwrap();
        assert_eq!(length, 51);
        let key = ProcessKey { pid: 4_194_303, start: 5 };
        assert_eq!(
            parsed,
            Record::Packet {
                time: 77,
                connection: 9,
                owner: Owner::Process(key, Method::CurrentTask),
                direction: Direction::Outbound,
                offload: 0,
                length: 1500,
                data: b"abc",
            }
        );
    }

    #[test]
    fn a_packet_may_wait_and_a_use_tells_whose_it_is() {
        let key = ProcessKey { pid: 9, start: 5 };
        let mut bytes = record(1, PACKET_HEAD);
        (bytes[36], bytes[37], bytes[39]) = (1, 13, 3);
        bytes[40..48].copy_from_slice(&0xFFFF_FFF0_u64.to_ne_bytes());
        let Ok((Record::Packet { owner, .. }, _)) = Record::parse(&bytes) else { panic!("it is a packet") };
        assert_eq!(owner, Owner::Wait(Wait::Stream(0xFFFF_FFF0), Err(NoOwner::Shared)));
        (bytes[37], bytes[39]) = (6, 1);
        assert!(Record::parse(&bytes).is_err(), "a listener's owner is named");
        bytes[24..32].copy_from_slice(&(5u64 << 22 | 9).to_ne_bytes());
        let Ok((Record::Packet { owner, .. }, _)) = Record::parse(&bytes) else { panic!("it is a packet") };
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
        bytes.extend_from_slice(b"c\0pp\0aaa\0next");
        let (Record::ProcessStarted(process), length) = Record::parse(&bytes).unwrap() else { panic!() };
        assert_eq!(length, PROCESS_HEAD + 9);
        let parts: [&[u8]; 3] = [b"c\0", b"pp\0", b"aaa\0"];
        assert_eq!([process.cgroup, process.path, process.arguments], parts);
        assert_eq!((process.namespace_pid, process.network), (Some(9), Some(4_026_531_840)));
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
