//! Emission. A block describes its body once, in [`Layout::body`]; the description is run twice, first into a
//! [`Measure`] that adds up the length and finds what is too long, then into a [`Writer`] that cannot fail, because the
//! memory is there and the lengths are known to fit. So the length and the bytes cannot disagree, and an error leaves
//! the output untouched.

use alloc::vec::Vec;

use crate::block::{FRAME_LENGTH, MAX_LENGTH, padded};
use crate::memory::extend_reserved;
use crate::{ByteOrder, EmitError};

/// A block that can say what its bytes are.
pub(crate) trait Layout {
    /// What the block is called in an error.
    const NAME: &'static str;

    /// The block's type code.
    fn kind(&self) -> u32;

    /// Describes the body: what is between the two lengths.
    fn body(&self, sink: &mut impl Sink);
}

/// Takes the description of a body.
pub(crate) trait Sink {
    fn order(&self) -> ByteOrder;

    /// Consecutive words.
    fn words<const N: usize>(&mut self, words: [u32; N]);

    /// One byte string, given in parts, then zeros up to a multiple of 4.
    fn padded<const N: usize>(&mut self, parts: [&[u8]; N]);

    /// The block cannot be emitted. The description goes on; the first error counts.
    fn fail(&mut self, error: EmitError);
}

/// Emits one whole block, or leaves `out` as it was.
#[inline]
pub(crate) fn emit<L: Layout>(block: &L, order: ByteOrder, out: &mut Vec<u8>) -> Result<(), EmitError> {
    emit_measured(block, measure(block)?, order, out)
}

/// Emits one whole block of this length, as [`measure`] has found it.
#[inline]
pub(crate) fn emit_measured<L: Layout>(
    block: &L,
    length: u32,
    order: ByteOrder,
    out: &mut Vec<u8>,
) -> Result<(), EmitError> {
    out.try_reserve(length as usize).map_err(|_| EmitError::OutOfMemory)?;
    // The order is a constant of each call, so that it costs one branch a block and not one a word.
    match order {
        ByteOrder::Little => write(block, length, Writer::<false>(out)),
        ByteOrder::Big => write(block, length, Writer::<true>(out)),
    }
    Ok(())
}

/// The length of the whole block in bytes.
#[inline]
pub(crate) fn measure<L: Layout>(block: &L) -> Result<u32, EmitError> {
    let mut measure = Measure { length: FRAME_LENGTH, error: None };
    block.body(&mut measure);
    match (measure.error, u32::try_from(measure.length)) {
        (Some(error), _) => Err(error),
        (None, Ok(length)) if length <= MAX_LENGTH => Ok(length),
        _ => Err(EmitError::TooLong { what: L::NAME }),
    }
}

#[inline]
fn write<L: Layout, const BIG: bool>(block: &L, length: u32, mut writer: Writer<'_, BIG>) {
    let start = writer.0.len();
    writer.words([block.kind(), length]);
    block.body(&mut writer);
    writer.words([length]);
    debug_assert_eq!(writer.0.len() - start, length as usize, "both passes describe the same bytes");
}

struct Measure {
    length: usize,
    error: Option<EmitError>,
}

impl Sink for Measure {
    fn order(&self) -> ByteOrder {
        ByteOrder::NATIVE
    }

    #[inline]
    fn words<const N: usize>(&mut self, _: [u32; N]) {
        self.length = self.length.saturating_add(4 * N);
    }

    #[inline]
    fn padded<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        self.length = self.length.saturating_add(padded(length));
    }

    fn fail(&mut self, error: EmitError) {
        self.error.get_or_insert(error);
    }
}

/// Appends within capacity that has been reserved.
struct Writer<'o, const BIG: bool>(&'o mut Vec<u8>);

impl<const BIG: bool> Sink for Writer<'_, BIG> {
    #[inline]
    fn order(&self) -> ByteOrder {
        if BIG { ByteOrder::Big } else { ByteOrder::Little }
    }

    #[inline]
    fn words<const N: usize>(&mut self, words: [u32; N]) {
        let order = self.order();
        extend_reserved(self.0, words.map(|word| order.bytes(word)).as_flattened());
    }

    #[inline]
    fn padded<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let mut length = 0;
        for part in parts {
            extend_reserved(self.0, part);
            length += part.len();
        }
        extend_reserved(self.0, &[0; 3][..padded(length) - length]);
    }

    fn fail(&mut self, error: EmitError) {
        debug_assert!(false, "the first pass has found every error: {error}");
    }
}

/// Implements the public `emit` for a block type.
macro_rules! emits {
    ($block:ident) => {
        impl $block<'_> {
            /// Appends the whole block to `out`.
            ///
            /// # Errors
            /// [`EmitError`](crate::EmitError): a part is too long, or there is no memory. `out` is then as it was.
            #[inline]
            pub fn emit(
                &self,
                order: crate::ByteOrder,
                out: &mut alloc::vec::Vec<u8>,
            ) -> Result<(), crate::EmitError> {
                crate::emit::emit(self, order, out)
            }

            /// The bytes that [`emit`](Self::emit) would append.
            ///
            /// # Errors
            /// [`EmitError`](crate::EmitError), as `emit` would return it, but for the lack of memory.
            #[inline]
            pub fn emitted_length(&self) -> Result<usize, crate::EmitError> {
                crate::emit::measure(self).map(|length| length as usize)
            }
        }
    };
}
pub(crate) use emits;
