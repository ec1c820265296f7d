//! Corrections of packets that stand before them ([`hone_pcapng::Correction`]): collected in a first pass over the inputs,
//! applied in the second one, which shows them. Owned by the loop in [`super`]. Bounded, however many there are: those
//! that there is no room for are counted.
//!
//! Sequence numbers begin anew after 4 GiB, so one number can mean several bytes of a connection. A packet is corrected
//! by the nearest correction of its number behind it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use hone_pcapng::{ConnectionId, Corrected, Direction, HostId, How, Section};

use super::event::{Event, Packet, Shown};
use super::processes::Process;

/// Bytes that the corrections may take, about.
const MAX_BYTES: usize = 64 << 20;
/// What an entry of any of the tables takes, about.
const ENTRY_BYTES: usize = 128;
/// How often a number is looked for in one connection: once for each 4 GiB.
const MAX_LAPS: usize = 64;
const LAP: u64 = 1 << 32;

/// Where in the inputs: the input's position among them, and the block's number in it.
type Place = (usize, u64);

/// Where connection ids are unique: in one host's recordings; of a host without an identity, in one input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Guid([u8; 16]),
    Name(String),
    OfInput(usize),
}

impl Host {
    fn of(section: &Section<'_>, input: usize) -> Self {
        match &section.host {
            Some(HostId::Guid(guid)) => Self::Guid(*guid),
            Some(HostId::Name(name)) => Self::Name(name.to_string()),
            None => Self::OfInput(input),
        }
    }
}

/// One direction of a connection, of the host with this number.
type Flow = (usize, ConnectionId, Direction);

/// What is right of a packet.
#[derive(Debug, Clone, PartialEq)]
struct Right {
    pid: Option<u32>,
    /// As it is at the correction.
    process: Option<Rc<Process>>,
    how: Option<How>,
}

/// Corrected bytes of a stream, from their key on.
#[derive(Debug)]
struct Bytes {
    /// The byte behind the last.
    to: u64,
    place: Place,
    right: Right,
}

/// All that is right of a flow.
#[derive(Debug, Default)]
struct Rights {
    /// By the first byte, a sequence number that goes on counting where TCP's begins anew; none overlap.
    bytes: BTreeMap<u64, Bytes>,
    /// Where the latest correction begins.
    latest: Option<u64>,
    /// By the packets' time.
    times: HashMap<u64, (Place, Right)>,
}

impl Rights {
    fn len(&self) -> usize {
        self.bytes.len() + self.times.len()
    }

    /// Adds what is right of these bytes, in place of what was before.
    fn add_bytes(&mut self, from: u32, to: u32, place: Place, right: Right) {
        // Nearest to the latest one, before or behind it.
        let latest = self.latest.unwrap_or(LAP + u64::from(from));
        #[expect(clippy::cast_possible_truncation, reason = "the number as TCP has it")]
        let distance = from.wrapping_sub(latest as u32).cast_signed();
        let Some(from_here) = latest.checked_add_signed(distance.into()) else { return };
        self.latest = Some(from_here);
        let (mut from, to) = (from_here, from_here + u64::from(to.wrapping_sub(from)));
        if from == to {
            return;
        }
        if let Some((_, before)) = self.bytes.range_mut(..from).next_back()
            && before.to > from
        {
            let behind = Bytes { to: before.to, place: before.place, right: before.right.clone() };
            before.to = from;
            if behind.to > to {
                self.bytes.insert(to, behind);
            }
        }
        while let Some((&start, _)) = self.bytes.range(from..to).next() {
            if let Some(covered) = self.bytes.remove(&start)
                && covered.to > to
            {
                self.bytes.insert(to, covered);
            }
        }
        // One read after the other by the same process is one entry, if nothing stands between them that is behind the
        // first one only: a packet, or another correction.
        if let Some((&start, before)) = self.bytes.range(..from).next_back()
            && before.to == from
            && before.right == right
            && (before.place.0, before.place.1 + 1) == place
        {
            from = start;
        }
        self.bytes.insert(from, Bytes { to, place, right });
    }

    /// What is right of a packet at this place.
    fn find(&mut self, packet: &Packet<'_>, at: Place) -> Option<&Right> {
        let by_time = packet.timestamp.and_then(|time| self.times.get(&time));
        let by_time = by_time.filter(|(place, _)| *place > at);
        while self.bytes.first_key_value().is_some_and(|(_, bytes)| bytes.place <= at) {
            self.bytes.pop_first();
        }
        let by_byte = packet.first_byte().and_then(|byte| {
            let (&first, _) = self.bytes.first_key_value()?;
            #[expect(clippy::cast_possible_truncation, reason = "the number as TCP has it")]
            let nearest = first + u64::from(byte.wrapping_sub(first as u32));
            (0..MAX_LAPS as u64).map_while(|lap| nearest.checked_add(lap * LAP)).find_map(|byte| {
                let (_, bytes) = self.bytes.range(..=byte).next_back()?;
                (byte < bytes.to && bytes.place > at).then_some((bytes.place, &bytes.right))
            })
        });
        let by_time = by_time.map(|(place, right)| (*place, right));
        by_time.into_iter().chain(by_byte).max_by_key(|(place, _)| *place).map(|(_, right)| right)
    }
}

/// The corrections of all inputs.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    flows: HashMap<Flow, Rights>,
    /// The hosts that have corrections, and their numbers.
    hosts: HashMap<Host, usize>,
    /// Processes as corrections have named them last, so that each is kept once.
    processes: HashMap<u32, Rc<Process>>,
    /// What all that takes, about.
    bytes: usize,
    left_out: u64,
    /// Where the pass is.
    at: Place,
    /// The host of the section where the pass is.
    host: Option<Host>,
}

impl Corrections {
    /// Begins with an input, by its position.
    pub(crate) fn begin(&mut self, input: usize) {
        (self.at, self.host) = ((input, 0), None);
    }

    /// Goes on to the next input.
    pub(crate) fn next_input(&mut self) {
        self.begin(self.at.0 + 1);
    }

    /// How many there was no room for.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Goes on to an event; whether it is a correction.
    fn pass(&mut self, shown: &Shown<'_>) -> bool {
        self.at.1 = shown.number;
        match &shown.event {
            Event::Section(section) => self.host = Some(Host::of(section, self.at.0)),
            Event::Connection(event) => return event.correction.is_some(),
            _ => {}
        }
        false
    }

    /// Takes in an event in the first pass.
    pub(crate) fn collect(&mut self, shown: &Shown<'_>) {
        if !self.pass(shown) {
            return;
        }
        let Event::Connection(event) = &shown.event else { return };
        let (Some(correction), Some(host)) = (event.correction, self.host.clone()) else { return };
        if self.bytes >= MAX_BYTES {
            self.left_out += 1;
            return;
        }
        let pid = shown.pid();
        let process = pid.zip(shown.process).map(|(pid, process)| self.keep(pid, process));
        let right = Right { pid, process, how: correction.how };
        let number = self.hosts.len();
        let host = *self.hosts.entry(host).or_insert(number);
        let rights = self.flows.entry((host, event.connection, correction.direction)).or_default();
        let before = rights.len();
        match correction.packets {
            Corrected::Bytes { from, to } => rights.add_bytes(from, to, self.at, right),
            Corrected::Time(time) => _ = rights.times.insert(time, (self.at, right)),
        }
        // One that adds no entry may be the first of its flow.
        self.bytes += ENTRY_BYTES * rights.len().saturating_sub(before).max(usize::from(before == 0));
        self.bytes -= ENTRY_BYTES * before.saturating_sub(rights.len());
    }

    /// The process, kept once.
    fn keep(&mut self, pid: u32, process: &Process) -> Rc<Process> {
        if let Some(kept) = self.processes.get(&pid)
            && **kept == *process
        {
            return kept.clone();
        }
        let kept = Rc::new(process.clone());
        self.bytes += ENTRY_BYTES + process.bytes();
        self.processes.insert(pid, kept.clone());
        kept
    }

    /// An event of the second pass as it is right: a packet with its right process.
    pub(crate) fn apply<'a>(&'a mut self, mut shown: Shown<'a>) -> Shown<'a> {
        if self.pass(&shown) || self.flows.is_empty() {
            return shown;
        }
        if let Event::Packet(packet) = &mut shown.event
            && let (Some(connection), Some(direction)) = (packet.connection, packet.direction())
            && let Some(&host) = self.host.as_ref().and_then(|host| self.hosts.get(host))
            && let Some(rights) = self.flows.get_mut(&(host, connection, direction))
            && let Some(Right { pid, process, how }) = rights.find(packet, self.at)
        {
            let process = process.as_deref();
            packet.is_corrected = (packet.process, packet.how, shown.process) != (*pid, *how, process);
            (packet.process, packet.how, shown.process) = (*pid, *how, process);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::Method;

    use super::*;

    fn right(pid: u32) -> Right {
        Right { pid: Some(pid), process: None, how: Some(Ok(Method::Reader)) }
    }

    /// The corrections of one flow: from where on, to where, whose; one after the other from place 1 on.
    fn rights_of(corrections: &[(u32, u32, u32)]) -> Rights {
        let mut rights = Rights::default();
        for (place, &(from, to, pid)) in (1..).zip(corrections) {
            rights.add_bytes(from, to, (0, place), right(pid));
            let ends: Vec<_> = rights.bytes.iter().map(|(from, bytes)| (*from, bytes.to)).collect();
            assert!(ends.iter().all(|(from, to)| from < to) && ends.is_sorted_by_key(|end| *end), "{ends:?}");
            assert!(ends.windows(2).all(|two| two[0].1 <= two[1].0), "they overlap: {ends:?}");
        }
        rights
    }

    /// Whose a packet is that begins with this byte, at a place.
    fn found(rights: &mut Rights, byte: u32, place: u64) -> Option<u32> {
        found_at(rights, byte, None, place)
    }

    /// The same, of a packet with a time.
    fn found_at(rights: &mut Rights, byte: u32, timestamp: Option<u64>, place: u64) -> Option<u32> {
        let mut data = [0; 41];
        (data[0], data[9], data[32]) = (0x45, 6, 0x50);
        data[24..28].copy_from_slice(&byte.to_be_bytes());
        let packet = Packet { timestamp, ..Packet::new(101, &data, 41) };
        rights.find(&packet, (0, place)).and_then(|right| right.pid)
    }

    fn all(rights: &mut Rights, bytes: impl IntoIterator<Item = u32>, place: u64) -> Vec<Option<u32>> {
        bytes.into_iter().map(|byte| found(rights, byte, place)).collect()
    }

    #[test]
    fn a_later_correction_is_right_where_it_overlaps_an_earlier_one() {
        let probes = [9, 10, 19, 20, 29, 30, 39, 40];
        let [no, one, two] = [None, Some(1), Some(2)];
        for (corrections, expected) in [
            (&[(10, 40, 1), (20, 30, 2)][..], [no, one, one, two, two, one, one, no]),
            (&[(10, 30, 1), (20, 40, 2)], [no, one, one, two, two, two, two, no]),
            (&[(20, 40, 1), (10, 30, 2)], [no, two, two, two, two, one, one, no]),
            (&[(20, 30, 1), (10, 40, 2)], [no, two, two, two, two, two, two, no]),
            (&[(10, 20, 1), (30, 40, 1), (20, 30, 2), (40, 40, 2)], [no, one, one, two, two, one, one, no]),
        ] {
            assert_eq!(all(&mut rights_of(corrections), probes, 0), expected, "{corrections:?}");
        }
    }

    #[test]
    fn what_stands_behind_its_correction_is_as_it_was_recorded() {
        let mut rights = rights_of(&[(10, 20, 1), (20, 30, 2)]);
        assert_eq!(all(&mut rights, [10, 20], 0), [Some(1), Some(2)]);
        assert_eq!(all(&mut rights, [10, 20], 1), [None, Some(2)]);
        assert_eq!(all(&mut rights, [10, 20], 2), [None, None]);
    }

    #[test]
    fn reads_in_a_row_are_one_entry() {
        let row: Vec<_> = (0..10_000).map(|byte| (byte, byte + 1, 1)).collect();
        let mut rights = rights_of(&row);
        assert_eq!(rights.len(), 1);
        assert_eq!(all(&mut rights, [0, 9_999, 10_000], 0), [Some(1), Some(1), None]);
    }

    #[test]
    fn reads_in_a_row_stay_apart_where_something_stands_between_them() {
        let mut rights = Rights::default();
        rights.add_bytes(10, 20, (0, 1), right(1));
        // A packet with the number 2.
        rights.add_bytes(20, 30, (0, 3), right(1));
        assert_eq!(
            all(&mut rights, [10, 20], 2),
            [None, Some(1)],
            "it is behind the correction of its first byte"
        );

        let mut rights = Rights::default();
        rights.add_bytes(10, 20, (0, 1), right(1));
        rights.times.insert(0, ((0, 2), right(2)));
        rights.add_bytes(20, 30, (0, 3), right(1));
        assert_eq!(found_at(&mut rights, 10, Some(0), 0), Some(2), "the later one is right");
    }

    #[test]
    fn numbers_that_begin_anew_mean_other_bytes() {
        // Two laps around all numbers, in four parts each, by processes in turn.
        let part = 1 << 30;
        let corrections: Vec<_> = (0..8_u32)
            .map(|number| (number.wrapping_mul(part), (number + 1).wrapping_mul(part), number))
            .collect();
        let mut rights = rights_of(&corrections);
        for number in 0..8_u32 {
            let place = u64::from(number);
            assert_eq!(found(&mut rights, number.wrapping_mul(part) + 7, place), Some(number));
        }
        let mut across = rights_of(&[(u32::MAX - 1, 2, 1)]);
        let expected = [None, Some(1), Some(1), Some(1), None];
        assert_eq!(all(&mut across, [u32::MAX - 2, u32::MAX - 1, 0, 1, 2], 0), expected);
    }

    #[test]
    fn memory_is_bounded_and_what_has_no_room_is_counted() {
        use hone_pcapng::{ConnectionEvent, Correction, Method};
        let mut corrections = Corrections { host: Some(Host::OfInput(0)), ..Corrections::default() };
        let count = (2 * MAX_BYTES / ENTRY_BYTES) as u64;
        for number in 0..count {
            let packets = Corrected::Time(number);
            let correction =
                Some(Correction { packets, direction: Direction::Inbound, how: Some(Ok(Method::Reader)) });
            let connection = number / 100;
            let event = ConnectionEvent { connection, correction, ..ConnectionEvent::default() };
            let event = Event::Connection(&event);
            corrections.collect(&Shown { nanos: None, event, number, process: None, packet_nanos: None });
        }
        assert_eq!(corrections.left_out, count / 2);
        assert_eq!(corrections.flows.values().map(Rights::len).sum::<usize>() as u64, count / 2);
    }
}
