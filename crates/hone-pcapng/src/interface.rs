//! The interface description: the link type of the packets that refer to it, and the unit of their timestamps.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::INTERFACE;
use crate::emit::{Layout, Sink, emits};
use crate::option::{OptionList, Options, is_kept};
use crate::{ByteOrder, RawOption, ReadErrorKind};

/// Link type of packets that begin with their IPv4 or IPv6 header.
pub const LINKTYPE_RAW: u16 = 101;

const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// What a timestamp counts: the `if_tsresol` byte. Its low seven bits are n; the unit is 2^-n seconds if the high bit
/// is set and 10^-n seconds if not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution(u8);

impl Resolution {
    /// Microseconds: the default, for which no option is written.
    pub const MICROS: Self = Self(6);
    /// Nanoseconds.
    pub const NANOS: Self = Self(9);

    /// The resolution of an `if_tsresol` byte. Every byte has a meaning.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The `if_tsresol` byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Units of this resolution as nanoseconds, rounded down; `None` past 2^64 - 1 ns.
    #[must_use]
    pub fn to_nanos(self, units: u64) -> Option<u64> {
        let exponent = u32::from(self.0 & 0x7F);
        if self.0 & 0x80 != 0 {
            // Below 2^94, and shifted by at most 127: neither overflows 128 bits.
            return u64::try_from((u128::from(units) * u128::from(NANOS_PER_SECOND)) >> exponent).ok();
        }
        if exponent <= 9 {
            return units.checked_mul(10_u64.pow(9 - exponent));
        }
        // A divisor beyond 64 bits leaves nothing.
        Some(10_u64.checked_pow(exponent - 9).map_or(0, |divisor| units / divisor))
    }

    /// Nanoseconds as units of this resolution, rounded down; `None` past 2^64 - 1 units.
    #[must_use]
    pub fn of_nanos(self, nanos: u64) -> Option<u64> {
        let exponent = u32::from(self.0 & 0x7F);
        let (nanos, second) = (u128::from(nanos), u128::from(NANOS_PER_SECOND));
        let (seconds, rest) = (nanos / second, nanos % second);
        let per_second =
            if self.0 & 0x80 != 0 { 1_u128.checked_shl(exponent)? } else { 10_u128.checked_pow(exponent)? };
        let units = seconds.checked_mul(per_second)?.checked_add(rest.checked_mul(per_second)? / second)?;
        u64::try_from(units).ok()
    }
}

impl Default for Resolution {
    fn default() -> Self {
        Self::MICROS
    }
}

/// Interface description block.
///
/// ```text
///  0            4            8           10          12            16
/// ┌────────────┬────────────┬───────────┬───────────┬─────────────┬─────────┬────────┐
/// │ 0x00000001 │ length     │ link type │ 0         │ snap length │ options │ length │
/// └────────────┴────────────┴───────────┴───────────┴─────────────┴─────────┴────────┘
///   3 description   9 timestamp resolution (u8)   14 timestamp offset (i64 seconds)
/// ```
///
/// From the IETF draft, section "Interface Description Block".
#[derive(Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// What packets begin with; Hone's with an IP header, [`LINKTYPE_RAW`].
    pub link_type: u16,
    /// At most this many bytes of a packet are captured; 0 is all of them.
    pub snap_length: u32,
    /// The interface's name for people.
    pub description: Option<Cow<'a, [u8]>>,
    /// What timestamps count.
    pub resolution: Resolution,
    /// Seconds to add to each timestamp. The option is left out when it is 0.
    pub offset_seconds: i64,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> Interface<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([link, snap_length], rest) = order.take_words(body)?;
        let (link_type, _reserved) = order.unpair(link);
        let (mut resolution, mut offset) = (None, None);
        let mut description = None;
        let mut other = Vec::new();
        for option in Options::new(rest, body, order) {
            let option = option?;
            match option.code {
                DESCRIPTION if description.is_none() => description = Some(option.bytes()),
                RESOLUTION if resolution.is_none() => resolution = Some(Resolution(option.u8()?)),
                OFFSET if offset.is_none() => offset = Some(option.u64()?.cast_signed()),
                _ => option.keep(&mut other)?,
            }
        }
        Ok(Self {
            link_type,
            snap_length,
            description,
            resolution: resolution.unwrap_or_default(),
            offset_seconds: offset.unwrap_or_default(),
            other,
        })
    }

    /// The timestamp of this interface for a time, nanoseconds since 1970-01-01 UTC, rounded down; `None` if it has none.
    #[must_use]
    pub fn timestamp(&self, nanos: u64) -> Option<u64> {
        let offset = i128::from(self.offset_seconds) * i128::from(NANOS_PER_SECOND);
        self.resolution.of_nanos(u64::try_from(i128::from(nanos) - offset).ok()?)
    }

    /// A timestamp of this interface as nanoseconds since 1970-01-01 UTC, rounded down; `None` before 1970 and past
    /// 2^64 - 1 ns (the year 2554).
    #[must_use]
    pub fn nanos(&self, timestamp: u64) -> Option<u64> {
        Clock::of(self).nanos(timestamp)
    }
}

/// What turns an interface's timestamps into time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    resolution: Resolution,
    offset_seconds: i64,
}

impl Clock {
    pub(crate) fn of(interface: &Interface<'_>) -> Self {
        Self { resolution: interface.resolution, offset_seconds: interface.offset_seconds }
    }

    pub(crate) fn nanos(self, timestamp: u64) -> Option<u64> {
        let offset = i128::from(self.offset_seconds) * i128::from(NANOS_PER_SECOND);
        u64::try_from(i128::from(self.resolution.to_nanos(timestamp)?) + offset).ok()
    }
}

impl Layout for Interface<'_> {
    const NAME: &'static str = "interface description";

    fn kind(&self) -> u32 {
        INTERFACE
    }

    fn body(&self, sink: &mut impl Sink) {
        sink.words([sink.order().pair(self.link_type, 0), self.snap_length]);
        let mut options = OptionList::new(sink);
        options.bytes(DESCRIPTION, "interface description", self.description.as_deref());
        if self.resolution != Resolution::MICROS || is_kept(&self.other, RESOLUTION) {
            options.bytes(RESOLUTION, "timestamp resolution", Some(&[self.resolution.0]));
        }
        let has_offset = self.offset_seconds != 0 || is_kept(&self.other, OFFSET);
        options.u64(OFFSET, has_offset.then_some(self.offset_seconds.cast_unsigned()));
        options.finish(&self.other);
    }
}

emits!(Interface);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_of_either_base() {
        let nanos = |byte, units| Resolution::from_byte(byte).to_nanos(units);
        assert_eq!(nanos(0, 2), Some(2_000_000_000));
        assert_eq!(nanos(6, 1_500_000), Some(1_500_000_000));
        assert_eq!(nanos(9, u64::MAX), Some(u64::MAX));
        assert_eq!(nanos(12, 1_999), Some(1));
        assert_eq!(nanos(0x80, 3), Some(3_000_000_000));
        assert_eq!(nanos(0x80 | 10, 1_536), Some(1_500_000_000));
        assert_eq!(nanos(0x80 | 32, 1 << 31), Some(500_000_000));
    }

    #[test]
    fn a_time_has_the_timestamp_that_stands_for_it() {
        let units = |byte, nanos| Resolution::from_byte(byte).of_nanos(nanos);
        assert_eq!(units(0, 2_999_999_999), Some(2));
        assert_eq!(units(6, 1_500_000_999), Some(1_500_000));
        assert_eq!(units(9, u64::MAX), Some(u64::MAX));
        assert_eq!(units(12, 2), Some(2_000));
        assert_eq!(units(0x80 | 10, 1_500_000_000), Some(1_536));
        assert_eq!(units(0x80 | 32, 500_000_000), Some(1 << 31));
        for byte in [12, 30, 0x7F, 0x80 | 63, 0xFF] {
            assert_eq!(units(byte, u64::MAX), None, "{byte}");
        }
        let interface = Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::MICROS,
            offset_seconds: 100,
            other: Vec::new(),
        };
        assert_eq!(interface.timestamp(101_000_002_000), Some(1_000_002));
        assert_eq!(interface.nanos(1_000_002), Some(101_000_002_000));
        assert_eq!(interface.timestamp(99_000_000_000), None, "before its clock begins");
    }

    #[test]
    fn resolutions_at_the_ends_of_their_range() {
        let nanos = |byte, units| Resolution::from_byte(byte).to_nanos(units);
        assert_eq!(nanos(6, u64::MAX), None);
        assert_eq!(nanos(0x80, u64::MAX), None);
        assert_eq!(nanos(0x7F, u64::MAX), Some(0));
        assert_eq!(nanos(0xFF, u64::MAX), Some(0));
        assert_eq!(nanos(28, u64::MAX), Some(1));
        assert_eq!(nanos(29, u64::MAX), Some(0));
    }

    #[test]
    fn offsets_move_time_either_way() {
        let clock = |offset_seconds| Clock { resolution: Resolution::MICROS, offset_seconds };
        assert_eq!(clock(0).nanos(7), Some(7_000));
        assert_eq!(clock(1).nanos(7), Some(1_000_007_000));
        assert_eq!(clock(-1).nanos(1_000_007), Some(7_000));
        assert_eq!(clock(-1).nanos(7), None);
        assert_eq!(clock(i64::MAX).nanos(0), None);
        assert_eq!(clock(i64::MIN).nanos(u64::MAX), None);
    }
}
