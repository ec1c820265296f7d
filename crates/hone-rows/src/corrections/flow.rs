//! The corrections of one direction of a connection: the owner of bytes of its stream, or of packets with certain
//! times.
//!
//! TCP sequence numbers repeat after 4 GiB, so one number can mean several bytes of a connection. A packet is corrected
//! by the nearest later correction that contains its number.

use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use hone_pcapng::How;

use super::Place;
use crate::event::Packet;
use crate::processes::Process;

/// How many times one number is searched in a connection: once for each 4 GiB.
const MAX_LAPS: usize = 64;
const LAP: u64 = 1 << 32;

/// The corrected owner of a packet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Right {
    pub(super) pid: Option<u32>,
    /// The process as it is known at the correction.
    pub(super) process: Option<Rc<Process>>,
    pub(super) how: Option<How>,
}

/// Corrected bytes of a stream. They begin at the entry's key.
#[derive(Debug)]
struct Bytes {
    /// The position after the last byte.
    to: u64,
    place: Place,
    right: Right,
}

/// All corrections of a flow.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// By the first byte: a sequence number that does not restart after 4 GiB. Entries do not overlap.
    bytes: BTreeMap<u64, Bytes>,
    /// Where the latest correction begins.
    latest: Option<u64>,
    /// By the packet's time.
    pub(super) times: HashMap<u64, (Place, Right)>,
}

impl Rights {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.times.len()
    }

    /// Adds the owner of these bytes. Replaces earlier corrections of them.
    pub(super) fn add_bytes(&mut self, from: u32, to: u32, place: Place, right: Right) {
        // The position nearest to the latest correction, before or after it.
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
        // If one process read both parts, one right after the other, they become one entry. But not if a packet or
        // another correction lies between the two corrections: it comes after the first of them only.
        if let Some((&start, before)) = self.bytes.range(..from).next_back()
            && before.to == from
            && before.right == right
            && (before.place.0, before.place.1 + 1) == place
        {
            from = start;
        }
        self.bytes.insert(from, Bytes { to, place, right });
    }

    /// The corrected owner of a packet at this place.
    pub(super) fn find(&mut self, packet: &Packet<'_>, at: Place) -> Option<&Right> {
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

#[cfg(test)]
mod tests {
    use hone_pcapng::Method;

    use super::*;

    fn right(pid: u32) -> Right {
        Right { pid: Some(pid), process: None, how: Some(Ok(Method::Reader)) }
    }

    /// Makes the corrections of one flow from (first byte, end, process). The first is at place 1, the next at place 2,
    /// and so on.
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

    /// The process of a packet that begins with this byte, at a place.
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
}
