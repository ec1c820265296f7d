//! Encodes blocks as bytes, and parses stored process events. Holds no state.

use alloc::vec::Vec;

use hone_pcapng::{Block, ByteOrder, ProcessEvent, view::BlockView};

use crate::{OutOfMemory, Packet, fallible};

/// The byte order of every block, on every machine.
pub const BYTE_ORDER: ByteOrder = ByteOrder::Little;
/// Most bytes of one option.
const OPTION_BYTES: usize = 65_535;

/// The bytes of a block, in a buffer of exactly their length.
///
/// # Errors
/// There is no memory, or the block is longer than the format allows.
pub(crate) fn encode(block: &Block<'_>) -> Result<Vec<u8>, OutOfMemory> {
    let mut bytes = fallible::vec(block.emitted_length().map_err(|_| OutOfMemory)?)?;
    block.emit(BYTE_ORDER, &mut bytes).map_err(|_| OutOfMemory)?;
    Ok(bytes)
}

/// Parses a process event from bytes that [`encode`] made.
pub(crate) fn parse_process(block: &[u8]) -> Option<ProcessEvent<'_>> {
    ProcessEvent::parse(BlockView::new(block, BYTE_ORDER).body(), BYTE_ORDER).ok()
}

/// Cuts a UTF-8 text to the length of one option, without dividing a character.
pub(crate) fn cut(text: &[u8]) -> &[u8] {
    let Some(rest) = text.get(OPTION_BYTES..) else { return text };
    if rest.is_empty() {
        return text;
    }
    let is_continued = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let end = (OPTION_BYTES - 3..=OPTION_BYTES).rev().find(|&at| !is_continued(at)).unwrap_or(OPTION_BYTES);
    &text[..end]
}

impl Packet<'_> {
    /// Bytes on the wire: the reported number, but at least the number of captured bytes.
    pub(crate) fn original_length(&self) -> u32 {
        self.original_length.max(u32::try_from(self.data.len()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = fallible::filled(b'a', OPTION_BYTES + 10).expect("there is memory");
        assert_eq!(cut(&text).len(), OPTION_BYTES);
        assert_eq!(cut(&text[..OPTION_BYTES]).len(), OPTION_BYTES);
        assert_eq!(cut(b"short"), b"short");
        text[OPTION_BYTES - 2..OPTION_BYTES + 2].copy_from_slice("\u{1F980}".as_bytes());
        assert_eq!(cut(&text).len(), OPTION_BYTES - 2);
        text.fill(0x80);
        assert_eq!(cut(&text).len(), OPTION_BYTES, "not UTF-8 at all");
    }
}
