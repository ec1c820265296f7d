//! `--loopback once`: a packet between two processes of this host as one block with both owners, instead of one block as it is
//! sent and another as it is received.
//!
//! The two have the same packet id, which the sensor gives (`hone-linux/src/loopback.rs`), and become one only if their bytes
//! and lengths are equal. The one block has the receiver's time and stands where the later of the two stood, so that it
//! comes after the events that describe its owners. If an event of the first one's process or connection, or a correction, stands in between,
//! it stands where the first one stood; if there is also one of the second one's, both blocks stay. So do two
//! that are not in the same section.
//!
//! A buffer of TCP that is longer than the loopback device takes leaves as one packet and arrives as several (`segments`): then each of these
//! gets the sender, once they are the whole, byte for byte.
//!
//! The first of the two waits for the other, and all that comes after it waits with it. The other comes after microseconds,
//! unless it waits for its owner (half a second, at most), or does not come: the packet was dropped, or is not selected.
//! Owned by the recording loop.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hone_engine::BYTE_ORDER;
use hone_packet::Headers;
use hone_pcapng::packet::{DIRECTION, Receiver, direction_flags};
use hone_pcapng::view::{self, BlockView, PacketView};
use hone_pcapng::{ConnectionId, Direction, Packet, ProcessEvent, ProcessEventKind, block};

use self::segments::{Ends, Segments};
use super::packet_limit;

mod segments;
#[cfg(test)]
mod tests;

/// How long a packet waits for its other half: longer than one is held for its owner.
const WAIT: Duration = Duration::from_nanos(WAIT_NANOS);
const WAIT_NANOS: u64 = 750_000_000;
/// Most bytes that wait. Beyond that, packets go on as they are.
const MAX_BYTES: usize = 64 << 20;
/// Ends and events beyond which those that no waiting packet needs any more are forgotten.
const MAX_NOTES: usize = 1 << 12;
/// Bytes that an entry takes besides its block, approximately.
const ENTRY_BYTES: usize = 128;
/// Past how many blocks a packet may go back to its place in the order of time.
const ORDER_BLOCKS: usize = 256;

/// A block that waits, or waits behind one.
#[derive(Debug)]
struct Entry {
    /// Empty: it has become part of another.
    block: Vec<u8>,
    /// The time of a packet.
    time: Option<u64>,
    /// The packet id of a packet that waits for its other half.
    waits_for: Option<u64>,
    /// Whether it is one of the parts in which a packet has arrived, which may not be all.
    is_part: bool,
    since: Instant,
}

/// A packet that waits for its other half.
#[derive(Debug)]
struct First {
    /// The number of its entry.
    number: u64,
    connection: Option<ConnectionId>,
    process: Option<u32>,
    /// What has arrived of it, if it leaves as several packets.
    segments: Option<Segments>,
}

/// Joins the two blocks of a packet.
#[derive(Debug)]
pub(super) struct Once {
    entries: VecDeque<Entry>,
    /// The number of the first of them.
    front: u64,
    /// By packet id.
    firsts: HashMap<u64, First>,
    /// The numbers of the latest events of processes and connections, while packets wait.
    processes: HashMap<u32, u64>,
    connections: HashMap<ConnectionId, u64>,
    /// The packet ids of those that leave as several packets, by their ends. Some may not wait any more.
    segmented: HashMap<Ends, Vec<u64>>,
    /// Bytes that wait, and most of them.
    bytes: usize,
    most_bytes: usize,
    /// The latest time of a packet.
    latest: u64,
    /// Packets of this section that were joined.
    joined: u64,
    out: Vec<u8>,
}

impl Default for Once {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            front: 0,
            firsts: HashMap::new(),
            processes: HashMap::new(),
            connections: HashMap::new(),
            segmented: HashMap::new(),
            bytes: 0,
            most_bytes: MAX_BYTES,
            latest: 0,
            joined: 0,
            out: Vec::new(),
        }
    }
}

impl Once {
    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes whole blocks and returns those that go on now, in order. `is_all`: nothing more has come so far.
    pub(super) fn take(&mut self, blocks: &[u8], is_all: bool, now: Instant) -> &mut Vec<u8> {
        self.out.clear();
        for block in view::blocks(blocks, BYTE_ORDER) {
            self.block(block, now);
            self.release(false, now);
        }
        self.release(is_all, now);
        self.forget_some();
        &mut self.out
    }

    /// Returns all that waits: nothing more comes.
    pub(super) fn finish(&mut self) -> &mut Vec<u8> {
        self.out.clear();
        self.give_up_all();
        &mut self.out
    }

    fn block(&mut self, block: BlockView<'_>, now: Instant) {
        match block.kind() {
            block::PACKET => self.packet(block, now),
            block::PROCESS => {
                if !self.firsts.is_empty()
                    && let Ok(event) = ProcessEvent::parse(block.body(), BYTE_ORDER)
                    && event.kind != ProcessEventKind::Hashed
                {
                    let number = self.next();
                    self.processes.insert(event.process, number);
                }
                self.push(block.bytes().to_vec(), None, None, now);
            }
            block::CONNECTION => {
                if !self.firsts.is_empty()
                    && let Some(event) = block.connection()
                {
                    let number = self.next();
                    self.connections.insert(event.connection, number);
                }
                self.push(block.bytes().to_vec(), None, None, now);
            }
            _ => {
                // A section begins or ends.
                self.give_up_all();
                let start = self.out.len();
                self.out.extend_from_slice(block.bytes());
                if block.kind() == block::STATISTICS {
                    packet_limit::correct(&mut self.out[start..], std::mem::take(&mut self.joined));
                }
            }
        }
    }

    fn packet(&mut self, block: BlockView<'_>, now: Instant) {
        let packet = block.packet();
        let time = packet.map(|packet| packet.timestamp);
        self.latest = self.latest.max(time.unwrap_or(0));
        let numbered = packet.and_then(|packet| Some((packet.packet_id?, packet)));
        let Some((id, packet)) = numbered else {
            let part = packet.and_then(|packet| self.part(&packet));
            self.push(block.bytes().to_vec(), time, None, now);
            return part.map_or((), |id| self.arrived(id));
        };
        let Some(first) = self.firsts.remove(&id) else {
            let number = self.next();
            let PacketView { connection, process, .. } = packet;
            let segments = Segments::of(&packet);
            if let Some(segments) = &segments {
                self.segmented.entry(segments.ends).or_default().push(id);
            }
            self.firsts.insert(id, First { number, connection, process, segments });
            return self.push(block.bytes().to_vec(), time, Some(id), now);
        };
        let may_move = !self.has_event_since(first.number, first.process, first.connection);
        let can_join = may_move || !self.has_event_since(first.number, packet.process, packet.connection);
        let mut one = None;
        if let Some(entry) = self.entry(first.number) {
            entry.waits_for = None;
            let made = if can_join { joined(BlockView::new(&entry.block, BYTE_ORDER), block) } else { None };
            if let Some((time, made)) = made {
                let former = entry.block.len();
                if may_move {
                    entry.block = Vec::new();
                    one = Some((time, Some(made)));
                } else {
                    (entry.time, entry.block) = (Some(time), made);
                    one = Some((time, None));
                }
                let kept = entry.block.len();
                self.bytes = self.bytes + kept - former;
            }
        }
        self.joined += u64::from(one.is_some());
        match one {
            Some((time, Some(made))) => {
                self.push(made, Some(time), None, now);
                self.order();
            }
            Some((_, None)) => {}
            None => self.push(block.bytes().to_vec(), time, None, now),
        }
    }

    /// Notes the packet, which is pushed next, as the next part of a sent one; returns the packet id of this one.
    fn part(&mut self, packet: &PacketView<'_>) -> Option<u64> {
        if self.segmented.is_empty() {
            return None;
        }
        let ends = segments::ends(packet)?;
        let Self { segmented, firsts, entries, front, .. } = self;
        let ids = segmented.get_mut(&ends)?;
        ids.retain(|id| firsts.contains_key(id));
        let number = *front + entries.len() as u64;
        ids.iter().copied().find(|id| {
            let Some(First { number: sent, segments: Some(segments), .. }) = firsts.get_mut(id) else {
                return false;
            };
            let sent = usize::try_from(*sent - *front).ok().and_then(|at| entries.get(at));
            let sent = sent.and_then(|entry| BlockView::new(&entry.block, BYTE_ORDER).packet());
            sent.is_some_and(|sent| segments.take(&sent, packet, number))
        })
    }

    /// A part of the packet with this id was pushed. If it was the last, each part gets the sender, and the packet as it was sent
    /// goes.
    fn arrived(&mut self, id: u64) {
        if let Some(last) = self.entries.back_mut() {
            last.is_part = true;
        }
        let is_whole = |first: &First| first.segments.as_ref().is_some_and(Segments::is_whole);
        if !self.firsts.get(&id).is_some_and(is_whole) {
            return;
        }
        let Some(first) = self.firsts.remove(&id) else { return };
        let must_stay = self.has_event_since(first.number, first.process, first.connection);
        let numbers = first.segments.map_or(Vec::new(), |segments| segments.parts);
        let Some(sent) = self.entry(first.number) else { return };
        sent.waits_for = None;
        if must_stay {
            return;
        }
        let sent = std::mem::take(&mut sent.block);
        let made: Option<Vec<_>> = (numbers.iter())
            .map(|number| with_sender(BlockView::new(&sent, BYTE_ORDER), &self.entry(*number)?.block))
            .collect();
        match made {
            None => {
                if let Some(entry) = self.entry(first.number) {
                    entry.block = sent;
                }
            }
            Some(made) => {
                self.bytes -= sent.len();
                self.joined += 1;
                for (number, block) in numbers.into_iter().zip(made) {
                    let Some(entry) = self.entry(number) else { continue };
                    let (former, kept) = (entry.block.len(), block.len());
                    entry.block = block;
                    self.bytes = self.bytes + kept - former;
                }
            }
        }
    }

    /// Whether an event of this process or connection has come since the entry of this number.
    fn has_event_since(&self, number: u64, process: Option<u32>, connection: Option<ConnectionId>) -> bool {
        let latest = [
            process.and_then(|process| self.processes.get(&process)),
            connection.and_then(|connection| self.connections.get(&connection)),
        ];
        latest.into_iter().flatten().any(|event| *event > number)
    }

    /// The number of the next entry.
    fn next(&self) -> u64 {
        self.front + self.entries.len() as u64
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(number.checked_sub(self.front)?).ok()?)
    }

    fn push(&mut self, block: Vec<u8>, time: Option<u64>, waits_for: Option<u64>, since: Instant) {
        self.bytes += block.len() + ENTRY_BYTES;
        self.entries.push_back(Entry { block, time, waits_for, is_part: false, since });
    }

    /// Moves the last packet back past later ones, but past nothing else.
    fn order(&mut self) {
        let last = self.entries.len() - 1;
        let time = self.entries[last].time;
        for at in (0..last).rev().take(ORDER_BLOCKS) {
            let before = &self.entries[at];
            if before.time.is_none() || before.time <= time || before.is_part {
                return;
            }
            if let Some(first) = before.waits_for.and_then(|id| self.firsts.get_mut(&id)) {
                first.number += 1;
            }
            self.entries.swap(at, at + 1);
        }
    }

    fn give_up_all(&mut self) {
        self.firsts.clear();
        self.forget();
        self.bytes = 0;
        self.front += self.entries.len() as u64;
        for entry in self.entries.drain(..) {
            self.out.extend_from_slice(&entry.block);
        }
    }

    /// Forgets what only packets that wait need.
    fn forget(&mut self) {
        self.segmented.clear();
        self.processes.clear();
        self.connections.clear();
    }

    /// Moves on what does not wait any more.
    fn release(&mut self, is_all: bool, now: Instant) {
        while let Some(entry) = self.entries.front() {
            if let Some(id) = entry.waits_for {
                let is_late = entry.time.is_some_and(|time| self.latest.saturating_sub(time) >= WAIT_NANOS)
                    || is_all && now.duration_since(entry.since) >= WAIT;
                if !is_late && self.bytes <= self.most_bytes {
                    return;
                }
                self.firsts.remove(&id);
            }
            self.bytes -= entry.block.len() + ENTRY_BYTES;
            self.out.extend_from_slice(&entry.block);
            self.entries.pop_front();
            self.front += 1;
        }
    }

    /// Forgets notes that no waiting packet needs, if there are many. What is left is no more than twice the entries, so this is
    /// seldom.
    fn forget_some(&mut self) {
        if self.firsts.is_empty() {
            return self.forget();
        }
        let notes = self.segmented.len() + self.processes.len() + self.connections.len();
        if notes > MAX_NOTES.max(4 * self.entries.len()) {
            let Self { segmented, firsts, processes, connections, front, .. } = self;
            segmented.retain(|_, ids| ids.iter().any(|id| firsts.contains_key(id)));
            processes.retain(|_, number| *number >= *front);
            connections.retain(|_, number| *number >= *front);
        }
    }
}

/// The one block of the two, and its time; `None`: they are not surely one packet.
fn joined<'a>(first: BlockView<'a>, second: BlockView<'a>) -> Option<(u64, Vec<u8>)> {
    let parse = |block| Packet::parse(BlockView::body(block), BYTE_ORDER).ok();
    let (first, second) = (parse(first)?, parse(second)?);
    let is_sent = first.direction() == Some(Direction::Outbound);
    let (mut sent, received) = if is_sent { (first, second) } else { (second, first) };
    let flags = |packet: &Packet<'_>| packet.flags.unwrap_or(0) & !DIRECTION;
    let is_one = sent.direction() == Some(Direction::Outbound)
        && received.direction() == Some(Direction::Inbound)
        && sent.how.is_some()
        && sent.interface == received.interface
        && sent.original_length == received.original_length
        // Of a packet that no socket takes, not all flags are known.
        && flags(&received) & !flags(&sent) == 0
        && sent.data == received.data
        // Several sockets may get it.
        && Headers::parse(&sent.data).is_ok_and(|headers| !headers.destination.is_multicast());
    let how = received.how.filter(|_| is_one)?;
    sent.receiver = Some(Receiver { connection: received.connection, process: received.process, how });
    sent.timestamp = received.timestamp;
    sent.packet_id = None;
    let mut block = Vec::new();
    sent.emit(BYTE_ORDER, &mut block).ok()?;
    Some((received.timestamp, block))
}

/// A received part of a packet, with its sender.
fn with_sender(sent: BlockView<'_>, part: &[u8]) -> Option<Vec<u8>> {
    let sent = Packet::parse(sent.body(), BYTE_ORDER).ok().filter(|sent| sent.how.is_some())?;
    let mut packet = Packet::parse(BlockView::new(part, BYTE_ORDER).body(), BYTE_ORDER).ok()?;
    let Packet { connection, process, how, .. } = packet;
    packet.receiver = Some(Receiver { connection, process, how: how? });
    (packet.connection, packet.process, packet.how) = (sent.connection, sent.process, sent.how);
    packet.process_thread = sent.process_thread;
    packet.flags = Some(packet.flags.unwrap_or(0) & !DIRECTION | direction_flags(Direction::Outbound));
    packet.packet_id = None;
    let mut block = Vec::new();
    packet.emit(BYTE_ORDER, &mut block).ok()?;
    Some(block)
}
