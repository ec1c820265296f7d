//! Reading of fields, one after the other.

/// What is left of a message. Each method is `None` if too few bytes are left, and takes nothing then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.take(3).map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A field behind its length in one byte.
    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        let mut rest = *self;
        let length = rest.u8()?;
        let field = rest.take(length.into())?;
        *self = rest;
        Some(field)
    }

    /// A field behind its length in two bytes.
    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        let mut rest = *self;
        let length = rest.u16()?;
        let field = rest.take(length.into())?;
        *self = rest;
        Some(field)
    }

    /// A number of QUIC in 1, 2, 4 or 8 bytes (RFC 9000, section 16).
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let length = 1 << (self.0.first()? >> 6);
        let value = self.take(length)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Some(value & (u64::MAX >> (64 - 8 * length + 2)))
    }
}
