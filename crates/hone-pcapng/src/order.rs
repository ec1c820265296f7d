//! Byte order. A block is a row of 32-bit words with byte strings padded to words, so words are the unit here.

use crate::ReadErrorKind;

/// The order of the bytes in every number of a section. The section header says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// The order of the machine this is compiled for.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// The bytes of a word.
    #[inline]
    pub(crate) fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            Self::Little => word.to_le_bytes(),
            Self::Big => word.to_be_bytes(),
        }
    }

    /// The word of these bytes.
    #[inline]
    pub(crate) fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The word at this place; `None` past the end.
    #[inline]
    pub(crate) fn word_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        bytes.get(at..)?.first_chunk().map(|bytes| self.word(*bytes))
    }

    /// The word that holds two 16-bit fields, the first one at the lower address.
    #[inline]
    pub(crate) fn pair(self, first: u16, second: u16) -> u32 {
        match self {
            Self::Little => u32::from(second) << 16 | u32::from(first),
            Self::Big => u32::from(first) << 16 | u32::from(second),
        }
    }

    /// The word with this byte at the lowest address, and zeros behind it.
    #[inline]
    pub(crate) fn first_byte(self, byte: u8) -> u32 {
        self.word([byte, 0, 0, 0])
    }

    /// The two 16-bit fields of a word, the one at the lower address first.
    #[inline]
    pub(crate) fn unpair(self, word: u32) -> (u16, u16) {
        let [a, b, c, d] = word.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match self {
            Self::Little => (low, high),
            Self::Big => (high, low),
        }
    }

    /// The two words of a 64-bit field, the one at the lower address first. Not for timestamps: see [`split`].
    #[inline]
    pub(crate) fn wide(self, value: u64) -> [u32; 2] {
        let [high, low] = split(value);
        match self {
            Self::Little => [low, high],
            Self::Big => [high, low],
        }
    }

    /// The 64-bit field of two words, the one at the lower address first. Not for timestamps: see [`join`].
    #[inline]
    pub(crate) fn unwide(self, [first, second]: [u32; 2]) -> u64 {
        match self {
            Self::Little => join(second, first),
            Self::Big => join(first, second),
        }
    }

    /// Takes a body's first `N` words; the rest follows them.
    #[inline]
    pub(crate) fn take_words<const N: usize>(self, body: &[u8]) -> Result<([u32; N], &[u8]), ReadErrorKind> {
        let (words, _) = body.as_chunks::<4>();
        match words.first_chunk::<N>() {
            Some(words) => Ok((words.map(|bytes| self.word(bytes)), &body[4 * N..])),
            None => Err(ReadErrorKind::BodyTooShort { length: body.len(), minimum: 4 * N }),
        }
    }
}

/// The high and the low word of a 64-bit number: how every timestamp is written, in either byte order.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each half is meant to lose the other")]
pub(crate) fn split(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

/// The number of a high and a low word.
#[inline]
pub(crate) fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
