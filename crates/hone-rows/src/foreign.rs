//! Processes of a section that another program wrote: Wireshark's process blocks, Apple's, and comments. They become the
//! process events that Hone writes itself. Memory is limited, whatever a stream contains.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use hone_pcapng::foreign::{self, AppleProcess, WiresharkProcess};
use hone_pcapng::{ByteOrder, Packet, ProcessEvent, ReadErrorKind};

use super::processes::{Process, Processes};

/// Most bytes of the processes of each kind, approximately.
const MAX_BYTES: usize = 32 << 20;
const COMMENT: u16 = 1;

/// A process block that cannot be read.
#[derive(Debug)]
pub struct Unread {
    /// Its number in the input.
    number: u64,
    kind: u32,
    why: ReadErrorKind,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, kind, why } = self;
        write!(f, "block {number} describes a process (type {kind:#010x}) but cannot be read: {why}")
    }
}

/// What the blocks of a section describe.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// By process id, each process that had it, by its start; 0 if that is unknown.
    by_pid: HashMap<u32, BTreeMap<u64, Process>>,
    bytes: usize,
    /// Apple's blocks in their order, by which packets name them.
    apple: Vec<Option<(u32, Process)>>,
    apple_bytes: usize,
    /// The process that the last block describes.
    event: ProcessEvent<'static>,
    unread: Option<Unread>,
}

/// The process of a packet.
#[derive(Debug, Default)]
pub(super) struct Named<'a> {
    pub(super) pid: Option<u32>,
    /// What is known of it; `None`: as much as of any process of this id.
    pub(super) process: Option<&'a Process>,
    /// The id and the name of the process for which it sent or received the packet.
    pub(super) effective: Option<(u32, &'a [u8])>,
}

impl Foreign {
    /// Another section begins.
    pub(super) fn clear(&mut self) {
        *self = Self { unread: self.unread.take(), ..Self::default() };
    }

    /// The first block since the last call that cannot be read.
    pub(super) fn take_unread(&mut self) -> Option<Unread> {
        self.unread.take()
    }

    /// The event of the last block.
    pub(super) fn event(&self) -> &ProcessEvent<'static> {
        &self.event
    }

    /// Takes note of a block. Returns whether it describes a process, and when that started.
    pub(super) fn block(
        &mut self,
        number: u64,
        kind: u32,
        body: &[u8],
        order: ByteOrder,
        processes: &mut Processes,
    ) -> Option<Option<u64>> {
        let noted = match kind {
            foreign::CUSTOM => self.wireshark(body, order, processes),
            foreign::APPLE_PROCESS => self.apple(body, order, processes).map(|()| Some(None)),
            _ => return None,
        };
        noted.unwrap_or_else(|why| {
            self.unread.get_or_insert(Unread { number, kind, why });
            None
        })
    }

    fn wireshark(
        &mut self,
        body: &[u8],
        order: ByteOrder,
        processes: &mut Processes,
    ) -> Result<Option<Option<u64>>, ReadErrorKind> {
        let Some(found) = WiresharkProcess::parse(body, order)? else { return Ok(None) };
        self.event = ProcessEvent {
            process: found.process,
            path: owned(found.path.or(found.name)),
            arguments: found.arguments.map(|arguments| {
                // Hone's have a NUL after each.
                let mut arguments = arguments.into_owned();
                arguments.push(0);
                Cow::Owned(arguments)
            }),
            parent: found.parent,
            user: found.user,
            user_name: owned(found.user_name),
            ..ProcessEvent::default()
        };
        processes.replace(&self.event, found.uuid, found.start);
        if let Some(process) = processes.get(found.process) {
            if self.bytes > MAX_BYTES {
                self.by_pid.clear();
                self.bytes = 0;
            }
            self.bytes += process.bytes();
            let of_pid = self.by_pid.entry(found.process).or_default();
            if let Some(before) = of_pid.insert(found.start.unwrap_or(0), process.clone()) {
                self.bytes -= before.bytes();
            }
        }
        Ok(Some(found.start))
    }

    fn apple(
        &mut self,
        body: &[u8],
        order: ByteOrder,
        processes: &mut Processes,
    ) -> Result<(), ReadErrorKind> {
        if self.apple_bytes > MAX_BYTES {
            return Ok(());
        }
        // One that cannot be read has a place, too.
        self.apple.push(None);
        self.apple_bytes += size_of::<Option<(u32, Process)>>();
        let found = AppleProcess::parse(body, order)?;
        self.event =
            ProcessEvent { process: found.process, path: owned(found.name), ..ProcessEvent::default() };
        processes.replace(&self.event, found.uuid, None);
        if let (Some(process), Some(last)) = (processes.get(found.process), self.apple.last_mut()) {
            self.apple_bytes += process.bytes();
            *last = Some((found.process, process.clone()));
        }
        Ok(())
    }

    /// The process that a packet names by Wireshark's or Apple's option.
    pub(super) fn of_packet(&self, packet: &Packet<'_>, order: ByteOrder, nanos: Option<u64>) -> Named<'_> {
        let apple = |index: u32| self.apple.get(usize::try_from(index).ok()?)?.as_ref();
        let effective = foreign::apple_effective_process(packet, order).and_then(apple);
        let (pid, process) =
            if let Some(pid) = foreign::process_threads(packet, order).find_map(|named| named.process) {
                (Some(pid), self.at(pid, nanos))
            } else {
                let named = match foreign::apple_process(packet, order) {
                    Some(index) => apple(index),
                    None => effective,
                };
                (named.map(|(pid, _)| *pid), named.map(|(_, process)| process))
            };
        let effective = effective.filter(|(effective, _)| pid != Some(*effective));
        Named { pid, process, effective: effective.map(|(pid, process)| (*pid, process.name())) }
    }

    /// The process that had this id at this time.
    fn at(&self, pid: u32, nanos: Option<u64>) -> Option<&Process> {
        let of_pid = self.by_pid.get(&pid)?;
        let until = of_pid.range(..=nanos.unwrap_or(u64::MAX)).next_back();
        until.or_else(|| of_pid.first_key_value()).map(|(_, process)| process)
    }
}

/// Whether options of Wireshark or Apple name a process.
pub(super) fn has_options(packet: &Packet<'_>) -> bool {
    let codes = [foreign::PACKET_APPLE_PROCESS, foreign::PACKET_APPLE_EFFECTIVE];
    packet.process_thread.is_some() || packet.other.iter().any(|option| codes.contains(&option.code))
}

/// The thread that a packet names together with this process.
pub(super) fn thread(packet: &Packet<'_>, order: ByteOrder, process: Option<u32>) -> Option<u32> {
    process?;
    foreign::process_threads(packet, order).find(|named| named.process == process)?.thread
}

fn owned(text: Option<Cow<'_, [u8]>>) -> Option<Cow<'static, [u8]>> {
    text.map(|text| Cow::Owned(text.into_owned()))
}

/// The process and the thread that the packet's comments name.
///
/// ptcpdump (`internal/types/context.go`) writes a line for each fact: `PID: 12`, `Cmd: /usr/bin/curl`, `Args: curl -v`,
/// `ParentPID: 1`, `UserId: 0`, `GroupId: 0`, `ThreadId: 12`, `ContainerId: ...`. RustNet (its `pcap_enrich.py`)
/// writes one line, `PID:12 Process:curl`.
pub(super) fn comment<'a>(packet: &'a Packet<'_>) -> Option<(ProcessEvent<'a>, Option<u32>)> {
    let comments = packet.other.iter().filter(|option| option.code == COMMENT);
    comments.filter_map(|option| std::str::from_utf8(&option.value).ok()).find_map(|text| {
        let text = text.trim();
        if !text.starts_with("PID:") {
            return None;
        }
        let bytes = |text: &'a str| Some(Cow::Borrowed(text.as_bytes()));
        if let Some((pid, name)) = text.strip_prefix("PID:")?.split_once(" Process:") {
            let event =
                ProcessEvent { process: pid.parse().ok()?, path: bytes(name), ..ProcessEvent::default() };
            return Some((event, None));
        }
        let (mut event, mut thread, mut pid) = (ProcessEvent::default(), None, None);
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let number = value.parse().ok();
            match key.trim() {
                "PID" => pid = number,
                "ThreadId" | "TID" => thread = number.filter(|thread| *thread != 0),
                "UserId" => event.user = number,
                "GroupId" => event.group = number,
                "ParentPID" => event.parent = number,
                "Cmd" | "Command" if !value.is_empty() => event.path = bytes(value),
                "ContainerId" if !value.is_empty() => event.container = bytes(value),
                _ => {}
            }
        }
        event.process = pid.filter(|pid| *pid != 0)?;
        Some((event, thread))
    })
}
