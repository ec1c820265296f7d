//! A block as it reads with a shorter snap length: a packet's data cut, an interface that says so, the rest as it is.
//!
//! ```text
//! enhanced packet block            what a shorter snap length changes
//! +---------------------------+
//! | type                      |  0
//! | total length              |  4  less
//! | interface                 |  8
//! | time, high and low        | 12
//! | captured length           | 20  the snap length
//! | original length           | 24
//! +---------------------------+
//! | data, padded to 4         | 28  cut, padded with zeros
//! | options                   |     follow, unchanged
//! | total length              |     less
//! +---------------------------+
//! ```
//!
//! In an interface block, bytes 12 to 16 are the snap length.

use core::ops::Range;

use hone_types::SnapLength;

use super::BlockView;
use crate::block::{INTERFACE, PACKET, TRAILER_LENGTH as TAIL, padded};

const TOTAL: Range<usize> = 4..8;
const CAPTURED: Range<usize> = 20..24;
/// Where a packet's data begins.
const DATA: usize = 28;
/// Where an interface block's snap length is.
const SNAP_LENGTH: Range<usize> = 12..16;

/// A block as it reads with a snap length. Its bytes are made while they are copied, from a block that stays as it is.
#[derive(Debug)]
pub struct Trimmed<'a> {
    /// The whole block, or what of it follows `head`.
    body: &'a [u8],
    cut: Option<Cut<'a>>,
    length: usize,
}

/// What surrounds the data of a packet that is cut, or comes before the rest of an interface.
#[derive(Debug)]
struct Cut<'a> {
    head: [u8; DATA],
    /// How much of `head` there is.
    head_length: usize,
    padding: usize,
    options: &'a [u8],
    /// The total length once more; `tail_length` bytes of it.
    tail: [u8; TAIL],
    tail_length: usize,
}

impl<'a> Trimmed<'a> {
    /// The block with this snap length. A packet that is no longer, and a block that is no packet or interface
    /// or is not sound, stays as it is.
    #[inline]
    #[must_use]
    pub fn new(block: BlockView<'a>, snap_length: SnapLength) -> Self {
        let changed = match block.kind() {
            PACKET if !snap_length.is_all() => Self::cut(block, snap_length.bytes()),
            INTERFACE => Self::interface(block, snap_length.number()),
            _ => None,
        };
        let body = block.bytes();
        changed.unwrap_or(Self { body, cut: None, length: body.len() })
    }

    fn interface(block: BlockView<'a>, snap_length: u32) -> Option<Self> {
        let mut head = [0; DATA];
        let (before, body) = block.bytes.split_at_checked(SNAP_LENGTH.end)?;
        head[..SNAP_LENGTH.end].copy_from_slice(before);
        head[SNAP_LENGTH].copy_from_slice(&block.order.bytes(snap_length));
        let head_length = SNAP_LENGTH.end;
        let cut = Cut { head, head_length, padding: 0, options: &[], tail: [0; TAIL], tail_length: 0 };
        Some(Self { body, cut: Some(cut), length: block.bytes.len() })
    }

    /// `None` if there is nothing to cut.
    fn cut(block: BlockView<'a>, snap_length: u32) -> Option<Self> {
        let (head, rest) = block.bytes.split_first_chunk::<DATA>()?;
        let captured = block.order.word_at(head, CAPTURED.start)?;
        if captured <= snap_length {
            return None;
        }
        let captured = usize::try_from(captured).ok()?;
        let kept = usize::try_from(snap_length).ok()?;
        let options = rest.get(padded(captured)..rest.len().checked_sub(TAIL)?)?;
        let body = rest.get(..kept)?;
        let padding = padded(kept) - kept;
        let length = DATA + kept + padding + options.len() + TAIL;
        let total = block.order.bytes(u32::try_from(length).ok()?);
        let mut head = *head;
        head[TOTAL].copy_from_slice(&total);
        head[CAPTURED].copy_from_slice(&block.order.bytes(snap_length));
        let cut = Cut { head, head_length: DATA, padding, options, tail: total, tail_length: TAIL };
        Some(Self { body, cut: Some(cut), length })
    }

    /// Bytes of the block.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Copies from byte `from` on as much as `to` takes; returns how much that was.
    #[inline]
    pub fn copy(&self, from: usize, to: &mut [u8]) -> usize {
        let Some(cut) = &self.cut else { return Copy { skip: from, to, done: 0 }.part(self.body).done };
        Copy { skip: from, to, done: 0 }
            .part(&cut.head[..cut.head_length])
            .part(self.body)
            .part(&[0; 3][..cut.padding])
            .part(cut.options)
            .part(&cut.tail[..cut.tail_length])
            .done
    }
}

/// A copy of several parts, one after the other.
struct Copy<'a> {
    /// Bytes still to leave out.
    skip: usize,
    to: &'a mut [u8],
    done: usize,
}

impl Copy<'_> {
    fn part(mut self, part: &[u8]) -> Self {
        let skipped = self.skip.min(part.len());
        self.skip -= skipped;
        let part = &part[skipped..];
        let room = &mut self.to[self.done..];
        let length = part.len().min(room.len());
        room[..length].copy_from_slice(&part[..length]);
        self.done += length;
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::ByteOrder;
    use crate::block::PROCESS;

    use super::*;

    /// A packet block of ten bytes of data and eight of options.
    const BLOCK: [u8; 52] = [
        6, 0, 0, 0, 52, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 0, 0, 0, 99, 0, 0, 0, // head
        0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0, 0, // data
        0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, // options
        52, 0, 0, 0,
    ];

    /// The same, but of another type.
    fn of_type(kind: u32) -> [u8; 52] {
        let mut block = BLOCK;
        block[..4].copy_from_slice(&kind.to_le_bytes());
        block
    }

    fn trimmed(block: &[u8], snap_length: u32) -> Trimmed<'_> {
        Trimmed::new(BlockView::new(block, ByteOrder::Little), SnapLength::lenient(snap_length))
    }

    #[test]
    fn a_snap_length_cuts_data_and_moves_options() {
        for snap in 1..10_u8 {
            let trimmed = trimmed(&BLOCK, snap.into());
            let mut out = [0xEE; 52];
            let length = trimmed.copy(0, &mut out);
            let kept = usize::from(snap);
            assert_eq!(length, trimmed.len());
            assert_eq!(length, 28 + kept.next_multiple_of(4) + 8 + 4);
            assert_eq!(usize::from(out[4]), length);
            assert_eq!(out[20], snap);
            assert_eq!(out[24], 99);
            assert_eq!(out[28..28 + kept], BLOCK[28..28 + kept]);
            assert!(out[28 + kept..28 + kept.next_multiple_of(4)].iter().all(|&byte| byte == 0));
            assert_eq!(out[length - 12..length - 4], BLOCK[40..48]);
            assert_eq!(usize::from(out[length - 4]), length);
        }
    }

    #[test]
    fn nothing_is_cut_from_shorter_packets_and_other_kinds() {
        for (kind, snap) in [(PACKET, 0), (PACKET, 10), (PACKET, 11), (PROCESS, 1)] {
            let (block, mut out) = (of_type(kind), [0; 52]);
            assert_eq!(trimmed(&block, snap).copy(0, &mut out), 52);
            assert_eq!(out, block);
        }
    }

    #[test]
    fn an_interface_says_the_readers_snap_length() {
        let (block, mut out) = (of_type(INTERFACE), [0; 52]);
        assert_eq!(trimmed(&block, 0x0002_0304).copy(0, &mut out), 52);
        assert_eq!((&out[..12], &out[12..16], &out[16..]), (&block[..12], &[4, 3, 2, 0][..], &block[16..]));
        Trimmed::new(BlockView::new(&[0, 0, 0, 1], ByteOrder::Big), SnapLength::lenient(7)).copy(0, &mut out);
        assert_eq!(out[..4], [0, 0, 0, 1], "cut off, so as it is");
    }

    #[test]
    fn a_copy_in_parts_is_the_whole() {
        for (kind, snap) in (0..11).flat_map(|snap| [(PACKET, snap), (INTERFACE, snap)]) {
            let block = of_type(kind);
            let trimmed = trimmed(&block, snap);
            let mut whole = [0; 52];
            let length = trimmed.copy(0, &mut whole);
            for step in 1..=length {
                let mut parts = [0; 52];
                let mut at = 0;
                while at < length {
                    let end = (at + step).min(length);
                    at += trimmed.copy(at, &mut parts[at..end]);
                }
                assert_eq!(parts, whole);
            }
        }
    }
}
