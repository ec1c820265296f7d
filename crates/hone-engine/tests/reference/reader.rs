//! The reference model's reader: the bytes that it must read.

use std::collections::{HashSet, VecDeque};

use hone_engine::{Corrected, Filter, Method, NoOwner, ORDER_BLOCKS, ORDER_TIME, PerKind, ProcessKey};
use hone_pcapng::{Block, ByteOrder, Interface, Packet, ProcessThread, Resolution};

use super::{Kind, add, emit};

/// What the model knows of a live block.
#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) kind: Kind,
    /// The process of a process event, the connection of other blocks; 0: none.
    pub(super) about: u64,
    /// Whether it is the first event of a connection or a process.
    pub(super) opens: bool,
    /// Whether it is a start of a process that is known already.
    pub(super) continues: bool,
    /// A packet's process, and whether that process was seen to read the packet.
    pub(super) process: Option<u32>,
    pub(super) read: bool,
    pub(super) at: u64,
    /// Bytes that count for it in the ring.
    pub(super) stored: usize,
    /// A TCP packet's first sequence number and number of payload bytes.
    pub(super) span: Option<(u32, u32)>,
    /// The number of the correction that replaced this packet; 0: none.
    pub(super) renewed: u64,
}

impl Live {
    /// Whether this block, which was queued last, is to be read before `other`.
    fn belongs_before(&self, other: &Self) -> bool {
        let is_late = other.at.checked_sub(self.at).is_some_and(|late| (1..=ORDER_TIME).contains(&late));
        // The engine compares only the low half of an id.
        let alike = self.about % (1 << 32) == other.about % (1 << 32);
        let events_of_one = alike && self.kind != Kind::Packet && self.kind == other.kind;
        let is_packet = self.kind == Kind::Packet;
        let packet_of_new = is_packet && other.kind == Kind::Connection && alike && other.opens;
        let names = other.kind == Kind::Process
            && self.process.is_some_and(|process| u64::from(process) == other.about);
        let packet_of_start = is_packet && names && (other.opens || self.read && other.continues);
        is_late && !events_of_one && !packet_of_new && !packet_of_start
    }
}

/// The next thing that a reader must read.
pub(super) enum Expected {
    /// A block, as the reader reads it.
    Block(Vec<u8>, Option<Live>),
    /// The section's interface, with the snap length when the section began.
    Interface(Vec<u8>),
    SectionEnd,
}

impl Expected {
    fn block(&self) -> Option<&Vec<u8>> {
        match self {
            Self::Block(block, _) | Self::Interface(block) => Some(block),
            Self::SectionEnd => None,
        }
    }
}

pub(super) fn interface(snap_length: u32) -> Expected {
    Expected::Interface(emit(&Block::Interface(Interface {
        link_type: 101,
        snap_length,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    })))
}

#[derive(Default)]
pub(crate) struct Filters {
    exclude_connections: Vec<u64>,
    exclude_processes: Vec<u32>,
    include_connections: Vec<u64>,
    include_processes: Vec<u32>,
}

impl Filters {
    pub(crate) fn set(&mut self, filter: Filter<'_>) {
        match filter {
            Filter::ExcludeConnections(ids) => self.exclude_connections = ids.to_vec(),
            Filter::ExcludeProcesses(ids) => self.exclude_processes = ids.to_vec(),
            Filter::IncludeConnections(ids) => self.include_connections = ids.to_vec(),
            Filter::IncludeProcesses(ids) => self.include_processes = ids.to_vec(),
        }
    }

    pub(super) fn pass_connection(&self, connection: u64) -> bool {
        !self.exclude_connections.contains(&connection)
            && (self.include_connections.is_empty() || self.include_connections.contains(&connection))
    }

    fn pass(&self, connection: Option<u64>, process: Option<u32>) -> bool {
        if let Some(connection) = connection
            && self.exclude_connections.contains(&connection)
        {
            return false;
        }
        if let Some(process) = process
            && self.exclude_processes.contains(&process)
        {
            return false;
        }
        let is_included = self.include_connections.is_empty()
            || self.include_connections.iter().any(|&id| Some(id) == connection);
        is_included
            && (self.include_processes.is_empty()
                || self.include_processes.iter().any(|&id| Some(id) == process))
    }
}

pub(crate) struct Reader {
    pub(super) snap: u32,
    pub(super) slots: usize,
    pub(super) pinned: usize,
    pub(crate) filters: Filters,
    pub(super) expected: VecDeque<Expected>,
    /// Bytes of the front block that have been read.
    pub(super) offset: usize,
    pub(super) marked: bool,
    pub(crate) received: PerKind,
    pub(crate) dropped: PerKind,
    pub(crate) filtered: u64,
    pub(super) began: Began,
    /// Whether a live block was queued for the newest section.
    pub(super) filled: bool,
    /// Whether the reader is to be woken.
    pub(crate) signalled: bool,
    /// The snap length in the section's interface; `None`: it was raised after the interface was read.
    declared: Option<u32>,
    /// Whether it was raised when a part of the interface had been read.
    raised: bool,
    parser: hone_pcapng::Reader,
    /// Connections that were opened in the section that is being read.
    pub(super) opened: HashSet<u64>,
    /// Connections that packets may name although this reader has read no open event of them.
    pub(super) excused: HashSet<u64>,
}

/// The counts and the time at the beginning of a section.
#[derive(Clone, Copy)]
pub(super) struct Began {
    pub(super) at: u64,
    pub(super) received: PerKind,
    pub(super) dropped: PerKind,
    pub(super) filtered: u64,
    pub(super) lost: PerKind,
}

impl Reader {
    pub(super) fn new(
        snap: u32,
        slots: usize,
        pinned: usize,
        expected: VecDeque<Expected>,
        at: u64,
        lost: PerKind,
    ) -> Self {
        let none = PerKind::default();
        Self {
            snap,
            slots,
            pinned,
            filters: Filters::default(),
            expected,
            offset: 0,
            marked: false,
            received: none,
            dropped: none,
            filtered: 0,
            began: Began { at, received: none, dropped: none, filtered: 0, lost },
            filled: false,
            signalled: true,
            declared: None,
            raised: false,
            parser: hone_pcapng::Reader::new(),
            opened: HashSet::new(),
            excused: HashSet::new(),
        }
    }

    pub(super) fn expect(&mut self, expected: Expected) {
        self.signalled |= self.expected.is_empty();
        self.expected.push_back(expected);
    }

    pub(crate) fn set_snap(&mut self, snap: u32) {
        self.snap = snap;
        let last = self.expected.iter().rposition(|expected| matches!(expected, Expected::Interface(_)));
        let unread = last.filter(|&at| (at, self.offset) == (0, 0) || at > 0);
        let Some(Expected::Interface(block)) = unread.map(|at| &mut self.expected[at]) else {
            self.declared = None;
            self.raised = last.is_some();
            return;
        };
        let old = u32::from_le_bytes(block[12..16].try_into().expect("four bytes"));
        let new = if !self.filled {
            snap
        } else if old == 0 || snap == 0 {
            0
        } else {
            old.max(snap)
        };
        block[12..16].copy_from_slice(&new.to_le_bytes());
    }

    pub(crate) fn queued(&self) -> PerKind {
        let mut queued = PerKind::default();
        for expected in &self.expected {
            if let Expected::Block(_, Some(live)) = expected {
                add(&mut queued, live.kind);
            }
        }
        queued
    }

    pub(super) fn offer(&mut self, live: Live, seen: Vec<u8>) {
        let waiting = self.expected.iter().filter_map(|expected| match expected {
            Expected::Block(_, live) => *live,
            _ => None,
        });
        let (count, bytes) = waiting.fold((0, 0), |(count, sum), live| (count + 1, sum + live.stored));
        let share = |bound| if live.kind == Kind::Packet { bound - bound / 8 } else { bound };
        add(&mut self.received, live.kind);
        if count < share(self.slots) && bytes + live.stored <= share(self.pinned) {
            let place = self.place(live);
            self.expect(Expected::Block(seen, Some(live)));
            self.expected.make_contiguous()[place..].rotate_right(1);
            self.filled = true;
        } else {
            add(&mut self.dropped, live.kind);
        }
    }

    /// Replaces packets that are to be corrected, from the last one backwards. Returns whether all of them were found.
    pub(super) fn correct(
        &mut self,
        connection: u64,
        packets: Corrected,
        attribution: Result<(ProcessKey, Method), NoOwner>,
        number: u64,
    ) -> bool {
        let live = |expected: &Expected| matches!(expected, Expected::Block(_, Some(_)));
        let fixed = self.expected.iter().rposition(|expected| !live(expected)).map_or(0, |last| last + 1);
        let first = fixed.max(usize::from(self.offset > 0));
        let mut at = self.expected.len();
        let (mut found, mut found_from) = (
            false,
            match packets {
                Corrected::Bytes { to, .. } => to,
                Corrected::Time(_) => 0,
            },
        );
        let complete = |found: bool, found_from: u32| match packets {
            Corrected::Time(_) => found,
            Corrected::Bytes { from, .. } => from.wrapping_sub(found_from) as i32 >= 0,
        };
        let mut looks = 0;
        while at > first && !complete(found, found_from) {
            at -= 1;
            let Some(Expected::Block(seen, Some(live))) = self.expected.get(at) else { continue };
            // The engine parses a packet if the low half of the id is equal.
            if live.kind != Kind::Packet || live.about % (1 << 32) != connection % (1 << 32) {
                continue;
            }
            looks += 1;
            if looks > 64 {
                return false;
            }
            if live.about != connection {
                continue;
            }
            let (live, wrong) = (*live, packets.includes(live.at, live.span.map(|(first, _)| first)));
            let renew = wrong && live.renewed != number;
            found |= renew;
            if let Some((from, length)) = live.span
                && found_from.wrapping_sub(from) <= length
            {
                found_from = from;
            }
            if !renew {
                continue;
            }
            let mut packet = Packet::parse(&seen[8..seen.len() - 4], ByteOrder::Little).expect("it is sound");
            packet.process = attribution.ok().map(|(process, _)| process.pid);
            packet.process_thread = ProcessThread::of_process(packet.process);
            packet.how = Some(attribution.map(|(_, method)| method));
            let process = packet.process;
            let renewed = emit(&Block::Packet(packet));
            let stored = live.stored + renewed.len() - seen.len();
            self.expected.remove(at);
            let live = Live { process, read: true, stored, renewed: number, ..live };
            let place = self.place(live);
            self.expected.insert(place, Expected::Block(renewed, Some(live)));
        }
        complete(found, found_from)
    }

    /// The index at which a block is put: after the last block that must stay before it.
    fn place(&self, live: Live) -> usize {
        let begun = usize::from(self.offset > 0);
        let first = begun.max(self.expected.len().saturating_sub(ORDER_BLOCKS));
        let stays = |expected: &Expected| match expected {
            Expected::Block(_, Some(other)) => !live.belongs_before(other),
            _ => true,
        };
        let last = self.expected.iter().skip(first).rposition(stays);
        last.map_or(first, |last| first + last + 1)
    }

    pub(super) fn offer_packet(&mut self, connection: Option<u64>, live: Live, seen: Vec<u8>) {
        if self.filters.pass(connection, live.process) {
            self.offer(live, seen);
        } else {
            add(&mut self.received, Kind::Packet);
            self.filtered += 1;
        }
    }

    pub(crate) fn bytes(&mut self, mut bytes: &[u8], room: usize) {
        assert!(!bytes.is_empty());
        let mut left = room - bytes.len();
        let first_offset = self.offset;
        while !bytes.is_empty() {
            let block = self.expected.front().and_then(Expected::block).expect("no bytes after the end");
            let rest = &block[self.offset..];
            let length = rest.len().min(bytes.len());
            assert_eq!(bytes[..length], rest[..length]);
            if length < rest.len() {
                assert!(room < block.len() || first_offset > 0, "a block that fits is read whole");
                assert_eq!(left, 0, "a part fills the buffer");
                self.offset += length;
                return;
            }
            bytes = &bytes[length..];
            self.offset = 0;
            if let Some(expected) = self.expected.pop_front()
                && let Some(block) = expected.block()
            {
                self.parse(block);
            }
        }
        if let Some(next) = self.expected.front().and_then(Expected::block) {
            left = left.min(next.len());
            assert!(left < next.len(), "another block would have fit");
        }
    }

    pub(crate) fn empty(&self) {
        assert!(self.expected.is_empty());
    }

    pub(crate) fn section_end(&mut self) {
        assert!(matches!(self.expected.pop_front(), Some(Expected::SectionEnd)));
        self.marked = false;
    }

    /// Checks that a block can be parsed. For a packet, checks that its connection was opened in its section, and that
    /// it is no longer than the snap length in its section's interface.
    fn parse(&mut self, block: &[u8]) {
        self.parser.feed(block).expect("there is memory");
        let item = self.parser.next_block().expect("the block is sound").expect("the block is whole");
        match item.block {
            Block::Section(_) => self.opened.clear(),
            Block::Interface(interface) => {
                self.declared = (!std::mem::take(&mut self.raised)).then_some(interface.snap_length);
            }
            Block::Connection(event) => {
                self.opened.insert(event.connection);
            }
            Block::Packet(packet) => {
                if let Some(declared) = self.declared.filter(|&declared| declared > 0) {
                    assert!(packet.data.len() <= declared as usize, "longer than {declared}");
                }
                if let Some(id) = packet.connection {
                    assert!(self.opened.contains(&id) || self.excused.contains(&id), "{id} was not opened");
                }
            }
            _ => {}
        }
    }
}
