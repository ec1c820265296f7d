//! How much of each packet is kept.

use crate::limits::MAX_SNAP_LENGTH;

/// How many bytes of each packet are kept, from the IP header on.
///
/// As a number, 0 is all of each packet: in requests, replies, statistics, interface blocks and on the command line. That is
/// decoded here and nowhere else. A longer snap length is greater, and [`ALL`](Self::ALL) is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapLength(u32);

impl SnapLength {
    /// All of each packet, up to [`MAX_SNAP_LENGTH`].
    pub const ALL: Self = Self(u32::MAX);

    /// The snap length that this number stands for; 0: [`ALL`](Self::ALL). `None`: it is beyond [`MAX_SNAP_LENGTH`].
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::ALL),
            1..=MAX_SNAP_LENGTH => Some(Self(number)),
            _ => None,
        }
    }

    /// As [`new`](Self::new), but a number beyond [`MAX_SNAP_LENGTH`] is [`ALL`](Self::ALL) too: no packet is kept beyond
    /// it, so that it cuts nothing.
    #[must_use]
    pub const fn lenient(number: u32) -> Self {
        match Self::new(number) {
            Some(length) => length,
            None => Self::ALL,
        }
    }

    /// The number that stands for it; 0: all.
    #[must_use]
    pub const fn number(self) -> u32 {
        if self.is_all() { 0 } else { self.0 }
    }

    /// The bytes of a packet that are kept at most: 1 to [`MAX_SNAP_LENGTH`].
    #[must_use]
    pub const fn bytes(self) -> u32 {
        if self.is_all() { MAX_SNAP_LENGTH } else { self.0 }
    }

    /// Whether no packet is cut by it.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.0 == u32::MAX
    }
}

impl Default for SnapLength {
    /// [`ALL`](Self::ALL).
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nought_is_all_and_the_longest_but_one_is_not() {
        assert_eq!(SnapLength::new(0), Some(SnapLength::ALL));
        assert_eq!(SnapLength::ALL.number(), 0);
        assert_eq!(SnapLength::ALL.bytes(), MAX_SNAP_LENGTH);
        let longest = SnapLength::lenient(MAX_SNAP_LENGTH);
        assert_eq!((longest.number(), longest.bytes()), (MAX_SNAP_LENGTH, MAX_SNAP_LENGTH));
        assert!(longest < SnapLength::ALL && SnapLength::lenient(1) < longest);
        for beyond in [MAX_SNAP_LENGTH + 1, u32::MAX] {
            assert_eq!(SnapLength::new(beyond), None);
            assert_eq!(SnapLength::lenient(beyond), SnapLength::ALL);
        }
    }
}
