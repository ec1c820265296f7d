//! The search tree of a [`Timeline`]: adds and removes places, and finds the next place that a moment sees.

use super::{NONE, Place, PlaceIndex, Timeline};
use crate::blocks::Store;

impl Timeline {
    /// The next place after `index` that `moment` sees. The caller has checked that there is one.
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

    /// The first place at or below `index`, in the order of time, without the branches in which `moment` sees no place.
    pub(super) fn first_below(&self, mut index: PlaceIndex, moment: u64) -> PlaceIndex {
        while self.may_see(self.at(index).left, moment) {
            index = self.at(index).left;
        }
        index
    }

    /// Whether `moment` may see a place at or below `index`.
    pub(super) fn may_see(&self, index: PlaceIndex, moment: u64) -> bool {
        index != NONE && self.at(index).first_began <= moment && moment < self.at(index).last_ended
    }

    /// Adds a place to the tree, after those with an equal sort key.
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
        // The new place is the only one below `above` on that side, so both are neighbours in the order.
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

    /// Removes a place from the tree, and releases its block.
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

    /// Makes two places neighbours in the order. One of them may be [`NONE`]: then the other one is at an end of the
    /// order.
    fn join(&mut self, before: PlaceIndex, after: PlaceIndex) {
        if before != NONE {
            self.at_mut(before).after = after;
        }
        if after != NONE {
            self.at_mut(after).before = before;
        }
    }

    /// Moves a place above the one that is above it now (a rotation).
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

    /// Replaces `old` by `new` below `above`, or as the root if `above` is [`NONE`].
    fn replace_below(&mut self, above: PlaceIndex, old: PlaceIndex, new: PlaceIndex) {
        if above == NONE {
            self.root = new;
        } else if self.at(above).left == old {
            self.at_mut(above).left = new;
        } else {
            self.at_mut(above).right = new;
        }
    }

    /// Updates the ranges of moments from this place upwards, as far as they change.
    pub(super) fn refresh_from(&mut self, mut index: PlaceIndex) {
        while index != NONE && self.refresh(index) {
            index = self.at(index).above;
        }
    }

    /// Updates the range of moments of a place and those below it. Returns whether it has changed.
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

/// A place's rank: a place lies above those with lower ranks. Computed by the finalizer of MurmurHash3, which is a
/// permutation, so no two places have the same rank.
pub(super) const fn rank(index: PlaceIndex) -> u32 {
    let mixed = (index ^ index >> 16).wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xC2B2_AE35);
    mixed ^ mixed >> 16
}
