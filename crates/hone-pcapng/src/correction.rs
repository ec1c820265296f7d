//! A correction: what was recorded of earlier packets and has turned out to be wrong.
//!
//! The owner of an inbound packet is known when a process reads it from the socket, which can be long after the packet
//! was recorded. That another program has dropped a packet is known right afterwards. If the packet has already left
//! the recorder by then, a connection event of the kind [`Correction`](crate::ConnectionEventKind::Correction) states
//! the right owner.

use alloc::vec::Vec;

use crate::emit::Sink;
use crate::memory::push;
use crate::option::{OptionList, ParsedOption};
use crate::{Direction, How, RawOption, ReadErrorKind, attribution, packet};

const DIRECTION: u16 = 3;
const BYTES: u16 = 4;
const TIME: u16 = 5;
const HOW: u16 = 6;

/// Which packets of the event's connection are corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// Packets whose first byte of TCP payload has a sequence number from `from` on and before `to`, modulo 2^32 (RFC
    /// 9293, section 3.4). A packet without payload is never among them.
    Bytes {
        /// The first byte.
        from: u32,
        /// The byte behind the last.
        to: u32,
    },
    /// Those with exactly this time, in units of the section's interface 0.
    Time(u64),
}

impl Corrected {
    /// Whether a packet is one of them: its time, and the sequence number of its first byte of TCP payload, if it has
    /// one.
    #[must_use]
    pub fn includes(self, timestamp: u64, first_byte: Option<u32>) -> bool {
        match self {
            Self::Time(time) => time == timestamp,
            Self::Bytes { from, to } => {
                first_byte.is_some_and(|byte| byte.wrapping_sub(from) < to.wrapping_sub(from))
            }
        }
    }
}

/// What a connection event of the kind [`Correction`](crate::ConnectionEventKind::Correction) says besides the
/// connection and the process. The process is the right one of these packets, as it is at the event's place in the
/// stream; where `how` says why there is none, there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Which packets.
    pub packets: Corrected,
    /// Which way they go.
    pub direction: Direction,
    /// How their process is known, or why they have none. `None` where a later version wrote a code that this one does
    /// not know; the code is then among the event's other options.
    pub how: Option<How>,
}

/// The options of a correction that is being parsed.
#[derive(Default)]
pub(crate) struct Parsing<'a> {
    direction: Option<u32>,
    packets: Option<Corrected>,
    how: Option<How>,
    /// In case it is none.
    seen: Vec<RawOption<'a>>,
}

impl<'a> Parsing<'a> {
    /// Takes in an option of a correction; one that is not known, or is repeated, goes to `other`.
    pub(crate) fn option(
        &mut self,
        option: ParsedOption<'a>,
        other: &mut Vec<RawOption<'a>>,
    ) -> Result<(), ReadErrorKind> {
        match option.code {
            DIRECTION if self.direction.is_none() => self.direction = Some(option.u32()?),
            BYTES if self.packets.is_none() => {
                let [from, to] = option.words()?;
                self.packets = Some(Corrected::Bytes { from, to });
            }
            TIME if self.packets.is_none() => self.packets = Some(Corrected::Time(option.time()?)),
            HOW if self.how.is_none() && attribution::from_code(option.u8()?).is_some() => {
                self.how = attribution::from_code(option.u8()?);
            }
            _ => return option.keep(other),
        }
        option.keep(&mut self.seen)
    }

    /// The correction; without the packets that are corrected there is none, and its options go to `other`.
    pub(crate) fn finish(self, other: &mut Vec<RawOption<'a>>) -> Result<Option<Correction>, ReadErrorKind> {
        let Self { direction, packets, how, seen } = self;
        match packets {
            Some(packets) => {
                let outbound = direction == Some(packet::direction_flags(Direction::Outbound));
                let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
                Ok(Some(Correction { packets, direction, how }))
            }
            None => {
                seen.into_iter().try_for_each(|option| push(other, option))?;
                Ok(None)
            }
        }
    }
}

impl Correction {
    /// Whether the packets have a process: the event's. Not known of a `how` that a later version wrote: they have.
    #[must_use]
    pub fn has_process(&self) -> bool {
        self.how.is_none_or(|how| how.is_ok())
    }

    pub(crate) fn emit(self, options: &mut OptionList<'_, impl Sink>) {
        options.u32(DIRECTION, Some(packet::direction_flags(self.direction)));
        match self.packets {
            Corrected::Bytes { from, to } => options.two_words(BYTES, [from, to]),
            Corrected::Time(time) => options.time(TIME, Some(time)),
        }
        options.u8(HOW, self.how.map(attribution::code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_modulo_2_to_the_32() {
        let across = Corrected::Bytes { from: u32::MAX - 1, to: 2 };
        let found = [u32::MAX - 2, u32::MAX - 1, 0, 1, 2].map(|byte| across.includes(9, Some(byte)));
        assert_eq!(found, [false, true, true, true, false]);
        assert!(!across.includes(9, None), "a packet without payload");
        assert!(!Corrected::Bytes { from: 5, to: 5 }.includes(9, Some(5)), "no bytes");
        assert!(Corrected::Time(9).includes(9, None) && !Corrected::Time(9).includes(8, Some(9)));
    }
}
