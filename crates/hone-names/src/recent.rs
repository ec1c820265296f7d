//! A table of bounded size, which forgets what was not used for longest.

use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A table of at most so many entries. It has two halves. What is used moves to the newer one. Once that is full, the older
/// one is removed and the newer one takes its place: so each step is short, however large the table is.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), half: most / 2 }
    }

    /// The entry, if it is not forgotten.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.newer.contains_key(key) {
            let (key, value) = self.older.remove_entry(key)?;
            self.insert(key, value);
        }
        self.newer.get_mut(key)
    }

    /// The entry; one by default, if there is none or it is forgotten.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if self.newer.len() >= self.half && !self.newer.contains_key(&key) {
            let value = self.older.remove(&key).unwrap_or_default();
            self.older = std::mem::take(&mut self.newer);
            return self.newer.entry(key).insert(value).into_mut();
        }
        match self.newer.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let value = self.older.remove(entry.key()).unwrap_or_default();
                entry.insert(value)
            }
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.newer.len() >= self.half && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.older.remove(&key);
        self.newer.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.newer.remove(key).or_else(|| self.older.remove(key))
    }

    pub(crate) fn clear(&mut self) {
        self.newer.clear();
        self.older.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_the_table_is_bounded() {
        let mut table = Recent::new(8);
        for key in 0..100 {
            *table.get_or_default(key) = key;
            assert!(table.len() <= 8);
            assert_eq!(table.get(&0), Some(&mut 0), "it is used all the time");
        }
        assert_eq!(table.get(&50), None);
        assert_eq!(table.get(&99), Some(&mut 99));
        assert_eq!(table.remove(&99), Some(99));
        assert_eq!(table.get(&99), None);
    }
}
