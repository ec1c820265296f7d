//! The beginning of a stream, put together from pieces that come in any order.

use std::ops::Range;

use crate::MAX_STREAM;

/// Most pieces with gaps between them.
const MAX_PIECES: usize = 32;

/// The beginning of a stream, at most [`MAX_STREAM`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// What of `bytes` is there, in order, with gaps between them.
    pieces: Vec<Range<usize>>,
    /// From where on bytes of a packet were not captured.
    cuts: Vec<usize>,
}

impl Assembly {
    /// Adds a piece. `is_cut`: bytes behind it were not captured.
    pub(crate) fn add(&mut self, offset: usize, piece: &[u8], is_cut: bool) {
        let Some(room) = MAX_STREAM.checked_sub(offset) else { return };
        let piece = &piece[..piece.len().min(room)];
        let mut range = offset..offset + piece.len();
        if is_cut && self.cuts.len() < MAX_PIECES {
            self.cuts.push(range.end);
        }
        let first = self.pieces.partition_point(|other| other.end < range.start);
        let end = self.pieces.partition_point(|other| other.start <= range.end);
        if piece.is_empty() || (first == end && self.pieces.len() >= MAX_PIECES) {
            return;
        }
        if self.bytes.len() < range.end {
            self.bytes.resize(range.end, 0);
        }
        self.bytes[range.clone()].copy_from_slice(piece);
        for other in &self.pieces[first..end] {
            range = range.start.min(other.start)..range.end.max(other.end);
        }
        self.pieces.splice(first..end, [range]);
    }

    /// The bytes from the beginning up to the first gap, and whether nothing will fill it, because it was not captured.
    pub(crate) fn beginning(&self) -> (&[u8], bool) {
        let end = self.pieces.first().filter(|piece| piece.start == 0).map_or(0, |piece| piece.end);
        (&self.bytes[..end], end >= MAX_STREAM || self.cuts.contains(&end))
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.cuts.is_empty()
    }

    /// Removes this many bytes from the beginning.
    pub(crate) fn advance(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        for piece in &mut self.pieces {
            *piece = piece.start.saturating_sub(count)..piece.end.saturating_sub(count);
        }
        self.pieces.retain(|piece| !piece.is_empty());
        self.cuts.retain(|cut| *cut >= count);
        self.cuts.iter_mut().for_each(|cut| *cut -= count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_stream() {
        let stream: Vec<u8> = (0..=255).collect();
        let ranges = [40..60, 0..10, 200..256, 5..41, 58..130, 130..201];
        let mut assembly = Assembly::default();
        for (count, range) in ranges.iter().enumerate() {
            assert!(assembly.beginning().0.len() < 256, "{count}");
            assembly.add(range.start, &stream[range.clone()], false);
        }
        assert_eq!(assembly.beginning(), (&stream[..], false));
        assembly.advance(250);
        assert_eq!(assembly.beginning(), (&stream[250..], false));
    }

    #[test]
    fn what_was_not_captured_is_known_unless_another_piece_has_it() {
        let mut assembly = Assembly::default();
        assembly.add(0, b"abc", true);
        assert_eq!(assembly.beginning(), (&b"abc"[..], true));
        assembly.add(0, b"abcdef", false);
        assert_eq!(assembly.beginning(), (&b"abcdef"[..], false), "sent again in other pieces");
    }

    #[test]
    fn it_is_bounded() {
        let mut assembly = Assembly::default();
        for at in 0..100_000 {
            assembly.add(at * 2 + 1, b"x", true);
        }
        assert!(assembly.pieces.len() <= MAX_PIECES && assembly.bytes.len() <= MAX_STREAM);
        let mut full = Assembly::default();
        full.add(0, &vec![1; 2 * MAX_STREAM], false);
        full.add(usize::MAX, b"x", false);
        assert_eq!((full.beginning().0.len(), full.beginning().1), (MAX_STREAM, true));
    }
}
