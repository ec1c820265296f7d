//! Views: blocks looked at where they lie, without parsing all of each. For who carries many blocks and looks at few fields.
//!
//! [`blocks`] walks a stream, [`BlockView::packet`] has what is wanted of every packet, [`Trimmed`] is a block as it reads
//! with a shorter snap length. Nothing here takes memory.

mod packet;
mod trim;

use crate::block::{BODY_OFFSET, CONNECTION, FRAME_LENGTH, MAX_LENGTH, PACKET, TRAILER_LENGTH};
use crate::frame;
use crate::{ByteOrder, ConnectionEvent, Correction, Dialect, ReadErrorKind};

pub use packet::PacketView;
pub use trim::Trimmed;

/// The shortest block of a correction: a connection event with options for kind, direction and packets. Other
/// connection events are shorter, so the length alone distinguishes most of them.
const MIN_CORRECTION: usize = 60;

/// The bytes of a block, frame included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockView<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl<'a> BlockView<'a> {
    /// A view of `bytes`, which are one whole block. If they are not, the view returns less, never a panic.
    #[must_use]
    pub const fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { bytes, order }
    }

    /// The block at the start of `bytes`, in a section of this byte order; a section header has its own. `None` until
    /// more bytes are there.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: no block of at most [`MAX_LENGTH`] begins so. Its body is not looked at.
    pub fn first(bytes: &'a [u8], section: Option<ByteOrder>) -> Result<Option<Self>, ReadErrorKind> {
        let frame = frame::read(bytes, section, MAX_LENGTH)?;
        Ok(frame.map(|frame| Self::new(&bytes[..frame.length], frame.order)))
    }

    /// All bytes of the block.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The block's type code; 0 if it is cut off before.
    #[must_use]
    pub fn kind(self) -> u32 {
        self.order.word_at(self.bytes, 0).unwrap_or(0)
    }

    /// The body: what is between the two lengths, as the `parse` of each block type takes it.
    #[must_use]
    pub fn body(self) -> &'a [u8] {
        self.bytes.get(BODY_OFFSET..self.bytes.len().saturating_sub(TRAILER_LENGTH)).unwrap_or_default()
    }

    /// The packet that the block is; `None` if it is none, or not sound.
    #[must_use]
    pub fn packet(self) -> Option<PacketView<'a>> {
        if self.kind() == PACKET { PacketView::read(self.body(), self.order) } else { None }
    }

    /// The correction that the block is, and the connection event that says it; `None` if it is none.
    #[must_use]
    pub fn correction(self) -> Option<(ConnectionEvent<'a>, Correction)> {
        if self.bytes.len() < MIN_CORRECTION {
            return None;
        }
        let event = self.connection()?;
        event.correction.map(|correction| (event, correction))
    }

    /// The connection event that the block is; `None` if it is none, or not sound.
    #[must_use]
    pub fn connection(self) -> Option<ConnectionEvent<'a>> {
        if self.kind() != CONNECTION {
            return None;
        }
        let dialect = ConnectionEvent::dialect(self.body(), self.order).unwrap_or(Dialect::Narrow);
        ConnectionEvent::parse(self.body(), self.order, dialect).ok()
    }
}

/// The whole blocks at the start of `bytes`, in order. Their lengths are trusted: for a stream that was read soundly
/// before, or comes from its maker.
pub fn blocks(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = BlockView<'_>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let length = usize::try_from(order.word_at(rest, frame::LENGTH_OFFSET)?).ok()?;
        let (block, after) = rest.split_at_checked(length).filter(|_| length >= FRAME_LENGTH)?;
        rest = after;
        Some(BlockView::new(block, order))
    })
}

/// How many bytes the whole blocks at the start of `bytes` take.
#[must_use]
pub fn whole(bytes: &[u8], order: ByteOrder) -> usize {
    blocks(bytes, order).map(|block| block.bytes().len()).sum()
}
