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

/// How long a packet waits for its other half: longer than one is held for its owner.
const WAIT: Duration = Duration::from_millis(750);
const WAIT_NANOS: u64 = 750_000_000;
/// Most bytes that wait. Beyond that, packets go on as they are.
const MAX_BYTES: usize = 64 << 20;
/// Ends of packets that leave as several, beyond which those that do not wait any more are forgotten.
const MAX_ENDS: usize = 1 << 12;
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
    /// Whether an event of its process or connection has come since.
    must_stay: bool,
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
                    self.keep_in_place(|first| first.process == Some(event.process));
                }
                self.push(block.bytes().to_vec(), None, None, now);
            }
            block::CONNECTION => {
                if !self.firsts.is_empty()
                    && let Some(event) = block.connection()
                {
                    self.keep_in_place(|first| first.connection == Some(event.connection));
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
            let number = self.front + self.entries.len() as u64;
            let PacketView { connection, process, .. } = packet;
            let segments = Segments::of(&packet);
            if let Some(segments) = &segments {
                self.segmented.entry(segments.ends).or_default().push(id);
            }
            self.firsts.insert(id, First { number, connection, process, must_stay: false, segments });
            return self.push(block.bytes().to_vec(), time, Some(id), now);
        };
        let may_move = !first.must_stay;
        let can_join = may_move || !self.has_event_since(first.number, &packet);
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
        let numbers = first.segments.map_or(Vec::new(), |segments| segments.parts);
        let Some(sent) = self.entry(first.number) else { return };
        sent.waits_for = None;
        if first.must_stay {
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

    /// Whether an event of the packet's process or connection has come since the entry of this number.
    fn has_event_since(&self, number: u64, packet: &PacketView<'_>) -> bool {
        let from = number.checked_sub(self.front).and_then(|from| usize::try_from(from).ok()).unwrap_or(0);
        self.entries.iter().skip(from).any(|entry| {
            let block = BlockView::new(&entry.block, BYTE_ORDER);
            match block.kind() {
                block::PROCESS => ProcessEvent::parse(block.body(), BYTE_ORDER)
                    .is_ok_and(|event| packet.process == Some(event.process)),
                block::CONNECTION => {
                    block.connection().is_some_and(|event| packet.connection == Some(event.connection))
                }
                _ => false,
            }
        })
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

    /// Notes that packets of which this is true must not move.
    fn keep_in_place(&mut self, is_it: impl Fn(&First) -> bool) {
        self.firsts.values_mut().filter(|first| is_it(first)).for_each(|first| first.must_stay = true);
    }

    fn give_up_all(&mut self) {
        self.firsts.clear();
        self.segmented.clear();
        self.bytes = 0;
        self.front += self.entries.len() as u64;
        for entry in self.entries.drain(..) {
            self.out.extend_from_slice(&entry.block);
        }
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
            if self.firsts.is_empty() {
                self.segmented.clear();
            } else if self.segmented.len() > MAX_ENDS {
                let firsts = &self.firsts;
                self.segmented.retain(|_, ids| ids.iter().any(|id| firsts.contains_key(id)));
            }
            self.out.extend_from_slice(&entry.block);
            self.entries.pop_front();
            self.front += 1;
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{ConnectionEvent, Method, NoOwner, Statistics};

    use super::*;

    use Direction::{Inbound, Outbound};

    /// A packet of a connection and process with that number, with a payload of one byte.
    fn packet(time: u64, direction: Direction, id: Option<u64>, owner: u32, payload: u8) -> Vec<u8> {
        let mut data = [0; 29];
        (data[0], data[3], data[9], data[28]) = (0x45, 29, 17, payload);
        data[16] = 127;
        let packet = Packet {
            timestamp: time,
            original_length: 29,
            data: Cow::Borrowed(&data),
            flags: Some(direction_flags(direction)),
            connection: Some(owner.into()),
            process: Some(owner),
            how: Some(Ok(Method::CurrentTask)),
            packet_id: id,
            ..Packet::default()
        };
        let mut out = Vec::new();
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    fn process(pid: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let event = ProcessEvent { process: pid, kind: ProcessEventKind::Ended, ..ProcessEvent::default() };
        event.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    fn connection(id: u64) -> Vec<u8> {
        let mut out = Vec::new();
        ConnectionEvent { connection: id, ..ConnectionEvent::default() }.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    fn statistics(count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let count = Some(count);
        let statistics =
            Statistics { received: count, accepted: count, delivered: count, ..Statistics::default() };
        statistics.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    /// What each block is: `2>3@20`, a packet from 2 to 3 at that time; `2@20`, one of 2; `p`, `c` and `s9`.
    fn seen(bytes: &[u8]) -> Vec<String> {
        let what = |block: BlockView<'_>| match block.kind() {
            block::PACKET => {
                let packet = block.packet().unwrap();
                let to = packet.receiver.map(|receiver| format!(">{}", receiver.process.unwrap_or(0)));
                assert_eq!(
                    packet.receiver.and_then(|it| it.connection),
                    packet.receiver.and_then(|it| it.process).map(u64::from)
                );
                let sender = packet.process.unwrap_or(0);
                format!("{sender}{}@{}", to.unwrap_or_default(), packet.timestamp)
            }
            block::PROCESS => "p".to_owned(),
            block::CONNECTION => "c".to_owned(),
            block::STATISTICS => {
                format!("s{}", Statistics::parse(block.body(), BYTE_ORDER).unwrap().delivered.unwrap())
            }
            _ => "?".to_owned(),
        };
        view::blocks(bytes, BYTE_ORDER).map(what).collect()
    }

    /// What comes out of these blocks at once, and what then at the end.
    fn once(blocks: &[Vec<u8>]) -> [Vec<String>; 2] {
        let mut once = Once::default();
        let at_once = seen(once.take(&blocks.concat(), true, Instant::now()));
        let at_end = seen(once.finish());
        assert_eq!((once.bytes, once.firsts.len()), (0, 0));
        [at_once, at_end]
    }

    #[test]
    fn two_halves_become_one_in_any_order() {
        for flip in [false, true] {
            let mut halves = vec![packet(10, Outbound, Some(1), 2, 7), packet(20, Inbound, Some(1), 3, 7)];
            if flip {
                halves.reverse();
            }
            halves.push(packet(30, Inbound, None, 4, 9));
            halves.push(statistics(3));
            assert_eq!(once(&halves), [vec!["2>3@20", "4@30", "s2"], vec![]]);
        }
    }

    #[test]
    fn what_is_not_surely_one_packet_stays_two() {
        let sent = packet(10, Outbound, Some(1), 2, 7);
        let two = [vec!["2@10", "3@20"], vec![]];
        assert_eq!(once(&[sent.clone(), packet(20, Inbound, Some(1), 3, 8)]), two, "other bytes");
        assert_eq!(once(&[sent.clone(), packet(20, Outbound, Some(1), 3, 7)]), two, "both are sent");
        assert_eq!(once(&[sent.clone(), packet(20, Inbound, None, 3, 7)])[0], [""; 0], "it still waits");
        let [all, _] = once(&[sent, statistics(1), packet(20, Inbound, Some(1), 3, 7), statistics(1)]);
        assert_eq!(all, ["2@10", "s1", "3@20", "s1"], "another section");
    }

    /// A TCP packet of bytes of a stream, each of which is its number's lowest byte.
    fn segment(
        time: u64,
        direction: Direction,
        id: Option<u64>,
        owner: u32,
        bytes: std::ops::Range<u8>,
    ) -> Vec<u8> {
        let mut data = vec![0; 40];
        (data[0], data[9], data[16], data[27], data[32]) = (0x45, 6, 127, bytes.start, 0x50);
        data.extend(bytes);
        let flags = if id.is_some() { 1 << 11 } else { 0 };
        let packet = Packet {
            timestamp: time,
            original_length: data.len().try_into().unwrap(),
            data: Cow::Borrowed(&data),
            flags: Some(direction_flags(direction) | flags),
            connection: Some(owner.into()),
            process: Some(owner),
            how: Some(Ok(Method::CurrentTask)),
            packet_id: id,
            ..Packet::default()
        };
        let mut out = Vec::new();
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        out
    }

    #[test]
    fn a_buffer_that_arrives_in_parts_is_these_parts() {
        let sent = segment(10, Outbound, Some(1), 2, 0..90);
        let parts = |cuts: &[std::ops::Range<u8>]| {
            let parts = cuts.iter().map(|cut| segment(20, Inbound, None, 3, cut.clone()));
            let mut blocks = vec![sent.clone()];
            blocks.extend(parts);
            blocks.push(statistics(9));
            once(&blocks)[0].join(" ")
        };
        assert_eq!(parts(&[0..40, 40..80, 80..90]), "2>3@20 2>3@20 2>3@20 s8");
        assert_eq!(parts(&[0..40, 40..80]), "2@10 3@20 3@20 s9", "the rest is missing");
        assert_eq!(parts(&[0..40, 50..90]), "2@10 3@20 3@20 s9", "a part is missing");
        assert_eq!(parts(&[0..40, 40..91]), "2@10 3@20 3@20 s9", "it is longer");
    }

    #[test]
    fn an_owner_keeps_its_place_among_its_events() {
        let between = |events: &[Vec<u8>]| {
            let mut blocks = vec![packet(10, Outbound, Some(1), 2, 7)];
            blocks.extend_from_slice(events);
            blocks.push(packet(20, Inbound, Some(1), 3, 7));
            once(&blocks)[0].join(" ")
        };
        assert_eq!(between(&[process(9), connection(9)]), "p c 2>3@20", "events of others");
        assert_eq!(between(&[process(3), connection(3)]), "p c 2>3@20", "of the second");
        assert_eq!(between(&[process(2)]), "2>3@20 p", "of the first");
        assert_eq!(between(&[connection(2), process(9)]), "2>3@20 c p");
        assert_eq!(between(&[connection(2), process(3)]), "2@10 c p 3@20", "of both");
    }

    #[test]
    fn a_packet_goes_back_to_its_time_but_not_past_an_event() {
        let late = |between: Vec<u8>| {
            let blocks = [
                packet(10, Outbound, Some(1), 2, 7),
                between,
                packet(30, Outbound, None, 4, 1),
                packet(40, Outbound, Some(2), 5, 1),
                packet(20, Inbound, Some(1), 3, 7),
                packet(50, Inbound, Some(2), 6, 1),
            ];
            once(&blocks)[0].join(" ")
        };
        assert_eq!(late(packet(25, Inbound, None, 9, 0)), "2>3@20 9@25 4@30 5>6@50");
        assert_eq!(late(process(9)), "p 2>3@20 4@30 5>6@50");
    }

    #[test]
    fn a_packet_whose_other_half_does_not_come_goes_on() {
        let mut once = Once::default();
        let begun = Instant::now();
        let sent = packet(10, Outbound, Some(1), 2, 7);
        assert!(once.take(&sent, true, begun).is_empty());
        assert!(once.take(&[], true, begun + WAIT / 2).is_empty());
        assert!(once.take(&[], false, begun + WAIT).is_empty(), "more may have come");
        assert_eq!(seen(once.take(&[], true, begun + WAIT)), ["2@10"]);
        assert!(once.take(&sent, true, begun).is_empty());
        let later = packet(10 + WAIT_NANOS, Inbound, None, 3, 0);
        assert_eq!(seen(once.take(&later, false, begun)).len(), 2, "by the clock of the blocks");
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let most_bytes = 1 << 20;
        let mut once = Once { most_bytes, ..Once::default() };
        let mut out = 0;
        let count = 2 * most_bytes / (ENTRY_BYTES + 100);
        for id in 0..count {
            let sent = packet(10, Outbound, Some(id as u64), 2, 7);
            out += seen(once.take(&sent, true, Instant::now())).len();
            assert!(once.bytes <= most_bytes);
        }
        assert!(out > 0 && once.firsts.len() == once.entries.len());
        assert_eq!(out + seen(once.finish()).len(), count);
    }

    #[test]
    fn an_owner_may_be_nobody() {
        let mut halves = [packet(10, Outbound, Some(1), 2, 7), packet(20, Inbound, Some(1), 3, 7)];
        let parsed = BlockView::new(&halves[0], BYTE_ORDER);
        let mut kernel = Packet::parse(parsed.body(), BYTE_ORDER).unwrap();
        (kernel.connection, kernel.process, kernel.how) = (None, None, Some(Err(NoOwner::Kernel)));
        let mut block = Vec::new();
        kernel.emit(BYTE_ORDER, &mut block).unwrap();
        drop(kernel);
        halves[0] = block;
        assert_eq!(once(&halves)[0], ["0>3@20"]);
    }
}
