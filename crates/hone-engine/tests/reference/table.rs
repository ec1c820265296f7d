//! The reference model's tables.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A table in which ended entries linger.
pub(super) struct Table<K, V> {
    pub(super) entries: HashMap<K, (V, Option<u64>)>,
    leaving: VecDeque<(K, u64)>,
    /// Live entries in the order in which they are looked at, with the times when they were last heard of.
    round: VecDeque<(K, u64)>,
    next_look: u64,
    bound: usize,
    linger: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new(bound: u32, linger: u64) -> Self {
        Self {
            entries: HashMap::new(),
            leaving: VecDeque::new(),
            round: VecDeque::new(),
            next_look: 0,
            bound: bound as usize,
            linger,
        }
    }

    pub(super) fn leave(&mut self) -> bool {
        let Some((key, ended)) = self.leaving.pop_front() else { return false };
        if self.entries.get(&key).is_some_and(|entry| entry.1 == Some(ended)) {
            self.entries.remove(&key);
        }
        true
    }

    pub(super) fn expire(&mut self, now: u64, at_once: usize) {
        for _ in 0..at_once {
            if self.leaving.front().is_some_and(|front| front.1.abs_diff(now) >= self.linger) {
                self.leave();
            }
        }
    }

    pub(super) fn begin(&mut self, key: K, value: V, at: u64) -> bool {
        while self.entries.len() >= self.bound && !self.entries.contains_key(&key) {
            if !self.leave() {
                return false;
            }
        }
        self.entries.insert(key, (value, None));
        if self.round.iter().all(|&(other, _)| other != key) {
            self.round.push_back((key, at));
        }
        self.hear(key, at);
        true
    }

    /// Notes that the entry was heard of, if it is live.
    pub(super) fn hear(&mut self, key: K, at: u64) {
        if let Some((_, heard)) = self.round.iter_mut().find(|(other, _)| *other == key) {
            *heard = at;
        }
    }

    /// The live entries whose turn has come, at most `looks`, up to the first that is over: that one.
    pub(super) fn silent(
        &mut self,
        now: u64,
        silence: u64,
        looks: &mut usize,
        is_over: impl Fn(&V, u64) -> bool,
    ) -> Option<K> {
        while *looks > 0 && !self.round.is_empty() {
            if self.next_look > now + silence {
                self.next_look = now;
            }
            if self.next_look > now {
                return None;
            }
            *looks -= 1;
            let turn = silence / 2;
            self.next_look = self.next_look.max(now - turn.min(now)) + turn / self.round.len() as u64;
            if let Some(over) = self.front(now, &is_over) {
                return Some(over);
            }
        }
        None
    }

    /// The entry that leaves to make room for `key`, if there is none.
    pub(super) fn evictable(&mut self, key: K, now: u64, is_over: impl Fn(&V, u64) -> bool) -> Option<K> {
        if self.round.len() < self.bound || self.entries.contains_key(&key) {
            return None;
        }
        (0..8).find_map(|_| self.front(now, &is_over))
    }

    /// The front, if it is over. Otherwise it goes to the back.
    fn front(&mut self, now: u64, is_over: &impl Fn(&V, u64) -> bool) -> Option<K> {
        let (key, heard) = self.round.front_mut()?;
        *heard = now.min(*heard);
        let (key, silent) = (*key, now - *heard);
        if is_over(&self.entries[&key].0, silent) {
            return Some(key);
        }
        self.round.rotate_left(1);
        None
    }

    /// Removes a live entry at once.
    pub(super) fn forget(&mut self, key: K) {
        self.round.retain(|&(other, _)| other != key);
        self.entries.remove(&key);
    }

    pub(super) fn end(&mut self, key: K, at: u64) {
        self.entries.get_mut(&key).expect("it is known").1 = Some(at);
        self.round.retain(|&(other, _)| other != key);
        if self.leaving.len() >= self.bound {
            self.leave();
        }
        self.leaving.push_back((key, at));
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &V> {
        self.entries.values().filter(|entry| entry.1.is_none()).map(|entry| &entry.0)
    }
}
