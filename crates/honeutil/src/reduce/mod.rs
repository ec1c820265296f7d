//! From a stream of blocks and the answer which packets are wanted: a recording that stands alone.
//!
//! Each packet that is written comes after its process, the ancestors of it, and its connection, as far as the stream has
//! described them up to there (`processes`, `connections`). Later events are written only of those that were written, in
//! the order of the stream. Statistics become those of what is written. All other blocks stay as they are, byte for byte.
//! The caller says which packets are wanted, and does the input and output. Memory is limited.

mod connections;
mod processes;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use hone_pcapng::view::BlockView;
use hone_pcapng::{
    ByteOrder, ConnectionEvent, ConnectionEventKind, ConnectionId, Dialect, ProcessEvent, Section,
    Statistics, block,
};

use self::connections::Connections;
use self::processes::Processes;
use crate::show::host::Host;

/// Where the length of a section is in the section header, and the length that says "unknown".
const SECTION_LENGTH: std::ops::Range<usize> = 16..24;
const UNKNOWN_LENGTH: [u8; 8] = [0xFF; 8];
/// Where the blocks of a packet and of statistics have their interface.
const INTERFACE: std::ops::Range<usize> = 8..12;
/// Most connections, and most processes, that are remembered across sections.
const MAX_REMEMBERED: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sections.
    pub sections: u64,
    /// Packets of the input.
    pub packets: u64,
    /// Packets that were written.
    pub written: u64,
    /// Processes of packets that were written. A process id that is used again counts once.
    pub processes: u64,
    /// Connections of packets that were written.
    pub connections: u64,
    /// Processes and connections of packets that were written which had been forgotten for lack of room.
    pub missing: u64,
}

/// One input of a section, and what its blocks so far say about later ones.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The position of the input.
    input: usize,
    order: ByteOrder,
    dialect: Dialect,
    interfaces: Vec<Interface>,
}

/// An interface of a section.
#[derive(Debug)]
struct Interface {
    /// Its number in the section that is written.
    number: u32,
    /// Packets that were left out.
    left_out: u64,
}

impl Lane {
    /// The input at this position.
    pub(crate) fn new(input: usize) -> Self {
        Self { input, order: ByteOrder::NATIVE, dialect: Dialect::default(), interfaces: Vec::new() }
    }

    /// An interface's number in the section that is written.
    fn number(&self, interface: u32) -> u32 {
        let found = usize::try_from(interface).ok().and_then(|at| self.interfaces.get(at));
        found.map_or(interface, |interface| interface.number)
    }
}

/// Writes what is wanted of a stream. `out` in its functions receives whole blocks.
#[derive(Debug)]
pub(crate) struct Reduce {
    all_events: bool,
    processes: Processes,
    connections: Connections,
    /// The descriptions of the interfaces of a section that several inputs are merged into.
    interfaces: Vec<Vec<u8>>,
    interface_count: u32,
    /// Whether the section continues at further section headers.
    is_merged: bool,
    has_section: bool,
    /// A hash of the section's host.
    host: u64,
    remembered_connections: HashSet<(u64, ConnectionId)>,
    remembered_processes: HashSet<(u64, u32)>,
    counts: Counts,
}

impl Reduce {
    /// Nothing is written yet. `all_events`: all events of processes and connections will be.
    #[must_use]
    pub(crate) fn new(all_events: bool) -> Self {
        Self {
            all_events,
            processes: Processes::default(),
            connections: Connections::default(),
            interfaces: Vec::new(),
            interface_count: 0,
            is_merged: false,
            has_section: false,
            host: 0,
            remembered_connections: HashSet::new(),
            remembered_processes: HashSet::new(),
            counts: Counts::default(),
        }
    }

    /// What was written so far.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The next section header begins a section. If `is_merged`, the section goes on at further ones, until this is
    /// called again: they must be of the same host and byte order, and the clocks of their first interfaces be equal.
    pub(crate) fn begin(&mut self, is_merged: bool) {
        (self.is_merged, self.has_section) = (is_merged, false);
    }

    /// Takes the next block of an input. Only of packets it matters whether they are `wanted`.
    pub(crate) fn take(&mut self, lane: &mut Lane, view: BlockView<'_>, wanted: bool, out: &mut Vec<u8>) {
        match view.kind() {
            block::SECTION => self.section(lane, view, out),
            block::INTERFACE => self.interface(lane, view, out),
            block::PACKET | block::OBSOLETE_PACKET | block::SIMPLE_PACKET => {
                self.packet(lane, view, wanted, out);
            }
            block::PROCESS if !self.all_events => match ProcessEvent::parse(view.body(), lane.order) {
                Ok(event) => self.processes.event(&event, view.bytes(), lane.order, out),
                Err(_) => out.extend(view.bytes()),
            },
            block::CONNECTION if !self.all_events => {
                lane.dialect = ConnectionEvent::dialect(view.body(), lane.order).unwrap_or(lane.dialect);
                match ConnectionEvent::parse(view.body(), lane.order, lane.dialect) {
                    Ok(event) => self.connection(&event, view.bytes(), out),
                    Err(_) => out.extend(view.bytes()),
                }
            }
            block::STATISTICS => self.statistics(lane, view, out),
            _ => out.extend(view.bytes()),
        }
    }

    fn section(&mut self, lane: &mut Lane, view: BlockView<'_>, out: &mut Vec<u8>) {
        lane.interfaces.clear();
        lane.dialect = Dialect::default();
        // The header shows its byte order itself.
        let orders = [ByteOrder::Little, ByteOrder::Big];
        let found =
            orders.into_iter().find_map(|order| Some((order, Section::parse(view.body(), order).ok()?)));
        if let Some((order, section)) = found {
            lane.order = order;
            let mut hasher = DefaultHasher::new();
            Host::of(&section, lane.input).hash(&mut hasher);
            self.host = hasher.finish();
        }
        if self.is_merged && std::mem::replace(&mut self.has_section, true) {
            return;
        }
        self.processes.clear();
        self.connections.clear();
        self.interfaces.clear();
        self.interface_count = 0;
        self.counts.sections += 1;
        let start = out.len();
        out.extend(view.bytes());
        if let Some(length) = out[start..].get_mut(SECTION_LENGTH) {
            length.copy_from_slice(&UNKNOWN_LENGTH);
        }
    }

    fn interface(&mut self, lane: &mut Lane, view: BlockView<'_>, out: &mut Vec<u8>) {
        let known = self.interfaces.iter().position(|interface| interface == view.bytes());
        let number = match known.map(u32::try_from) {
            Some(Ok(number)) => number,
            _ => {
                out.extend(view.bytes());
                if self.is_merged {
                    self.interfaces.push(view.bytes().to_vec());
                }
                self.interface_count += 1;
                self.interface_count - 1
            }
        };
        lane.interfaces.push(Interface { number, left_out: 0 });
    }

    fn packet(&mut self, lane: &mut Lane, view: BlockView<'_>, wanted: bool, out: &mut Vec<u8>) {
        self.counts.packets += 1;
        let packet = view.packet();
        if !wanted {
            let interface = match (&packet, view.body()) {
                (Some(packet), _) => packet.interface,
                (None, &[a, b, ..]) if view.kind() == block::OBSOLETE_PACKET => match lane.order {
                    ByteOrder::Little => u16::from_le_bytes([a, b]).into(),
                    ByteOrder::Big => u16::from_be_bytes([a, b]).into(),
                },
                _ => 0,
            };
            let found = usize::try_from(interface).ok().and_then(|at| lane.interfaces.get_mut(at));
            found.into_iter().for_each(|interface| interface.left_out += 1);
            return;
        }
        self.counts.written += 1;
        let Some(packet) = packet else {
            out.extend(view.bytes());
            return;
        };
        self.need(packet.process, packet.connection, out);
        if let Some(receiver) = packet.receiver {
            self.need(receiver.process, receiver.connection, out);
        }
        let start = out.len();
        out.extend(view.bytes());
        self.renumber(lane, packet.interface, &mut out[start..]);
    }

    /// Writes what a packet needs.
    fn need(&mut self, process: Option<u32>, connection: Option<ConnectionId>, out: &mut Vec<u8>) {
        if let Some(pid) = process {
            let is_known = self.all_events || self.processes.need(pid, out);
            self.counts.missing += u64::from(!is_known);
            self.counts.processes += u64::from(remember(&mut self.remembered_processes, (self.host, pid)));
        }
        if let Some(id) = connection {
            let is_known = self.all_events || self.connections.need(id, &mut self.processes, out);
            self.counts.missing += u64::from(!is_known);
            self.counts.connections += u64::from(remember(&mut self.remembered_connections, (self.host, id)));
        }
    }

    fn connection(&mut self, event: &ConnectionEvent<'_>, raw: &[u8], out: &mut Vec<u8>) {
        let id = event.connection;
        match (event.kind, event.correction) {
            (ConnectionEventKind::Correction, Some(correction)) => {
                // Its packets can be in an earlier section.
                let is_written = self.connections.is_written(id)
                    || self.remembered_connections.len() >= MAX_REMEMBERED
                    || self.remembered_connections.contains(&(self.host, id));
                if is_written {
                    self.connections.need(id, &mut self.processes, out);
                    if correction.has_process() {
                        self.processes.need(event.process, out);
                    }
                    out.extend(raw);
                }
            }
            _ => self.connections.event(event, raw, &mut self.processes, out),
        }
    }

    /// The statistics of what is written: what is left out was received, but neither accepted nor delivered.
    fn statistics(&mut self, lane: &Lane, view: BlockView<'_>, out: &mut Vec<u8>) {
        let Ok(mut statistics) = Statistics::parse(view.body(), lane.order) else {
            out.extend(view.bytes());
            return;
        };
        let interface = statistics.interface;
        let found = usize::try_from(interface).ok().and_then(|at| lane.interfaces.get(at));
        let left_out = found.map_or(0, |interface| interface.left_out);
        let left_out_processes = !self.all_events && (self.is_merged || self.processes.has_left_out());
        let left_out_connections = !self.all_events && (self.is_merged || self.connections.has_left_out());
        let start = out.len();
        let has_less = |delivered: Option<u64>, left_out| delivered.is_some() && left_out;
        if left_out > 0
            || has_less(statistics.processes.delivered, left_out_processes)
            || has_less(statistics.connections.delivered, left_out_connections)
        {
            let accepted = statistics.accepted.or(statistics.received);
            if left_out > 0 {
                statistics.accepted = accepted.map(|accepted| accepted.saturating_sub(left_out));
                statistics.delivered =
                    statistics.delivered.map(|delivered| delivered.saturating_sub(left_out));
            }
            // How many of a section's events were in its snapshot, which is not counted, is not known.
            if left_out_processes {
                statistics.processes.delivered = None;
            }
            if left_out_connections {
                statistics.connections.delivered = None;
            }
            if statistics.emit(lane.order, out).is_err() {
                // It was shorter before, or there is no memory.
                out.truncate(start);
                return;
            }
        } else {
            out.extend(view.bytes());
        }
        self.renumber(lane, interface, &mut out[start..]);
    }

    /// Changes the interface of a block, which begins at the start of `bytes`, to its number in the section.
    fn renumber(&self, lane: &Lane, interface: u32, bytes: &mut [u8]) {
        let number = lane.number(interface);
        if number != interface
            && let Some(field) = bytes.get_mut(INTERFACE)
        {
            field.copy_from_slice(&match lane.order {
                ByteOrder::Little => number.to_le_bytes(),
                ByteOrder::Big => number.to_be_bytes(),
            });
        }
    }
}

/// Remembers something; whether it is new.
fn remember<T: Hash + Eq>(known: &mut HashSet<T>, value: T) -> bool {
    known.len() < MAX_REMEMBERED && known.insert(value)
}
