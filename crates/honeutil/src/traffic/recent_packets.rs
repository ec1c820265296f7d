//! The packets that a [`Tally`](crate::traffic::tally::Tally) has counted last, so that a correction can move their
//! counts. Memory is limited: a new packet replaces the oldest one. The packets of a connection are found without a
//! search through all.

use hone_pcapng::{ConnectionId, Corrected, Correction, Direction, How, NoOwner};

use crate::traffic::peers::Peer;

/// Packets remembered.
const CAPACITY: usize = 1 << 16;
/// Chains of packets; each holds those of the connections with the same hash.
const CHAIN_BITS: u32 = 14;
/// How far a stream's packets may be out of order: one that begins this many bytes before what is corrected has only
/// older ones behind it, which are not corrected either.
const MAX_DISORDER: u32 = 1 << 20;
/// The same in the order of time, in nanoseconds: a packet waits half a second at most for its process to be known.
const MAX_DELAY: u64 = 1_000_000_000;

/// Where a packet is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// With a process, by its index.
    At(u32),
    /// With those that are not kept apart.
    Others,
    /// With those that have no process.
    Nobody,
}

/// What was counted of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) peer: Option<Peer>,
    pub(crate) bytes: u32,
    pub(crate) owner: Owner,
    /// Why it has no process, if it has none.
    pub(crate) reason: NoOwner,
    pub(crate) outbound: bool,
}

/// Why a packet has no process. A recording of another version may not say.
pub(crate) fn reason(how: Option<How>) -> NoOwner {
    how.and_then(Result::err).unwrap_or(NoOwner::UnknownSocket)
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    connection: ConnectionId,
    timestamp: u64,
    /// The first byte of TCP payload, and how many there are; 0: it has none.
    payload: (u32, u32),
    /// The number of the packet before it in its chain.
    previous: u32,
    counted: Counted,
}

/// The packets.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// The packet with the number n is at n modulo the capacity.
    ring: Vec<Entry>,
    /// The number of the latest packet of each chain; 0: there is none.
    chains: Vec<u32>,
    /// The number of the latest packet.
    latest: u32,
}

impl Recent {
    /// Remembers a packet, by its time and the first byte and length of its TCP payload.
    #[inline]
    pub(crate) fn push(
        &mut self,
        connection: ConnectionId,
        timestamp: u64,
        payload: Option<(u32, u32)>,
        counted: &Counted,
    ) {
        if self.chains.is_empty() {
            self.chains = vec![0; 1 << CHAIN_BITS];
        }
        // After 2^32 packets a number may stand for another packet: one of another connection, or an older one.
        self.latest = self.latest.wrapping_add(1).max(1);
        let previous = std::mem::replace(&mut self.chains[chain(connection)], self.latest);
        let entry = Entry {
            connection,
            timestamp,
            payload: payload.unwrap_or_default(),
            previous,
            counted: *counted,
        };
        match self.ring.get_mut(place(self.latest)) {
            Some(oldest) => *oldest = entry,
            None => self.ring.push(entry),
        }
    }

    /// Calls `correct` for the packets to correct, latest first. Some may have the right owner already.
    pub(crate) fn find(
        &mut self,
        connection: ConnectionId,
        correction: &Correction,
        mut correct: impl FnMut(&mut Counted),
    ) -> Found {
        let mut is_any = false;
        let found = |are_all_remembered, is_any, coverage: &Coverage| Found {
            are_all_remembered,
            is_any: is_any || coverage.is_complete(),
        };
        let mut coverage = Coverage::new(correction.packets);
        let mut number = self.chains.get(chain(connection)).copied().unwrap_or(0);
        let mut age = 0;
        while number != 0 {
            let behind = self.latest.wrapping_sub(number) as usize;
            if behind >= self.ring.len() {
                return found(coverage.is_complete(), is_any, &coverage);
            }
            // Each is older than the one before it, or the numbers began anew.
            if behind < age {
                break;
            }
            age = behind + 1;
            let Some(entry) = self.ring.get_mut(place(number)) else { break };
            number = entry.previous;
            if entry.connection != connection
                || entry.counted.outbound != (correction.direction == Direction::Outbound)
            {
                continue;
            }
            let first = (entry.payload.1 > 0).then_some(entry.payload.0);
            if correction.packets.includes(entry.timestamp, first) {
                is_any = true;
                correct(&mut entry.counted);
            } else if coverage.is_beyond(entry) {
                break;
            }
            coverage.add(entry);
        }
        found(true, is_any, &coverage)
    }

    /// Changes where packets are counted.
    pub(crate) fn relocate(&mut self, to: impl Fn(Owner) -> Owner) {
        for entry in &mut self.ring {
            entry.counted.owner = to(entry.counted.owner);
        }
    }
}

fn chain(connection: ConnectionId) -> usize {
    // Fibonacci hashing.
    let hash = connection.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(hash >> (u64::BITS - CHAIN_BITS)).unwrap_or(0)
}

fn place(number: u32) -> usize {
    (number as usize).wrapping_sub(1) % CAPACITY
}

/// Which of the packets to correct are remembered.
pub(crate) struct Found {
    /// All, as far as this is known.
    pub(crate) are_all_remembered: bool,
    /// Any of them, or the packet that has the first of their bytes.
    pub(crate) is_any: bool,
}

/// How much of what is corrected has been found, from its end on.
struct Coverage {
    packets: Corrected,
    /// All bytes from here on to the end have been found.
    found_from: u32,
    found: bool,
}

impl Coverage {
    fn new(packets: Corrected) -> Self {
        let found_from = match packets {
            Corrected::Bytes { to, .. } => to,
            Corrected::Time(_) => 0,
        };
        Self { packets, found_from, found: false }
    }

    fn add(&mut self, entry: &Entry) {
        let (first, length) = entry.payload;
        self.found |= self.packets == Corrected::Time(entry.timestamp);
        if length > 0 && self.found_from.wrapping_sub(first) <= length {
            self.found_from = first;
        }
    }

    fn is_complete(&self) -> bool {
        match self.packets {
            Corrected::Bytes { from, .. } => from.wrapping_sub(self.found_from) <= u32::MAX / 2,
            Corrected::Time(_) => self.found,
        }
    }

    /// Whether this packet is so much older than the corrected ones that all packets before it in the stream are older
    /// as well.
    fn is_beyond(&self, entry: &Entry) -> bool {
        match self.packets {
            Corrected::Bytes { from, .. } => {
                let before = from.wrapping_sub(entry.payload.0);
                // Not before all was found: what was sent again late stands behind a whole window, which can be longer.
                entry.payload.1 > 0 && self.is_complete() && (MAX_DISORDER..=u32::MAX / 2).contains(&before)
            }
            Corrected::Time(time) => entry.timestamp.saturating_add(MAX_DELAY) < time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u32 = 100;

    fn counted(outbound: bool) -> Counted {
        Counted { peer: None, bytes: LENGTH, owner: Owner::At(1), reason: reason(None), outbound }
    }

    /// Remembers a received packet.
    fn push(recent: &mut Recent, connection: ConnectionId, timestamp: u64, first: u32) {
        recent.push(connection, timestamp, Some((first, LENGTH)), &counted(false));
    }

    /// How many packets of connection 5 are corrected, and whether none is forgotten.
    fn found(recent: &mut Recent, packets: Corrected) -> (usize, bool) {
        let mut count = 0;
        let correction = Correction { packets, direction: Direction::Inbound, how: None };
        let is_complete = recent.find(5, &correction, |_| count += 1).are_all_remembered;
        (count, is_complete)
    }

    #[test]
    fn entries_are_small() {
        assert!(size_of::<Entry>() <= 64, "a cache line: {}", size_of::<Entry>());
    }

    #[test]
    fn only_the_packets_that_are_meant_are_found() {
        let mut recent = Recent::default();
        assert_eq!(found(&mut recent, Corrected::Time(1)), (0, true), "nothing was counted yet");
        let first = u32::MAX - 149;
        for number in 0..4 {
            push(&mut recent, 5, number.into(), first.wrapping_add(number * LENGTH));
            push(&mut recent, 6, number.into(), first.wrapping_add(number * LENGTH));
        }
        let payload = Some((first.wrapping_add(LENGTH), LENGTH));
        recent.push(5, 1, payload, &counted(true));
        recent.push(5, 9, None, &counted(false));
        let (from, to) = (first.wrapping_add(1), first.wrapping_add(3 * LENGTH));
        assert_eq!(found(&mut recent, Corrected::Bytes { from, to }), (2, true));
        assert_eq!(found(&mut recent, Corrected::Time(3)), (1, true));
        assert_eq!(found(&mut recent, Corrected::Time(9)), (1, true));
        assert_eq!(found(&mut recent, Corrected::Time(4)), (0, true));
    }

    #[test]
    fn what_is_forgotten_is_not_found_and_that_is_said() {
        let mut recent = Recent::default();
        let capacity = u32::try_from(CAPACITY).unwrap();
        for number in 0..2 {
            push(&mut recent, 5, 0, number * LENGTH);
        }
        for number in 0..capacity - 1 {
            push(&mut recent, 6, number.into(), number);
        }
        assert_eq!(recent.ring.len(), CAPACITY);
        // The first packet has made room, the second one is the oldest.
        let all = Corrected::Bytes { from: 0, to: 2 * LENGTH };
        let second = Corrected::Bytes { from: LENGTH, to: 2 * LENGTH };
        assert_eq!(found(&mut recent, second), (1, true));
        assert_eq!(found(&mut recent, all), (1, false));
        push(&mut recent, 6, 0, 0);
        assert_eq!(found(&mut recent, second), (0, false));
        for number in 0..3 * capacity {
            push(&mut recent, 5, 5_000_000_000 + u64::from(number), 1000 + number * LENGTH);
        }
        assert_eq!(recent.ring.len(), CAPACITY);
        let (from, to) = (1000 + (3 * capacity - 10) * LENGTH, 1000 + 3 * capacity * LENGTH);
        assert_eq!(found(&mut recent, Corrected::Bytes { from, to }), (10, true));
        let old = Corrected::Bytes { from: 1000, to: 1000 + LENGTH };
        assert_eq!(found(&mut recent, old), (0, false));
        assert_eq!(found(&mut recent, Corrected::Time(6_000_000_000 + u64::from(3 * capacity))), (0, true));
    }

    #[test]
    fn a_packet_that_was_sent_again_late_does_not_end_the_search() {
        let mut recent = Recent::default();
        let count = 4 * MAX_DISORDER / LENGTH;
        // The first one was lost; it comes behind all others of the window.
        (1..count).chain([0]).for_each(|number| push(&mut recent, 5, 0, number * LENGTH));
        let (from, to) = ((count - 10) * LENGTH, count * LENGTH);
        assert_eq!(found(&mut recent, Corrected::Bytes { from, to }), (10, true));
    }

    #[test]
    fn numbers_that_begin_anew_do_no_harm() {
        let mut recent = Recent::default();
        let capacity = u32::try_from(CAPACITY).unwrap();
        (0..capacity).for_each(|number| push(&mut recent, 6, 0, number));
        recent.latest = u32::MAX - (capacity - 1);
        (0..capacity - 100).for_each(|number| push(&mut recent, 6, 0, number));
        for number in 0..200 {
            push(&mut recent, 5, number.into(), number * LENGTH);
        }
        assert!(recent.latest < capacity);
        let (from, to) = (195 * LENGTH, 200 * LENGTH);
        assert_eq!(found(&mut recent, Corrected::Bytes { from, to }), (5, true));
        let (count, _) = found(&mut recent, Corrected::Bytes { from: 0, to });
        assert!(count <= 200, "each is found once at most: {count}");
    }
}
