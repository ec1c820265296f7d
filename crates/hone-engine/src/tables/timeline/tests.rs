//! Compares snapshots with plain lists, and checks the rules of the search tree.

use super::{tree::rank, *};
use crate::{Nanos, blocks::About, statistics::Kind};

impl Timeline {
    /// How many places have not ended.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    fn after(&self, before: Option<PlaceIndex>) -> PlaceIndex {
        let first = |mut index| {
            while self.at(index).left != NONE {
                index = self.at(index).left;
            }
            index
        };
        before.map_or_else(|| first(self.root), |before| self.at(before).after)
    }

    /// Checks the places at and below `index`. Returns how many there are, and the depth of their tree.
    fn check(&self, index: PlaceIndex, store: &Store, before: &mut Option<PlaceIndex>) -> (usize, usize) {
        if index == NONE {
            return (0, 0);
        }
        let place = self.at(index);
        for below in [place.left, place.right] {
            assert!(below == NONE || (self.at(below).above == index && rank(index) > rank(below)));
        }
        let left = self.check(place.left, store, before);
        let order = |index| store.order(self.at(index).block);
        assert!(before.is_none_or(|before| order(before) <= order(index)));
        assert_eq!((place.before, self.after(*before)), (before.unwrap_or(NONE), index));
        *before = Some(index);
        let right = self.check(place.right, store, before);
        let noted = (place.first_began, place.last_ended);
        let below = [place.left, place.right].map(|below| (below != NONE).then(|| self.at(below)));
        let seen = below.into_iter().flatten().fold((place.began, place.ended), |(began, ended), below| {
            (began.min(below.first_began), ended.max(below.last_ended))
        });
        assert_eq!(noted, seen);
        (left.0 + right.0 + 1, left.1.max(right.1) + 1)
    }

    /// Checks the whole tree. Returns how many places it has, and its depth.
    fn checked(&self, store: &Store) -> (usize, usize) {
        let mut last = None;
        let found = self.check(self.root, store, &mut last);
        assert_eq!(last.unwrap_or(NONE), self.last);
        assert_eq!(found.0, self.live + self.ended);
        found
    }
}

struct Case {
    store: Store,
    timeline: Timeline,
    random: u64,
}

impl Case {
    fn new() -> Self {
        Self { store: Store::new(1 << 24), timeline: Timeline::new(), random: 1 }
    }

    /// A pseudo-random number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        usize::try_from(self.random >> 33).unwrap_or(0) % bound
    }

    fn begin(&mut self, at: Nanos, content: u8) -> PlaceIndex {
        let bytes = fallible::filled(content, 4).expect("there is memory");
        let block = self.store.insert(bytes, Kind::Process, at, About::NONE).expect("there is room");
        let place = self.timeline.begin(block, &mut self.store).expect("there is memory");
        self.store.release(block);
        place
    }

    fn end(&mut self, place: PlaceIndex) {
        self.timeline.end(place, &mut self.store);
    }

    fn sweep_all(&mut self) {
        while self.timeline.unswept > 0 {
            self.timeline.sweep(&mut self.store);
        }
    }

    fn order(&self, block: BlockIndex) -> (Nanos, u8) {
        let (at, _, bytes) = self.store.order(block);
        (at, bytes[0])
    }
}

/// A snapshot that is being read, and what it must return: time and content of each block.
struct Reading {
    moment: Option<Moment>,
    expected: Vec<(Nanos, u8)>,
    given: usize,
}

#[test]
fn each_reader_reads_what_stood_when_it_began_in_order() {
    let mut case = Case::new();
    let mut live: Vec<(PlaceIndex, (Nanos, u8))> = Vec::new();
    let mut readings: Vec<Reading> = Vec::new();
    for step in 0..if cfg!(miri) { 600 } else { 60_000_u64 } {
        match case.below(16) {
            0..6 => {
                // Most blocks come in the order of time, some late, some with the same time.
                let at = [step, step, step / 2, step - step % 64][case.below(4)];
                let content = u8::try_from(case.below(3)).unwrap_or(0);
                live.push((case.begin(at, content), (at, content)));
            }
            6..11 if !live.is_empty() => {
                let ends = case.below(live.len());
                let (place, _) = live.swap_remove(ends);
                case.end(place);
            }
            11 if readings.len() < 5 => {
                let moment = case.timeline.moment().expect("there is memory");
                let mut expected: Vec<_> = live.iter().map(|&(_, order)| order).collect();
                expected.sort_unstable();
                readings.push(Reading { moment, expected, given: 0 });
            }
            12 if case.below(20) == 0 && !readings.is_empty() => {
                let gone = case.below(readings.len());
                let reading = readings.swap_remove(gone);
                reading.moment.into_iter().for_each(|moment| case.timeline.close(moment));
            }
            13.. if !readings.is_empty() => {
                let reads = case.below(readings.len());
                for _ in 0..case.below(40) {
                    let reading = &mut readings[reads];
                    let Some(moment) = reading.moment.take() else { break };
                    let told = case.order(moment.block);
                    let reading = &mut readings[reads];
                    assert_eq!(told, reading.expected[reading.given]);
                    reading.given += 1;
                    reading.moment = case.timeline.advance(moment);
                }
                if readings[reads].moment.is_none() {
                    let done = readings.swap_remove(reads);
                    assert_eq!(done.given, done.expected.len());
                }
            }
            _ => case.timeline.sweep(&mut case.store),
        }
        if step % 64 == 0 {
            case.timeline.checked(&case.store);
        }
    }
    for reading in readings {
        reading.moment.into_iter().for_each(|moment| case.timeline.close(moment));
    }
    case.sweep_all();
    assert_eq!(case.timeline.checked(&case.store).0, live.len());
    live.into_iter().for_each(|(place, _)| case.end(place));
    assert_eq!((case.timeline.root, case.store.live()), (NONE, 0));
}

#[test]
fn what_ends_remains_only_for_those_who_began_while_it_stood() {
    let mut case = Case::new();
    let before = case.begin(1, 0);
    let moment = case.timeline.moment().expect("there is memory").expect("something stands");
    let after = case.begin(2, 0);
    case.end(after);
    assert_eq!(case.store.live(), 1, "nobody reads what began after");
    case.end(before);
    case.sweep_all();
    assert_eq!(case.store.live(), 1, "it is still to be read");
    assert!(case.timeline.moment().expect("nothing is allocated").is_none(), "nothing stands any more");
    assert_eq!(case.order(moment.block), (1, 0));
    assert!(case.timeline.advance(moment).is_none());
    case.sweep_all();
    assert_eq!(case.store.live(), 0);
}

#[test]
fn what_others_left_unread_is_stepped_over_and_the_tree_stays_flat() {
    const MANY: u64 = if cfg!(miri) { 200 } else { 20_000 };
    let mut case = Case::new();
    let mut places: Vec<_> = (0..MANY).map(|at| case.begin(at, 0)).collect();
    let idle = case.timeline.moment().expect("there is memory").expect("something stands");
    places.drain(..).for_each(|place| case.end(place));
    let last = case.begin(MANY, 0);
    let (places, depth) = case.timeline.checked(&case.store);
    assert_eq!(places as u64, MANY + 1);
    assert!(depth <= 48, "{depth}");
    let moment = case.timeline.moment().expect("there is memory").expect("something stands");
    assert_eq!(moment.front, last);
    let root = case.timeline.root;
    let beside = case.timeline.at(root).left;
    assert!(root == last || !case.timeline.may_see(beside, moment.number), "no step leads to what has ended");
    case.timeline.close(moment);
    case.timeline.close(idle);
}
