//! The search tree of a [`Timeline`]: places put in, taken out and looked for in order.

use super::{NONE, Place, PlaceIndex, Timeline};
use crate::blocks::Store;

impl Timeline {
    /// The next place that is seen from a moment at which there is one more to come.
    pub(super) fn following(&self, mut index: PlaceIndex, moment: u64) -> PlaceIndex {
        let after = self.at(index).after;
        if self.at(after).is_seen(moment) {
            return after;
        }
        loop {
            let right = self.at(index).right;
            if self.may_see(right, moment) {
                index = self.first_below(right, moment);
            } else {
                while self.at(self.at(index).above).right == index {
                    index = self.at(index).above;
                }
                index = self.at(index).above;
            }
            if self.at(index).is_seen(moment) {
                return index;
            }
        }
    }

    /// The first place of those from here down, without branches in which none is seen.
    pub(super) fn first_below(&self, mut index: PlaceIndex, moment: u64) -> PlaceIndex {
        while self.may_see(self.at(index).left, moment) {
            index = self.at(index).left;
        }
        index
    }

    /// Whether a place from here down may be seen from this moment.
    pub(super) fn may_see(&self, index: PlaceIndex, moment: u64) -> bool {
        index != NONE && self.at(index).first_began <= moment && moment < self.at(index).last_ended
    }

    /// Puts a place in, behind those of the same order.
    pub(super) fn link(&mut self, index: PlaceIndex, store: &Store) {
        let order = store.order(self.at(index).block);
        let is_before = |other: PlaceIndex| order < store.order(self.at(other).block);
        let (mut above, mut is_left) = (self.last, false);
        if above != NONE && is_before(above) {
            let mut below = self.root;
            while below != NONE {
                above = below;
                is_left = is_before(above);
                below = if is_left { self.at(above).left } else { self.at(above).right };
            }
        } else {
            self.last = index;
        }
        self.at_mut(index).above = above;
        if above == NONE {
            self.root = index;
            return;
        }
        // There is nothing between a place and the one above it, on that side.
        let (before, after) =
            if is_left { (self.at(above).before, above) } else { (above, self.at(above).after) };
        self.join(before, index);
        self.join(index, after);
        if is_left {
            self.at_mut(above).left = index;
        } else {
            self.at_mut(above).right = index;
        }
        self.refresh_from(above);
        while self.at(index).above != NONE && rank(index) > rank(self.at(index).above) {
            self.rise(index);
        }
    }

    /// Takes a place out, and releases its block.
    pub(super) fn remove(&mut self, index: PlaceIndex, store: &mut Store) {
        let Place { before, after, .. } = *self.at(index);
        self.join(before, after);
        if index == self.last {
            self.last = before;
        }
        loop {
            let Place { left, right, .. } = *self.at(index);
            match (left, right) {
                (NONE, NONE) => break,
                (NONE, below) | (below, NONE) => self.rise(below),
                _ => self.rise(if rank(left) > rank(right) { left } else { right }),
            }
        }
        let above = self.at(index).above;
        self.replace_below(above, index, NONE);
        self.refresh_from(above);
        store.release(self.at(index).block);
        let free = self.free;
        *self.at_mut(index) = Place { next: free, ..Place::FREE };
        self.free = index;
    }

    /// Makes two places, or none and one, neighbours in the order.
    fn join(&mut self, before: PlaceIndex, after: PlaceIndex) {
        if before != NONE {
            self.at_mut(before).after = after;
        }
        if after != NONE {
            self.at_mut(after).before = before;
        }
    }

    /// Exchanges a place with the one above it.
    fn rise(&mut self, index: PlaceIndex) {
        let above = self.at(index).above;
        let top = self.at(above).above;
        let between = if self.at(above).left == index {
            let between = self.at(index).right;
            self.at_mut(above).left = between;
            self.at_mut(index).right = above;
            between
        } else {
            let between = self.at(index).left;
            self.at_mut(above).right = between;
            self.at_mut(index).left = above;
            between
        };
        if between != NONE {
            self.at_mut(between).above = above;
        }
        self.at_mut(above).above = index;
        self.at_mut(index).above = top;
        self.replace_below(top, above, index);
        self.refresh(above);
        self.refresh(index);
    }

    /// Has `above`, or the root, lead to `new` instead of `old`.
    fn replace_below(&mut self, above: PlaceIndex, old: PlaceIndex, new: PlaceIndex) {
        if above == NONE {
            self.root = new;
        } else if self.at(above).left == old {
            self.at_mut(above).left = new;
        } else {
            self.at_mut(above).right = new;
        }
    }

    /// Notes what has changed below, as far up as it matters.
    pub(super) fn refresh_from(&mut self, mut index: PlaceIndex) {
        while index != NONE && self.refresh(index) {
            index = self.at(index).above;
        }
    }

    /// Notes what a place and those below it are; whether that is new.
    fn refresh(&mut self, index: PlaceIndex) -> bool {
        let place = self.at(index);
        let (mut began, mut ended) = (place.began, place.ended);
        for below in [place.left, place.right] {
            if below != NONE {
                began = began.min(self.at(below).first_began);
                ended = ended.max(self.at(below).last_ended);
            }
        }
        let place = self.at_mut(index);
        let is_new = (place.first_began, place.last_ended) != (began, ended);
        (place.first_began, place.last_ended) = (began, ended);
        is_new
    }
}

/// Which place lies above another: the finalizer of MurmurHash3, a permutation, so that no two are alike.
pub(super) const fn rank(index: PlaceIndex) -> u32 {
    let mixed = (index ^ index >> 16).wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xC2B2_AE35);
    mixed ^ mixed >> 16
}
