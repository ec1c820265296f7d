//! Finds out which bytes of a recording are complete blocks. Reads the stream once, with limited memory.
//!
//! A series of valid blocks is read as `show` reads it. After an invalid place, every byte is tried as the beginning of
//! the next valid block: a known type, equal lengths at both ends, and a body that can be parsed. So a torn end can be
//! distinguished from damage that valid blocks follow.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use hone_pcapng::block::{self, INTERFACE, OBSOLETE_PACKET, PACKET, SECTION, SIMPLE_PACKET, STATISTICS};
use hone_pcapng::view::BlockView;
use hone_pcapng::{ByteOrder, ReadError, ReadErrorKind, Reader};

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How much of a section's beginning is kept, so that blocks after a damaged place can be parsed.
const MAX_PREAMBLE: usize = 1 << 20;
/// With more damaged places than this, the file does not count as a recording.
const MAX_DAMAGE: usize = 10_000;

/// Why a stream cannot be examined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExamineError {
    #[error(transparent)]
    Memory(ReadError),
    #[error("it has more than {MAX_DAMAGE} damaged places: it is no recording any more")]
    TooMuch,
}

/// How many there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sections: u64,
    pub(crate) blocks: u64,
    pub(crate) packets: u64,
}

/// Bytes that are not valid blocks. Offsets are those in the uncompressed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) bytes: Range<u64>,
    /// What is wrong with the first block.
    pub(crate) why: ReadError,
    /// They are all zero.
    pub(crate) zeros: bool,
}

/// What a stream contains.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Sound blocks, one after the other.
    pub(crate) sound: Vec<Range<u64>>,
    /// What is in them.
    pub(crate) counts: Counts,
    /// The counts when the first damage was found.
    pub(crate) before_damage: Counts,
    pub(crate) damage: Vec<Damage>,
    /// Bytes that could be read.
    pub(crate) length: u64,
    /// The last sound block is a section's statistics.
    pub(crate) has_end: bool,
    /// Why reading stopped before the end.
    pub(crate) failed: Option<io::Error>,
}

impl Examined {
    /// Damage that valid blocks follow.
    pub(crate) fn inner_damage(&self) -> &[Damage] {
        match self.damage.split_last() {
            Some((last, inner)) if last.bytes.end == self.length => inner,
            _ => &self.damage,
        }
    }

    /// Bytes in sound blocks.
    pub(crate) fn sound_bytes(&self) -> u64 {
        self.sound.iter().map(|run| run.end - run.start).sum()
    }
}

/// Looks through a stream to its end.
pub(crate) fn examine(stream: &mut dyn Read) -> Result<Examined, ExamineError> {
    Walk::new(stream, CHUNK_BYTES).walk()
}

/// A stream, in chunks.
struct Chunks<'a> {
    stream: &'a mut dyn Read,
    chunk: Vec<u8>,
    length: u64,
    ended: bool,
    failed: Option<io::Error>,
}

impl Chunks<'_> {
    /// The next bytes; none at the end.
    fn next(&mut self) -> &[u8] {
        while !self.ended {
            match self.stream.read(&mut self.chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.length += count as u64;
                    return &self.chunk[..count];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => (self.ended, self.failed) = (true, Some(error)),
            }
        }
        &[]
    }
}

/// Whether a valid block begins at a place.
enum Look {
    Yes,
    No,
    /// Not all of its bytes are there yet.
    More,
}

struct Walk<'a> {
    chunks: Chunks<'a>,
    /// The parser, which gets the preamble and then the bytes from `at` on.
    reader: Reader,
    at: u64,
    /// The section's header and interfaces.
    preamble: Vec<u8>,
    /// The section's.
    order: Option<ByteOrder>,
    found: Examined,
}

impl<'a> Walk<'a> {
    fn new(stream: &'a mut dyn Read, chunk_bytes: usize) -> Self {
        let chunks = Chunks { stream, chunk: vec![0; chunk_bytes], length: 0, ended: false, failed: None };
        Self {
            chunks,
            reader: Reader::new(),
            at: 0,
            preamble: Vec::new(),
            order: None,
            found: Examined::default(),
        }
    }

    fn walk(mut self) -> Result<Examined, ExamineError> {
        loop {
            let start = self.at;
            let broken = self.run()?;
            if self.at > start {
                self.found.sound.push(start..self.at);
            }
            let Some(why) = broken else { break };
            if self.found.damage.is_empty() {
                self.found.before_damage = self.found.counts;
            } else if self.found.damage.len() >= MAX_DAMAGE {
                return Err(ExamineError::TooMuch);
            }
            if !self.find_next(why)? {
                break;
            }
        }
        if self.found.damage.is_empty() {
            self.found.before_damage = self.found.counts;
        }
        self.found.length = self.chunks.length;
        self.found.failed = self.chunks.failed;
        Ok(self.found)
    }

    /// Reads valid blocks. Returns what is wrong with the first invalid one, if there is one.
    fn run(&mut self) -> Result<Option<ReadError>, ExamineError> {
        loop {
            loop {
                let item = match self.reader.next_block() {
                    Ok(Some(item)) => item,
                    Ok(None) => break,
                    Err(error) => return broken(ReadError { offset: self.at, ..error }),
                };
                self.at += item.raw.len() as u64;
                self.order = Some(item.order);
                let kind = item.block.kind();
                let counts = &mut self.found.counts;
                counts.blocks += 1;
                match kind {
                    SECTION => {
                        counts.sections += 1;
                        self.preamble.clear();
                    }
                    PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => counts.packets += 1,
                    _ => {}
                }
                if matches!(kind, SECTION | INTERFACE) && self.preamble.len() + item.raw.len() <= MAX_PREAMBLE
                {
                    self.preamble.extend_from_slice(item.raw);
                }
                self.found.has_end = kind == STATISTICS;
            }
            let chunk = self.chunks.next();
            if !chunk.is_empty() {
                self.reader.feed(chunk).map_err(ExamineError::Memory)?;
                continue;
            }
            if self.reader.unread().is_empty() {
                return Ok(None);
            }
            let order = self.order.unwrap_or(ByteOrder::Little);
            let block = BlockView::new(self.reader.unread(), order).kind();
            return broken(ReadError { offset: self.at, block, reason: ReadErrorKind::Truncated });
        }
    }

    /// Skips to the next valid block after the invalid one; false: there is none.
    fn find_next(&mut self, why: ReadError) -> Result<bool, ExamineError> {
        let from = self.at;
        let mut bytes = self.reader.unread().to_vec();
        self.reader = Reader::new();
        let (mut zeros, mut at) = (true, 1.min(bytes.len()));
        let found = loop {
            match self.look(&bytes[at..])? {
                Look::Yes => break true,
                Look::No => at += 1,
                Look::More => {
                    let chunk = self.chunks.next();
                    if !chunk.is_empty() {
                        zeros &= bytes.drain(..at).all(|byte| byte == 0);
                        self.at += at as u64;
                        at = 0;
                        bytes.extend_from_slice(chunk);
                    } else if at < bytes.len() {
                        at += 1;
                    } else {
                        break false;
                    }
                }
            }
        };
        zeros &= bytes[..at].iter().all(|byte| *byte == 0);
        self.at += at as u64;
        self.found.damage.push(Damage { bytes: from..self.at, why, zeros });
        if found {
            self.reader = self.primed(&bytes[at..])?;
        }
        Ok(found)
    }

    fn look(&self, bytes: &[u8]) -> Result<Look, ExamineError> {
        if bytes.len() < size_of::<u32>() {
            return Ok(Look::More);
        }
        // A section header's type is the same in both byte orders.
        let kind = BlockView::new(bytes, self.order.unwrap_or(ByteOrder::Little)).kind();
        if block::name(kind).is_none() {
            return Ok(Look::No);
        }
        let block = match BlockView::first(bytes, self.order) {
            Ok(Some(block)) => block.bytes(),
            Ok(None) => return Ok(Look::More),
            Err(_) => return Ok(Look::No),
        };
        Ok(match self.primed(block)?.next_block() {
            Ok(Some(_)) => Look::Yes,
            _ => Look::No,
        })
    }

    /// A reader that knows what the section began with, and comes to these bytes next.
    fn primed(&self, bytes: &[u8]) -> Result<Reader, ExamineError> {
        let mut reader = Reader::new();
        reader.feed(&self.preamble).map_err(ExamineError::Memory)?;
        // It was valid before.
        while let Ok(Some(_)) = reader.next_block() {}
        reader.feed(bytes).map_err(ExamineError::Memory)?;
        Ok(reader)
    }
}

/// The error of an invalid block. Fails on a lack of memory, which is no evidence against the block.
fn broken(error: ReadError) -> Result<Option<ReadError>, ExamineError> {
    match error.reason {
        ReadErrorKind::OutOfMemory => Err(ExamineError::Memory(error)),
        _ => Ok(Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::{Interface, Packet, Resolution, Section, Statistics};

    use super::*;

    /// A section with packets of several sizes; the recording, and where its blocks end.
    fn recording(order: ByteOrder) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        let interface = Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        };
        Section::default().emit(order, &mut bytes).unwrap();
        ends.push(bytes.len());
        interface.emit(order, &mut bytes).unwrap();
        ends.push(bytes.len());
        for length in [1, 40, 0, 77, 13] {
            let packet = Packet { data: vec![0xA5; length].into(), ..Packet::default() };
            packet.emit(order, &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        Statistics::default().emit(order, &mut bytes).unwrap();
        ends.push(bytes.len());
        (bytes, ends)
    }

    /// The result must not depend on how many bytes are read at once.
    fn examined(bytes: &[u8]) -> Examined {
        let look = |chunk| Walk::new(&mut &*bytes, chunk).walk().unwrap();
        let (all, single) = (look(CHUNK_BYTES), look(1));
        assert_eq!((&all.sound, &all.damage, all.counts), (&single.sound, &single.damage, single.counts));
        assert_eq!(all.length, bytes.len() as u64);
        let parts = all.sound.iter().chain(all.damage.iter().map(|damage| &damage.bytes));
        assert_eq!(parts.map(|part| part.end - part.start).sum::<u64>(), all.length, "no byte is left out");
        all
    }

    const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

    #[test]
    fn wherever_it_is_torn_the_whole_blocks_before_stay() {
        for order in ORDERS {
            let (whole, ends) = recording(order);
            for end in 0..=whole.len() {
                for tail in [&[][..], &[0; 500], &[0xFF; 500], b"no block"] {
                    let bytes = [&whole[..end], tail].concat();
                    // The remaining bytes may happen to equal those that were torn off; zeros often do.
                    let same = whole.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
                    let kept = *ends.iter().rfind(|kept| **kept <= same).unwrap();
                    let found = examined(&bytes);
                    assert_eq!(found.sound_bytes(), kept as u64, "{end}");
                    assert_eq!(found.inner_damage(), [], "{end}");
                    assert_eq!(found.damage.len(), usize::from(kept < bytes.len()));
                    assert_eq!(found.has_end, kept == whole.len());
                    let zeros = kept < bytes.len() && bytes[kept..].iter().all(|byte| *byte == 0);
                    assert_eq!(found.damage.iter().any(|damage| damage.zeros), zeros);
                }
            }
            let counts = Counts { sections: 1, blocks: 8, packets: 5 };
            assert_eq!(examined(&whole).counts, counts);
        }
    }

    #[test]
    fn sound_blocks_behind_damage_are_found_whatever_is_between() {
        for order in ORDERS {
            let (whole, ends) = recording(order);
            for (number, block) in ends.windows(2).enumerate().skip(2).take(4) {
                let [start, end] = [block[0], block[1]];
                for lost in [start..start + 8, start..end - 4, start + 5..start + 6, end - 7..end + 3] {
                    // The bytes are missing or replaced, so what follows can be at any offset.
                    for instead in [vec![], vec![0; lost.len()], vec![0xFF; lost.len()], vec![6; 9]] {
                        let bytes = [&whole[..lost.start], &instead, &whole[lost.end..]].concat();
                        if bytes == whole {
                            continue;
                        }
                        let found = examined(&bytes);
                        let most = if lost.end > end { 2 } else { 1 };
                        assert!(found.counts.blocks >= 8 - most, "{number} {lost:?} {instead:?} {found:?}");
                        assert_eq!(found.inner_damage().len(), 1, "{number} {lost:?} {instead:?} {found:?}");
                        assert_eq!(found.before_damage.blocks, number as u64);
                        assert!(found.has_end);
                    }
                }
            }
        }
    }

    #[test]
    fn a_recording_appended_to_a_torn_one_is_not_lost() {
        let (little, _) = recording(ByteOrder::Little);
        let (big, _) = recording(ByteOrder::Big);
        for end in 1..little.len() - 1 {
            let found = examined(&[&little[..end], &big].concat());
            assert_eq!(found.sound.last().unwrap().end, (end + big.len()) as u64, "{end}");
            assert!(found.counts.packets >= 5 && found.has_end, "{end}");
        }
    }

    #[test]
    fn a_block_that_claims_more_than_there_is_hides_nothing() {
        let (mut bytes, ends) = recording(ByteOrder::Little);
        bytes[ends[3] + 4..][..4].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        let found = examined(&bytes);
        assert_eq!(found.damage.len(), 1);
        assert_eq!(found.damage[0].bytes, ends[3] as u64..ends[4] as u64);
        assert_eq!(found.damage[0].why.reason, ReadErrorKind::Truncated);
        assert_eq!(found.counts.packets, 4);
    }

    #[test]
    fn arbitrary_bytes_are_accounted_for() {
        let (whole, _) = recording(ByteOrder::Little);
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..1_000 {
            let mut bytes = whole.repeat(2);
            for _ in 0..1 + random(5) {
                let at = random(bytes.len().max(1));
                match random(3) {
                    _ if bytes.is_empty() => {}
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                    _ => bytes.truncate(at + 1),
                }
            }
            examined(&bytes);
        }
    }
}
