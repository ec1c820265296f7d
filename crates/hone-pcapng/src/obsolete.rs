//! The obsolete packet block, which the enhanced packet block has replaced. Old tools wrote it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::{OBSOLETE_PACKET, padded};
use crate::emit::{Layout, Sink, emits};
use crate::option::{OptionList, Options};
use crate::order::{join, split};
use crate::{ByteOrder, RawOption, ReadErrorKind};

const FLAGS: u16 = 2;
/// The number that marks the count of dropped packets as unknown.
const UNKNOWN_DROPS: u16 = u16::MAX;

/// Obsolete packet block. Hone does not write it.
///
/// ```text
///  0            4            8           10       12           16          20         24         28
/// ┌────────────┬────────────┬───────────┬────────┬────────────┬───────────┬──────────┬──────────┬──────┬─────────┬────────┐
/// │ 0x00000002 │ length     │ interface │ drops  │ time, high │ time, low │ captured │ original │ data │ options │ length │
/// └────────────┴────────────┴───────────┴────────┴────────────┴───────────┴──────────┴──────────┴──────┴─────────┴────────┘
///   2 flags (u32)
/// ```
///
/// From the IETF draft, appendix "Packet Block (obsolete!)".
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ObsoletePacket<'a> {
    /// The interface, by its position among the section's interface descriptions.
    pub interface: u16,
    /// Packets lost between this one and the one before; `None` if it is not known, which is written as 65,535.
    pub drops: Option<u16>,
    /// When it was captured, in units of the interface.
    pub timestamp: u64,
    /// The packet's length on the network in bytes. `data` may be shorter.
    pub original_length: u32,
    /// What was captured of the packet.
    pub data: Cow<'a, [u8]>,
    /// `pack_flags`; bits 0-1 are the direction: 1 inbound, 2 outbound.
    pub flags: Option<u32>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> ObsoletePacket<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([place, high, low, captured, original_length], rest) = order.take_words(body)?;
        let (interface, drops) = order.unpair(place);
        let length = captured as usize;
        let Some((data, options)) = rest.split_at_checked(padded(length)) else {
            return Err(ReadErrorKind::CapturedLength { captured, available: rest.len() });
        };
        let mut packet = Self {
            interface,
            drops: Some(drops).filter(|drops| *drops != UNKNOWN_DROPS),
            timestamp: join(high, low),
            original_length,
            data: Cow::Borrowed(&data[..length]),
            ..Self::default()
        };
        for option in Options::new(options, body, order) {
            let option = option?;
            match option.code {
                FLAGS if packet.flags.is_none() => packet.flags = Some(option.u32()?),
                _ => option.keep(&mut packet.other)?,
            }
        }
        Ok(packet)
    }
}

impl Layout for ObsoletePacket<'_> {
    const NAME: &'static str = "obsolete packet";

    fn kind(&self) -> u32 {
        OBSOLETE_PACKET
    }

    fn body(&self, sink: &mut impl Sink) {
        let [high, low] = split(self.timestamp);
        // A length beyond 32 bits is beyond the longest block too, so it is never written.
        let captured = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        let place = sink.order().pair(self.interface, self.drops.unwrap_or(UNKNOWN_DROPS));
        sink.words([place, high, low, captured, self.original_length]);
        sink.padded([&self.data]);
        let mut options = OptionList::new(sink);
        options.u32(FLAGS, self.flags);
        options.finish(&self.other);
    }
}

emits!(ObsoletePacket);
