//! A block's frame, where a stream is read: its type, its two lengths, and a section header's byte order.

use crate::block::{FRAME_LENGTH, SECTION, TRAILER_LENGTH};
use crate::section::{BYTE_ORDER_MAGIC, BYTE_ORDER_MAGIC_OFFSET};
use crate::{ByteOrder, ReadErrorKind};

/// Where a block's first length is, in bytes from its beginning.
pub(crate) const LENGTH_OFFSET: usize = 4;

/// A frame that is sound, of a block that is there to its end.
pub(crate) struct Frame {
    pub(crate) kind: u32,
    pub(crate) length: usize,
    pub(crate) order: ByteOrder,
}

/// Checks the frame of the block at the start of `bytes`, as early as they allow: a bad length is an error before anything
/// is buffered for it. `section`: the byte order of the section it is in, if there is one.
pub(crate) fn read(
    bytes: &[u8],
    section: Option<ByteOrder>,
    limit: u32,
) -> Result<Option<Frame>, ReadErrorKind> {
    let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).copied();
    let Some(kind) = word(0) else { return Ok(None) };
    let order = if kind == SECTION.to_le_bytes() {
        let Some(magic) = word(BYTE_ORDER_MAGIC_OFFSET) else { return Ok(None) };
        if magic == BYTE_ORDER_MAGIC.to_le_bytes() {
            ByteOrder::Little
        } else if magic == BYTE_ORDER_MAGIC.to_be_bytes() {
            ByteOrder::Big
        } else {
            return Err(ReadErrorKind::ByteOrderMagic(u32::from_le_bytes(magic)));
        }
    } else {
        section.ok_or(ReadErrorKind::NoSection)?
    };

    let Some(leading) = word(LENGTH_OFFSET) else { return Ok(None) };
    let leading = order.word(leading);
    let length = leading as usize;
    if length < FRAME_LENGTH || !length.is_multiple_of(4) {
        return Err(ReadErrorKind::Length(leading));
    }
    if leading > limit {
        return Err(ReadErrorKind::OverLimit { length: leading, limit });
    }
    let Some(trailing) = word(length - TRAILER_LENGTH) else { return Ok(None) };
    let trailing = order.word(trailing);
    if trailing != leading {
        return Err(ReadErrorKind::LengthsDiffer { leading, trailing });
    }
    Ok(Some(Frame { kind: order.word(kind), length, order }))
}
