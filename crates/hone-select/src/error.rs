//! What is wrong with a selection. No error takes memory.

use core::{fmt, str};

use crate::expression::ExpressionError;
use crate::network::NetworkError;
use crate::word::Word;
use crate::{MAX_CONDITIONS, MAX_TEXT_BYTES};

/// There is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no memory")
    }
}

impl core::error::Error for OutOfMemory {}

impl From<alloc::collections::TryReserveError> for OutOfMemory {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self
    }
}

/// The beginning of a text from outside, for messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Self::MOST],
    length: usize,
    is_cut: bool,
}

impl Excerpt {
    /// Most bytes of it.
    const MOST: usize = 40;

    /// As much of the text as there is room for.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let length = text.floor_char_boundary(Self::MOST);
        let mut bytes = [0; Self::MOST];
        for (to, from) in bytes.iter_mut().zip(text.as_bytes().iter().take(length)) {
            *to = *from;
        }
        Self { bytes, length, is_cut: length < text.len() }
    }

    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn end(&self) -> &'static str {
        if self.is_cut { ".." } else { "" }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text().escape_debug(), self.end())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.text(), self.end())
    }
}

/// Why a condition is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionError {
    /// The value is not one of the word; what it must be.
    Value(&'static str),
    /// The value is no address or network.
    Network(NetworkError),
    /// A backslash in the value begins as an escape, but is none.
    Escape {
        /// Which character it is, from 1 on.
        at: usize,
    },
    /// The value is an expression that has no meaning.
    Expression(ExpressionError),
    /// The selection has [`MAX_CONDITIONS`] already.
    TooMany,
    /// The selection's text form would have more than [`MAX_TEXT_BYTES`].
    TooLong,
    /// There is no memory.
    OutOfMemory,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(must) => f.write_str(must),
            Self::Network(error) => error.fmt(f),
            Self::Escape { at } => write!(
                f,
                r"the backslash at character {at} begins no escape: write \\ for a backslash, \xHH for a byte, \u{{HEX}} for a character"
            ),
            Self::Expression(error) => error.fmt(f),
            Self::TooMany => write!(f, "a selection has at most {MAX_CONDITIONS} conditions"),
            Self::TooLong => write!(f, "the values of a selection are longer than {MAX_TEXT_BYTES} bytes"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for ConditionError {}

impl From<OutOfMemory> for ConditionError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<ExpressionError> for ConditionError {
    fn from(error: ExpressionError) -> Self {
        match error {
            ExpressionError::OutOfMemory => Self::OutOfMemory,
            error => Self::Expression(error),
        }
    }
}

/// Why a selection matches nothing, or not what it seems to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// A value is wanted and unwanted.
    Both {
        /// Of which word.
        word: Word,
        /// The value that is wanted.
        wanted: Excerpt,
        /// The value that leaves it out.
        unwanted: Excerpt,
    },
    /// Children are wanted, but no word of a process is given.
    ChildrenOfNone,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both { word, wanted, unwanted } => {
                write!(
                    f,
                    "--{} {wanted:?} can match nothing, because --{} {unwanted:?} leaves it out",
                    word.name(),
                    word.opposite()
                )
            }
            Self::ChildrenOfNone => {
                f.write_str("--children needs a word that selects processes: ")?;
                for (index, word) in Word::ALL.into_iter().filter(|word| word.is_of_process()).enumerate() {
                    write!(f, "{}--{}", if index == 0 { "" } else { ", " }, word.name())?;
                }
                Ok(())
            }
        }
    }
}

impl core::error::Error for Contradiction {}

/// What is wrong with an argument of a selection's text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The text has more than [`MAX_TEXT_BYTES`].
    TooLong,
    /// It does not end with a zero byte, or is not UTF-8.
    NotText,
    /// No word is called so.
    UnknownWord(Excerpt),
    /// What the word compares is only known of recordings, not while packets are recorded.
    OnlyRecorded(Word),
    /// The word's value is missing.
    NoValue,
    /// The value.
    Condition(ConditionError),
}

/// Why a selection's text form is refused: the place, and what is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Which argument, from 1 on.
    pub argument: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

impl ParseError {
    /// Whether the text may be sound, but there was no memory for the selection.
    #[must_use]
    pub const fn is_out_of_memory(&self) -> bool {
        matches!(self.problem, Problem::Condition(ConditionError::OutOfMemory))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument {} of the selection: ", self.argument)?;
        match &self.problem {
            Problem::TooLong => ConditionError::TooLong.fmt(f),
            Problem::NotText => f.write_str("it is not text with a zero byte at its end"),
            Problem::UnknownWord(word) => write!(f, "{word:?} is not a word to select with"),
            Problem::OnlyRecorded(word) => write!(
                f,
                "{} selects in recordings only: names are found after packets were recorded",
                if *word == Word::Domain { "--domain" } else { "domain in --filter" }
            ),
            Problem::NoValue => f.write_str("its value is missing"),
            Problem::Condition(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn an_excerpt_is_short_and_safe_to_print() {
        assert_eq!(format!("{:?}", Excerpt::of("a\x1b")), r#""a\u{1b}""#);
        assert_eq!(Excerpt::of(&"é".repeat(50)).to_string(), "é".repeat(20) + "..");
    }
}
