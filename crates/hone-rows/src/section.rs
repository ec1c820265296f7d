//! From a section's blocks to events: what earlier blocks say about later ones. [`Stream`](super::stream::Stream) takes the
//! blocks out of the bytes.

use std::rc::Rc;

use hone_pcapng::{Block, ConnectionEvent, ConnectionEventKind, Corrected, Interface, Item, NoOwner};
use hone_select::Selection;

use super::ended::Ended;
use super::event::{Event, Packet, Shown};
use super::foreign::{self, Foreign as ForeignProcesses, Named, Unread};
use super::pktap::Pktap;
use super::processes::Processes;

/// Interfaces kept of a section: a bound that no recording comes near.
const MAX_INTERFACES: usize = 1 << 16;

/// What earlier blocks of a section say about later ones.
#[derive(Debug)]
pub struct SectionState {
    processes: Processes,
    /// Processes that other programs describe.
    foreign: ForeignProcesses,
    ended: Ended,
    /// Whether the section has had events of Hone, which say more than those of other programs.
    has_events: bool,
    link_types: Vec<u16>,
    /// The first interface, whose clock is that of the events.
    clock: Option<Interface<'static>>,
    skips_packets: bool,
    /// Blocks so far, of all sections.
    blocks: u64,
    /// Packets so far, of all sections.
    frames: u64,
}

impl SectionState {
    pub(super) fn new(selection: &Rc<Selection>) -> Self {
        Self {
            processes: Processes::new(selection),
            foreign: ForeignProcesses::default(),
            ended: Ended::default(),
            has_events: false,
            link_types: Vec::new(),
            clock: None,
            skips_packets: false,
            blocks: 0,
            frames: 0,
        }
    }

    /// Leaves out packets from here on.
    pub(super) fn skip_packets(&mut self) {
        self.skips_packets = true;
    }

    /// A process block of another program that cannot be read, the first since the last call.
    pub(super) fn take_unread(&mut self) -> Option<Unread> {
        self.foreign.take_unread()
    }

    /// The event that a block is, if it is one; takes note of it.
    pub(super) fn event<'a>(&'a mut self, item: &'a Item<'_>) -> Option<Shown<'a>> {
        self.blocks += 1;
        let number = self.blocks;
        let is_packet =
            matches!(item.block, Block::Packet(_) | Block::ObsoletePacket(_) | Block::SimplePacket(_));
        self.frames += u64::from(is_packet);
        let (mut nanos, mut named) = (item.nanos, Named::default());
        let event = match &item.block {
            Block::Section(section) => {
                self.processes.clear();
                self.foreign.clear();
                self.ended.clear();
                self.has_events = false;
                self.link_types.clear();
                self.clock = None;
                Event::Section(section)
            }
            Block::Interface(interface) => {
                self.clock.get_or_insert_with(|| clock(interface));
                if self.link_types.len() < MAX_INTERFACES {
                    self.link_types.push(interface.link_type);
                }
                return None;
            }
            Block::Process(event) => {
                self.has_events = true;
                self.processes.note(event, item.nanos);
                Event::Process(event)
            }
            Block::Connection(event) => {
                self.has_events = true;
                if event.kind == ConnectionEventKind::Closed
                    && let Some(process) = self.processes.get(event.process)
                {
                    self.ended.note(event.connection, process.mark);
                }
                Event::Connection(event)
            }
            _ if is_packet && self.skips_packets => return None,
            Block::Packet(packet) => {
                let described = self.note_described(packet);
                named = match described {
                    _ if is_of_hone(packet) => Named { pid: packet.process, ..Named::default() },
                    Some((pid, _)) => Named { pid: Some(pid), ..Named::default() },
                    None => self.foreign.of_packet(packet, item.order, item.nanos),
                };
                let thread = match described {
                    Some((_, thread)) => thread,
                    None => foreign::thread(packet, item.order, named.pid),
                };
                let base = self.packet(packet.interface, &packet.data, packet.original_length);
                Event::Packet(Packet {
                    flags: packet.flags,
                    connection: packet.connection,
                    process: named.pid,
                    thread,
                    effective: named.effective.or(base.effective),
                    how: packet.how,
                    receiver: packet.receiver,
                    timestamp: Some(packet.timestamp),
                    ..base
                })
            }
            Block::ObsoletePacket(packet) => Event::Packet(Packet {
                flags: packet.flags,
                process: self.note_header(packet.interface.into(), &packet.data),
                ..self.packet(packet.interface.into(), &packet.data, packet.original_length)
            }),
            Block::SimplePacket(packet) => Event::Packet(Packet {
                process: self.note_header(0, &packet.data),
                ..self.packet(0, &packet.data, packet.original_length)
            }),
            Block::Statistics(statistics) => Event::Statistics(statistics),
            Block::Unknown { .. } if self.has_events => return None,
            Block::Unknown { kind, body } => {
                nanos = self.foreign.block(number, *kind, body, item.order, &mut self.processes)?;
                Event::Process(self.foreign.event())
            }
        };
        let packet_nanos = match &event {
            Event::Connection(event) => self.packet_nanos(event),
            _ => None,
        };
        let had_mark = match &event {
            Event::Packet(Packet {
                how: Some(Err(NoOwner::TimeWait)), connection: Some(connection), ..
            }) => self.ended.mark(*connection),
            _ => None,
        };
        let mut shown = Shown { nanos, event, number, process: None, receiver: None, had_mark, packet_nanos };
        shown.process = named.process.or_else(|| shown.pid().and_then(|pid| self.processes.get(pid)));
        if let Event::Packet(Packet { receiver: Some(receiver), .. }) = &shown.event {
            shown.receiver = receiver.process.and_then(|pid| self.processes.get(pid));
        }
        Some(shown)
    }

    /// The time of the packet that a correction is about, if that is how it says which.
    fn packet_nanos(&self, event: &ConnectionEvent<'_>) -> Option<u64> {
        match event.correction?.packets {
            Corrected::Time(time) => self.clock.as_ref()?.nanos(time),
            Corrected::Bytes { .. } => None,
        }
    }

    /// Takes note of the process that a packet's comment or PKTAP header describes, if nothing else names one; returns its
    /// id and the thread's.
    fn note_described(&mut self, packet: &hone_pcapng::Packet<'_>) -> Option<(u32, Option<u32>)> {
        if is_of_hone(packet) || foreign::has_options(packet) {
            return None;
        }
        let Some((event, thread)) = foreign::comment(packet) else {
            return self.note_header(packet.interface, &packet.data).map(|pid| (pid, None));
        };
        if !self.processes.get(event.process).is_some_and(|process| process.is_as_in(&event)) {
            self.processes.replace(&event, None, None);
        }
        Some((event.process, thread))
    }

    /// Takes note of the process in a packet's PKTAP header, if its interface has them; returns its id.
    fn note_header(&mut self, interface: u32, data: &[u8]) -> Option<u32> {
        Pktap::parse(self.link_type(interface), data)?.note(&mut self.processes)
    }

    /// A packet of an interface, which the reader has made sure is described.
    fn packet<'a>(&self, interface: u32, data: &'a [u8], original_length: u32) -> Packet<'a> {
        let link_type = self.link_type(interface);
        Packet { frame: self.frames, interface, ..Packet::new(link_type, data, original_length) }
    }

    fn link_type(&self, interface: u32) -> u32 {
        let link_type = usize::try_from(interface).ok().and_then(|at| self.link_types.get(at));
        link_type.copied().map_or(u32::MAX, u32::from)
    }
}

/// Whether Hone says which process a packet has, or that it has none.
pub fn is_of_hone(packet: &hone_pcapng::Packet<'_>) -> bool {
    packet.process.is_some() || packet.connection.is_some() || packet.how.is_some()
}

/// An interface as far as it is a clock.
fn clock(interface: &Interface<'_>) -> Interface<'static> {
    let Interface { resolution, offset_seconds, .. } = *interface;
    Interface {
        link_type: 0,
        snap_length: 0,
        description: None,
        resolution,
        offset_seconds,
        other: Vec::new(),
    }
}
