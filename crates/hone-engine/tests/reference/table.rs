//! The reference model's tables.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A table in which ended entries linger.
pub(super) struct Table<K, V> {
    pub(super) entries: HashMap<K, (V, Option<u64>)>,
    leaving: VecDeque<(K, u64)>,
    bound: usize,
    linger: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new(bound: u32, linger: u64) -> Self {
        Self { entries: HashMap::new(), leaving: VecDeque::new(), bound: bound as usize, linger }
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
            if self.leaving.front().is_some_and(|front| front.1 + self.linger <= now) {
                self.leave();
            }
        }
    }

    pub(super) fn begin(&mut self, key: K, value: V) -> bool {
        while self.entries.len() >= self.bound && !self.entries.contains_key(&key) {
            if !self.leave() {
                return false;
            }
        }
        self.entries.insert(key, (value, None));
        true
    }

    pub(super) fn end(&mut self, key: K, at: u64) {
        self.entries.get_mut(&key).expect("it is known").1 = Some(at);
        if self.leaving.len() >= self.bound {
            self.leave();
        }
        self.leaving.push_back((key, at));
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &V> {
        self.entries.values().filter(|entry| entry.1.is_none()).map(|entry| &entry.0)
    }
}
