//! The hashes of files, as many as fit. Those that were not asked for the longest leave first.

use std::collections::HashMap;

use super::FileId;

/// Most files in each half. An entry takes about 100 bytes.
const HALF: usize = 8192;

/// Two halves: what is asked for moves to the newer one, and when that is full, the older one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Known {
    newer: HashMap<FileId, [u8; 32]>,
    older: HashMap<FileId, [u8; 32]>,
}

impl Known {
    pub(super) fn get(&mut self, file: &FileId) -> Option<[u8; 32]> {
        if let Some(hash) = self.newer.get(file) {
            return Some(*hash);
        }
        let hash = self.older.remove(file)?;
        self.add(*file, hash);
        Some(hash)
    }

    pub(super) fn add(&mut self, file: FileId, hash: [u8; 32]) {
        if self.newer.len() >= HALF {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(file, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let mut known = Known::default();
        let file = |inode| FileId { inode, ..FileId::default() };
        known.add(file(1), [1; 32]);
        known.add(file(2), [2; 32]);
        for inode in 3..5 * HALF as u64 {
            known.add(file(inode), [3; 32]);
            assert_eq!(known.get(&file(1)), Some([1; 32]), "{inode}");
            assert!(known.newer.len() + known.older.len() <= 2 * HALF);
        }
        assert_eq!(known.get(&file(2)), None);
        assert_eq!(known.get(&FileId { size: 1, ..file(1) }), None, "another file");
    }
}
