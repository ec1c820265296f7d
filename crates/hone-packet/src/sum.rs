//! The one's complement sum of RFC 1071, over bytes that come in pieces of any length.

/// A sum of 16-bit words, most significant byte first. Carries are kept in the upper bits and folded at the end
/// (RFC 1071, section 2, "Deferred Carries"); as 2^16 = 1 modulo 2^16 - 1, wider words may be added whole.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    total: u64,
    /// An odd number of bytes was added: the next one is the lower half of a word.
    odd: bool,
}

impl Sum {
    /// Adds the next bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        if self.odd
            && let Some((&low, rest)) = bytes.split_first()
        {
            self.total += u64::from(low);
            self.odd = false;
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<4>();
        // Below 2^62 after 2^30 words of this slice, as the total was folded below 2^16 + 2^32 before.
        let mut total = fold_once(self.total);
        for words in words.chunks(1 << 30) {
            total = fold_once(
                words.iter().fold(total, |total, word| total + u64::from(u32::from_be_bytes(*word))),
            );
        }
        let (pairs, last) = rest.as_chunks::<2>();
        for pair in pairs {
            total += u64::from(u16::from_be_bytes(*pair));
        }
        if let [high] = last {
            total += u64::from(*high) << 8;
            self.odd = true;
        }
        self.total = total;
    }

    /// Adds a number as if its big-endian words were added at an even place. Loses nothing for any number.
    pub(crate) fn add_number(&mut self, number: u64) {
        self.total = fold_once(self.total) + fold_once(number);
    }

    /// Adds another sum, of bytes that began at an even place.
    pub(crate) fn add_sum(&mut self, other: Self) {
        self.total = fold_once(self.total) + fold_once(other.total);
    }

    /// The checksum: the one's complement of the sum, as the bytes that go into the packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        let mut total = self.total;
        while total > 0xFFFF {
            total = (total >> 16) + (total & 0xFFFF);
        }
        let [.., high, low] = total.to_be_bytes();
        [!high, !low]
    }
}

/// The upper and the lower half, added: the same modulo 2^16 - 1, and below 2^33.
const fn fold_once(total: u64) -> u64 {
    (total >> 32) + (total & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        // Section 3: the sum is ddf2.
        let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        for split in 0..=bytes.len() {
            let mut sum = Sum::default();
            sum.add(&bytes[..split]);
            sum.add(&bytes[split..]);
            assert_eq!(sum.checksum(), [!0xDD, !0xF2], "split at {split}");
        }
    }

    #[test]
    fn sums_at_their_limits() {
        assert_eq!(Sum::default().checksum(), [0xFF, 0xFF]);
        let mut sum = Sum::default();
        sum.add(&[0xFF; 64]);
        assert_eq!(sum.checksum(), [0, 0]);
        for _ in 0..100 {
            sum.add_number(u64::MAX);
            sum.add_sum(Sum { total: u64::MAX, odd: false });
        }
        assert_eq!(sum.checksum(), [0, 0]);
    }
}
