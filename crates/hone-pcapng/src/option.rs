//! Options: how a block's list of them is walked and how it is emitted.
//!
//! ```text
//!  0        2        4                    4+length    padded to 4
//! ┌────────┬────────┬────────────────────┬───────────┐
//! │ code   │ length │ value              │ zeros     │ ... │ 0 │ 0 │  end of options
//! └────────┴────────┴────────────────────┴───────────┘
//! ```
//!
//! From the IETF draft, section "Options". The list may be empty, and a reader must not count on its end being marked.
//! This crate marks the end if and only if there are options.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::padded;
use crate::emit::Sink;
use crate::memory::push;
use crate::order::{join, split};
use crate::{ByteOrder, EmitError, ReadErrorKind};

/// Ends the list of options.
const END: u16 = 0;
/// What one option of a longer value holds at most: the largest multiple of 4 that a 16-bit length can say.
const PART_LENGTH: usize = 65_532;

/// An option that the block type has no field for: a comment (code 1), an unknown one, or the second of a kind that
/// should come once. A block keeps them in their order and emits them after its own.
#[derive(Debug, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// What the value means in this type of block. Not 0, which ends the list.
    pub code: u16,
    /// At most 65,535 bytes, in the byte order of the section.
    pub value: Cow<'a, [u8]>,
}

/// Whether an option of this code was kept. Then the block's own field must be written even if it has its default
/// value; otherwise the kept option would be read in its place.
pub(crate) fn is_kept(other: &[RawOption<'_>], code: u16) -> bool {
    other.iter().any(|option| option.code == code)
}

/// One option of a body that is being parsed.
#[derive(Clone, Copy)]
pub(crate) struct ParsedOption<'a> {
    pub(crate) code: u16,
    pub(crate) value: &'a [u8],
    order: ByteOrder,
    at: usize,
}

impl<'a> ParsedOption<'a> {
    pub(crate) fn bytes(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self.value)
    }

    pub(crate) fn u8(self) -> Result<u8, ReadErrorKind> {
        match self.value {
            &[value] => Ok(value),
            _ => Err(self.wrong_length()),
        }
    }

    pub(crate) fn u32(self) -> Result<u32, ReadErrorKind> {
        self.words().map(|[value]| value)
    }

    pub(crate) fn u64(self) -> Result<u64, ReadErrorKind> {
        self.words().map(|words| self.order.unwide(words))
    }

    pub(crate) fn time(self) -> Result<u64, ReadErrorKind> {
        self.words().map(|[high, low]| join(high, low))
    }

    /// Keeps an option that the block has no field for.
    pub(crate) fn keep(self, other: &mut Vec<RawOption<'a>>) -> Result<(), ReadErrorKind> {
        push(other, RawOption { code: self.code, value: self.bytes() })
    }

    pub(crate) fn wrong_length(self) -> ReadErrorKind {
        ReadErrorKind::OptionLength { code: self.code, at: self.at, length: self.value.len() }
    }

    pub(crate) fn words<const N: usize>(self) -> Result<[u32; N], ReadErrorKind> {
        match self.order.take_words(self.value) {
            Ok((words, [])) => Ok(words),
            _ => Err(self.wrong_length()),
        }
    }
}

/// Walks a list of options. Ends at the end of the bytes, at an end-of-options, or after the first error.
#[derive(Clone)]
pub(crate) struct Options<'a> {
    rest: &'a [u8],
    order: ByteOrder,
    /// Where the block ends, in bytes from its beginning, its trailing length not counted.
    end: usize,
    /// Bytes follow the end-of-options.
    surplus: bool,
}

impl<'a> Options<'a> {
    /// The options in `rest`, the last part of `body`.
    pub(crate) fn new(rest: &'a [u8], body: &[u8], order: ByteOrder) -> Self {
        Self { rest, order, end: crate::block::BODY_OFFSET + body.len(), surplus: false }
    }

    /// Whether the list is sound and ends where the body ends.
    pub(crate) fn fills_body(mut self) -> bool {
        self.by_ref().all(|option| option.is_ok()) && !self.surplus
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<ParsedOption<'a>, ReadErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let at = self.end - rest.len();
        let Ok(([header], rest)) = self.order.take_words(rest) else {
            return Some(Err(ReadErrorKind::OptionOverrun { code: END, at }));
        };
        let (code, length) = self.order.unpair(header);
        if code == END {
            self.surplus = length != 0 || !rest.is_empty();
            return None;
        }
        let length = usize::from(length);
        let Some((value, rest)) = rest.split_at_checked(padded(length)) else {
            return Some(Err(ReadErrorKind::OptionOverrun { code, at }));
        };
        self.rest = rest;
        Some(Ok(ParsedOption { code, value: &value[..length], order: self.order, at }))
    }
}

/// Emits a list of options; an absent value is an absent option.
pub(crate) struct OptionList<'s, S> {
    sink: &'s mut S,
    any: bool,
}

impl<'s, S: Sink> OptionList<'s, S> {
    pub(crate) fn new(sink: &'s mut S) -> Self {
        Self { sink, any: false }
    }

    #[inline]
    pub(crate) fn u8(&mut self, code: u16, value: Option<u8>) {
        if let Some(value) = value {
            self.any = true;
            let order = self.sink.order();
            self.sink.words([order.pair(code, 1), order.first_byte(value)]);
        }
    }

    #[inline]
    pub(crate) fn u32(&mut self, code: u16, value: Option<u32>) {
        if let Some(value) = value {
            self.any = true;
            self.sink.words([self.sink.order().pair(code, 4), value]);
        }
    }

    #[inline]
    pub(crate) fn u64(&mut self, code: u16, value: Option<u64>) {
        if let Some(value) = value {
            let order = self.sink.order();
            self.two_words(code, order.wide(value));
        }
    }

    pub(crate) fn time(&mut self, code: u16, value: Option<u64>) {
        if let Some(value) = value {
            self.two_words(code, split(value));
        }
    }

    /// A value in one option. `what` names it in an error.
    pub(crate) fn bytes(&mut self, code: u16, what: &'static str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.parts(code, what, [value]);
        }
    }

    /// Emits one option with a value in several parts.
    pub(crate) fn parts<const N: usize>(&mut self, code: u16, what: &'static str, parts: [&[u8]; N]) {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let Ok(length) = u16::try_from(length) else {
            return self.sink.fail(EmitError::TooLong { what });
        };
        self.any = true;
        self.sink.words([self.sink.order().pair(code, length)]);
        self.sink.padded(parts);
    }

    /// A value in as many options of the same code as it takes. The empty value takes one.
    pub(crate) fn repeated(&mut self, code: u16, value: Option<&[u8]>) {
        let Some(mut rest) = value else { return };
        loop {
            let (part, following) = rest.split_at(rest.len().min(PART_LENGTH));
            self.parts(code, "part of an option", [part]);
            rest = following;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The options kept for which there is no field, and the end of the list.
    #[inline]
    pub(crate) fn finish(mut self, other: &[RawOption<'_>]) {
        for option in other {
            if option.code == END {
                self.sink.fail(EmitError::EndOfOptions);
            }
            self.bytes(option.code, "option", Some(&option.value));
        }
        if self.any {
            self.sink.words([self.sink.order().pair(END, 0)]);
        }
    }

    #[inline]
    pub(crate) fn two_words(&mut self, code: u16, [first, second]: [u32; 2]) {
        self.any = true;
        self.sink.words([self.sink.order().pair(code, 8), first, second]);
    }
}
