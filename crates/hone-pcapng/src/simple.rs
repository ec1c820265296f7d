//! The simple packet block: a packet without time, interface or options.

use alloc::borrow::Cow;

use crate::block::SIMPLE_PACKET;
use crate::emit::{Layout, Sink, emits};
use crate::{ByteOrder, ReadErrorKind};

/// Simple packet block. Hone does not write it.
///
/// ```text
///  0            4            8                 12
/// ┌────────────┬────────────┬─────────────────┬──────┬────────┐
/// │ 0x00000003 │ length     │ original length │ data │ length │
/// └────────────┴────────────┴─────────────────┴──────┴────────┘
/// ```
///
/// From the IETF draft, section "Simple Packet Block". Its interface is the section's first one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SimplePacket<'a> {
    /// The packet's length on the network in bytes. `data` may be shorter.
    pub original_length: u32,
    /// What was captured of the packet: as much as the snap length of the section's first interface allows. The block
    /// has no field for its length, so another amount is not read back.
    pub data: Cow<'a, [u8]>,
}

impl<'a> SimplePacket<'a> {
    /// Parses a body: what is between the two lengths. `snap_length` is that of the section's first interface in bytes,
    /// 0 for none.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length.
    pub fn parse(body: &'a [u8], order: ByteOrder, snap_length: u32) -> Result<Self, ReadErrorKind> {
        let ([original_length], rest) = order.take_words(body)?;
        let captured = if snap_length == 0 { original_length } else { original_length.min(snap_length) };
        match rest.get(..captured as usize) {
            Some(data) => Ok(Self { original_length, data: Cow::Borrowed(data) }),
            None => Err(ReadErrorKind::CapturedLength { captured, available: rest.len() }),
        }
    }
}

impl Layout for SimplePacket<'_> {
    const NAME: &'static str = "simple packet";

    fn kind(&self) -> u32 {
        SIMPLE_PACKET
    }

    fn body(&self, sink: &mut impl Sink) {
        sink.words([self.original_length]);
        sink.padded([&self.data]);
    }
}

emits!(SimplePacket);
