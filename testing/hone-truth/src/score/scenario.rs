//! Scores one scenario.

use std::collections::{HashMap, HashSet};

use super::item::{Item, Key, Wire, answers, tags};
use super::stream::Streams;
use super::truth::{Expected, Truth};
use super::{Score, Seen};
use crate::packet::{Direction, Packet, Protocol};
use crate::recording::{Record, Recording};
use crate::tag::Tag;
use crate::told::Reason;

/// Right reasons for a packet without a process, if its connection is over: the connection is in TIME_WAIT, or the
/// kernel has already forgotten it.
const LEFT_OVER: [Reason; 3] = [Reason::TIME_WAIT, Reason::CLOSED, Reason::KERNEL];

/// How often TCP over IPv6 sent an identical packet: as often as it is recorded in both directions. Without tcpdump
/// this is the best estimate. IPv4 packets each have their own identification number.
fn both_ways(items: &[Item<'_>]) -> HashMap<u64, usize> {
    let mut counts: HashMap<u64, [usize; 2]> = HashMap::new();
    for item in items.iter().filter(|item| item.packet.tcp.is_some() && item.packet.source.is_ipv6()) {
        counts.entry(item.packet.identity(true)).or_default()[item.direction as usize] += 1;
    }
    counts.into_iter().map(|(identity, [inbound, outbound])| (identity, inbound.min(outbound))).collect()
}

/// The message that contains a packet's first byte. `None` if the packet must not have a process.
fn message(item: &Item<'_>, streams: &Streams) -> Option<Tag> {
    match item.packet.tcp {
        _ if item.nobody.is_some() || item.packet.payload.is_empty() => None,
        Some(_) => streams.message(&item.packet),
        None => item.tags.first().copied(),
    }
}

struct Scorer<'a> {
    truth: &'a Truth,
    recording: &'a Recording,
    score: Score,
    /// How often each packet is missing. A packet that is found missing in several ways counts once.
    missing: HashMap<(Key, Direction), (usize, String)>,
}

pub(super) fn score(
    name: &str,
    truth: &Truth,
    records: &[&Record],
    recording: &Recording,
    wire: Option<&[&Seen]>,
) -> Score {
    let score = Score {
        name: name.to_owned(),
        packets: records.len(),
        skipped: truth.skipped.clone(),
        failed: truth.failed.clone(),
        ..Score::default()
    };
    let mut scorer = Scorer { truth, recording, score, missing: HashMap::new() };
    if scorer.score.skipped.is_some() {
        scorer.score.packets = 0;
        return scorer.score;
    }
    let mut streams = Streams::default();
    let mut items = Vec::new();
    let mut forwarded: HashMap<u64, Vec<(&Record, Packet<'_>)>> = HashMap::new();
    for &record in records {
        let Some(packet) = Packet::parse(&record.data) else { continue };
        if record.how == Some(Reason::FORWARDED) && truth.forwarded {
            forwarded.entry(packet.identity(false)).or_default().push((record, packet));
            continue;
        }
        let Some(direction) = record.direction else {
            scorer.score.unattributed += 1;
            scorer.score.explain("no direction", || packet.to_string());
            continue;
        };
        streams.add(&packet, direction, record.nanos);
        let nobody = truth.nobody(&packet, direction, record.nanos).map(<[Reason]>::to_vec);
        items.push(Item { record, direction, packet, tags: tags(&packet), nobody });
    }
    streams.join();
    let wire = wire.map(|seen| Wire::new(truth, seen));
    scorer.owners(&items, &streams, wire.as_ref());
    scorer.messages(&items, &streams);
    scorer.early(&items);
    scorer.closes(&items);
    scorer.counterparts(&items);
    scorer.flows(&items);
    if let Some(bytes) = truth.large {
        scorer.large(&items, bytes);
    }
    if truth.forwarded {
        scorer.forwarded(&items, forwarded);
    }
    if let Some(wire) = &wire {
        scorer.on_the_wire(&items, wire);
    }
    scorer.finish()
}

/// A second record of the same packet within this time, in nanoseconds, is a duplicate. Later, it is a retransmission.
const SAID_AGAIN: u64 = 1_000_000;

impl Scorer<'_> {
    /// Compares the process of each record with the expected owner.
    fn owners(&mut self, items: &[Item<'_>], streams: &Streams, wire: Option<&Wire>) {
        // Records of messages that were read. Each reader's socket got one copy.
        let mut delivered: HashMap<Tag, Vec<&Item<'_>>> = HashMap::new();
        let mut messages: HashSet<(Tag, bool)> = HashSet::new();
        let mut others: HashMap<(u64, Direction), (usize, u64)> = HashMap::new();
        let times = both_ways(items);
        for item in items {
            // A datagram is sent once. SCTP, like TCP, retransmits what is not acknowledged.
            let is_datagram = item.nobody.is_none() && item.packet.protocol != Protocol::Sctp;
            let first = item.tags.first().filter(|_| is_datagram);
            match (first, item.direction) {
                (Some(tag), Direction::In) if self.truth.read.contains_key(tag) => {
                    delivered.entry(*tag).or_default().push(item);
                    continue;
                }
                (Some(tag), Direction::Out) if !messages.insert((*tag, answers(&item.packet))) => {
                    self.duplicate(item);
                    continue;
                }
                (Some(_), Direction::Out) => {}
                _ if !item.packet.housekeeping() => {
                    let identity = item.packet.identity(true);
                    let (count, last) = others.entry((identity, item.direction)).or_default();
                    *count += 1;
                    let pause = item.record.nanos.abs_diff(std::mem::replace(last, item.record.nanos));
                    let seen = wire.map(|wire| wire.count(&item.packet, item.direction));
                    let sent = seen.filter(|seen| *seen > 0).or_else(|| times.get(&identity).copied());
                    // Over IPv6, a packet that the kernel sends again looks identical to the first one.
                    let again = seen.is_none() && pause >= SAID_AGAIN;
                    if *count > sent.unwrap_or(1).max(1) && !again {
                        self.duplicate(item);
                        continue;
                    }
                }
                _ => {}
            }
            let tag = message(item, streams);
            let expected = self.expected(item, tag, streams);
            self.judge(item.record, &item.packet, tag, &expected);
        }
        for (tag, items) in delivered {
            self.deliveries(tag, items);
        }
    }

    fn expected(&self, item: &Item<'_>, tag: Option<Tag>, streams: &Streams) -> Expected {
        if let Some(processes) = tag.and_then(|tag| self.truth.of_message(tag, item.direction)) {
            return Expected::Process(processes);
        }
        let (packet, direction, nanos) = (&item.packet, item.direction, item.record.nanos);
        let over = || {
            // When an end is closed and no process holds it, the kernel keeps as little about it as in TIME_WAIT.
            streams.over(packet, nanos)
                || (self.truth.left(packet, direction, nanos) && streams.ended(packet, direction, nanos))
        };
        match self.truth.expected(packet, direction, nanos) {
            Expected::Process(holders) if over() => Expected::Over(holders),
            expected => expected,
        }
    }

    /// Compares the records of one message with the processes that read it.
    fn deliveries(&mut self, tag: Tag, mut items: Vec<&Item<'_>>) {
        let mut readers = self.truth.read[&tag].clone();
        // First match the records that are right, so that only wrong ones are left.
        items.retain(|item| {
            let found = readers.iter().position(|reader| Some(*reader) == item.record.process);
            if let Some(at) = found {
                let reader = readers.swap_remove(at);
                self.judge(item.record, &item.packet, Some(tag), &Expected::Process(vec![reader]));
            }
            found.is_none()
        });
        for item in items {
            match readers.pop() {
                Some(reader) => {
                    let reader = vec![reader];
                    let overlap = self.truth.overlap;
                    let expected = if overlap { Expected::Unread(reader) } else { Expected::Process(reader) };
                    self.judge(item.record, &item.packet, Some(tag), &expected);
                }
                None => self.duplicate(item),
            }
        }
        // The readers that are left have no record: see `messages`.
    }

    fn judge(&mut self, record: &Record, packet: &Packet<'_>, tag: Option<Tag>, expected: &Expected) {
        let how = record.how.unwrap_or(Reason(0));
        let counts = if record.process.is_some() { &mut self.score.how } else { &mut self.score.without };
        *counts.entry(how).or_default() += 1;
        let right = match (expected, record.process) {
            (Expected::Process(these) | Expected::Unread(these) | Expected::Over(these), Some(process)) => {
                these.contains(&process)
            }
            (Expected::Over(_), None) => record.how.is_none_or(|how| LEFT_OVER.contains(&how)),
            (Expected::Unread(_), None) => record
                .how
                .is_none_or(|how| how == Reason::SHARED || self.truth.overlap && how == Reason::NO_ROOM),
            (Expected::Nobody(reasons), None) => record.how.is_none_or(|how| reasons.contains(&how)),
            _ => false,
        };
        let alias = if right { self.alias(record, tag) } else { None };
        if right && alias.is_none() {
            self.score.right += 1;
            return;
        }
        let text = || {
            let got = match record.process {
                Some(process) => format!("got process {process} ({})", how.name()),
                None => format!("got no process ({})", how.name()),
            };
            let way = record.direction.map_or_else(|| "-".to_owned(), |direction| direction.to_string());
            let wanted = alias.unwrap_or_else(|| expected.to_string());
            format!("{way} {packet}: expected {wanted}, {got}")
        };
        if record.process.is_none() && !matches!(expected, Expected::Nobody(_) | Expected::Untold) {
            self.score.unattributed += 1;
            self.score.explain("unattributed", text);
        } else {
            self.score.wrong += 1;
            self.score.explain("wrong", text);
        }
    }

    /// For a record with the right process id, but for another process that used this id: the expected process.
    fn alias(&self, record: &Record, tag: Option<Tag>) -> Option<String> {
        let name = self.truth.named.get(&(record.direction?, tag?))?;
        let arguments = record.arguments.and_then(|at| self.recording.arguments.get(at));
        let known = arguments.map_or("", String::as_str);
        (!known.split(' ').any(|word| word == name))
            .then(|| format!("the process with the argument {name:?}, not the one with {known:?}"))
    }

    fn duplicate(&mut self, item: &Item<'_>) {
        self.score.duplicated += 1;
        self.score.explain("duplicated", || {
            format!("{} {} of process {:?}", item.direction, item.packet, item.record.process)
        });
    }

    /// A process cannot send before it exists, and a program that reads the recording from its beginning must already
    /// know the process.
    fn early(&mut self, items: &[Item<'_>]) {
        for item in items.iter().filter(|item| item.record.early) {
            self.score.early += 1;
            self.score.explain("early", || {
                let process = item.record.process.unwrap_or_default();
                format!("{} {}: before the start of process {process}", item.direction, item.packet)
            });
        }
    }

    /// Each connection is closed once, but it may still be open when the recording ends.
    fn closes(&mut self, items: &[Item<'_>]) {
        let mut seen = HashSet::new();
        for item in items {
            let Some(connection) = item.record.connection.filter(|id| seen.insert(*id)) else { continue };
            let closes = self.recording.closes.get(&connection).copied();
            // Connections that were not reported as open need no close.
            if closes.is_some_and(|closes| closes > 1 || (closes == 0 && self.truth.closed)) {
                self.score.closes += 1;
                self.score.explain("closes", || {
                    let times = closes.unwrap_or_default();
                    format!(
                        "{} {}: connection {connection} closed {times} times",
                        item.direction, item.packet
                    )
                });
            }
        }
    }

    fn miss(&mut self, key: Key, direction: Direction, count: usize, what: impl FnOnce() -> String) {
        if count > 0 {
            let known = self.missing.entry((key, direction)).or_insert_with(|| (0, what()));
            known.0 = known.0.max(count);
        }
    }

    /// Every message that was sent or read must be recorded.
    fn messages(&mut self, items: &[Item<'_>], streams: &Streams) {
        // If a message of a stream was recorded in one direction only, the check of counterparts reports its segments
        // as missing.
        let streamed = [Direction::In, Direction::Out].map(|direction| streams.recorded(direction));
        let streamed: HashSet<Tag> = streamed.into_iter().flatten().collect();
        let mut sent: HashSet<Tag> = HashSet::new();
        let mut read: HashMap<Tag, usize> = HashMap::new();
        let mut answered: HashSet<Tag> = HashSet::new();
        let mut dropped: HashSet<Tag> = HashSet::new();
        for item in items {
            match item.direction {
                Direction::Out if item.nobody.is_some() && !answers(&item.packet) => {
                    dropped.extend(&item.tags);
                }
                Direction::Out if answers(&item.packet) => answered.extend(&item.tags),
                Direction::Out => sent.extend(&item.tags),
                Direction::In if item.nobody.is_some() => {}
                Direction::In => {
                    for tag in &item.tags {
                        *read.entry(*tag).or_default() += 1;
                    }
                }
            }
        }
        for (tag, process) in &self.truth.sent {
            if !sent.contains(tag) && !streamed.contains(tag) {
                self.miss(Key::Message(*tag, false), Direction::Out, 1, || {
                    format!("a message of process {process}")
                });
            }
        }
        for tag in self.truth.dropped.difference(&dropped) {
            self.miss(Key::Message(*tag, false), Direction::Out, 1, || {
                "a message that was dropped".to_owned()
            });
        }
        for (tag, processes) in self.truth.read.iter().filter(|(tag, _)| !streamed.contains(tag)) {
            let missing = processes.len().saturating_sub(read.get(tag).copied().unwrap_or(0));
            let key = Key::Message(*tag, answered.contains(tag));
            self.miss(key, Direction::In, missing, || format!("a message that {processes:?} read"));
        }
    }

    /// Both ends are on this machine, so every packet that is recorded in one direction must be recorded in the other.
    fn counterparts(&mut self, items: &[Item<'_>]) {
        let mut counts: HashMap<Key, [usize; 2]> = HashMap::new();
        let mut examples = HashMap::new();
        for item in items {
            if item.packet.housekeeping()
                || item.packet.fragment
                || self.truth.single(&item.packet, item.direction)
            {
                continue;
            }
            for key in item.keys() {
                counts.entry(key).or_default()[item.direction as usize] += 1;
                examples.entry(key).or_insert(&item.packet);
            }
        }
        for (key, [inbound, outbound]) in counts {
            let example = examples[&key];
            let (lacking_in, lacking_out) = if example.protocol == Protocol::Tcp {
                (outbound.saturating_sub(inbound), inbound.saturating_sub(outbound))
            } else {
                (usize::from(inbound == 0), usize::from(outbound == 0))
            };
            self.miss(key, Direction::In, lacking_in, || example.to_string());
            self.miss(key, Direction::Out, lacking_out, || example.to_string());
        }
    }

    /// Checks a scenario about large packets: it must have at least one in each direction.
    fn large(&mut self, items: &[Item<'_>], bytes: usize) {
        for direction in [Direction::In, Direction::Out] {
            let way = items.iter().filter(|item| item.direction == direction);
            let largest = way.map(|item| item.record.data.len()).max().unwrap_or(0);
            if largest <= bytes {
                self.score.missing += 1;
                self.score.explain("missing", || {
                    format!("{direction}: a packet of more than {bytes} bytes; the largest has {largest}")
                });
            }
        }
    }

    /// Every connection in the facts must have packets in both directions.
    fn flows(&mut self, items: &[Item<'_>]) {
        let found: HashSet<_> = items
            .iter()
            .map(|item| (item.packet.protocol, item.packet.ends(item.direction), item.direction))
            .collect();
        for flow in self.truth.flows(true).filter(|flow| flow.protocol == Protocol::Tcp) {
            let (Some(local), Some(remote)) = (flow.local, flow.remote) else { continue };
            for direction in [Direction::In, Direction::Out] {
                if !found.contains(&(flow.protocol, (local, remote), direction)) {
                    self.score.missing += 1;
                    self.score.explain("missing", || format!("{direction}: every packet of {flow}"));
                }
            }
        }
    }

    /// A packet from one network to another must also be recorded once where it is forwarded.
    fn forwarded(&mut self, items: &[Item<'_>], mut forwarded: HashMap<u64, Vec<(&Record, Packet<'_>)>>) {
        let mut sent: HashMap<u64, (usize, &Packet<'_>)> = HashMap::new();
        for item in items.iter().filter(|item| !item.packet.housekeeping()) {
            let (count, _) = sent.entry(item.packet.identity(false)).or_insert((0, &item.packet));
            *count += usize::from(item.direction == Direction::Out);
        }
        for (identity, (count, packet)) in sent {
            let seen = forwarded.remove(&identity).unwrap_or_default();
            for _ in seen.len()..count {
                self.score.missing += 1;
                self.score.explain("missing", || format!("forwarded {packet}"));
            }
            for (number, (record, packet)) in seen.into_iter().enumerate() {
                if number < count.max(1) {
                    self.judge(record, &packet, None, &Expected::Nobody(vec![Reason::FORWARDED]));
                } else {
                    self.score.duplicated += 1;
                    self.score.explain("duplicated", || format!("forwarded {packet}"));
                }
            }
        }
        for (record, packet) in forwarded.into_values().flatten() {
            let expected =
                if packet.housekeeping() { Expected::Nobody(vec![Reason::KERNEL]) } else { Expected::Untold };
            self.judge(record, &packet, None, &expected);
        }
    }

    /// Every packet that tcpdump saw must be recorded.
    fn on_the_wire(&mut self, items: &[Item<'_>], wire: &Wire) {
        let mut ours: HashMap<(Key, Direction), usize> = HashMap::new();
        for item in items {
            for key in item.keys() {
                *ours.entry((key, item.direction)).or_default() += 1;
            }
        }
        for ((key, direction), (count, text)) in &wire.0 {
            let recorded = ours.get(&(*key, *direction)).copied().unwrap_or(0);
            self.miss(*key, *direction, count.saturating_sub(recorded), || {
                format!("{text}, as tcpdump saw it")
            });
        }
    }

    fn finish(mut self) -> Score {
        let mut missing: Vec<_> = self.missing.drain().collect();
        missing.sort_by(|one, other| one.1.1.cmp(&other.1.1));
        for ((_, direction), (count, text)) in missing {
            self.score.missing += count;
            self.score.explain("missing", || format!("{direction} {text}"));
        }
        self.score
    }
}
