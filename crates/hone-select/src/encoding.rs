//! A selection as text: the words as on a command line, each argument with a zero byte behind it.

use alloc::vec::Vec;
use core::str;

use crate::MAX_TEXT_BYTES;
use crate::condition::Condition;
use crate::error::{ConditionError, Excerpt, OutOfMemory, ParseError, Problem};
use crate::fallible::append;
use crate::selection::Selection;
use crate::word::Word;

/// The flag for descendants.
const CHILDREN: &str = "--children";
/// What stands before a word.
const PREFIX: &str = "--";

/// Bytes of a condition in the text form.
pub(crate) fn bytes_of(condition: &Condition) -> usize {
    PREFIX.len() + condition.word.written(condition.is_negated).len() + 1 + condition.text().len() + 1
}

impl Selection {
    /// Appends the text form, at most [`MAX_TEXT_BYTES`] and the flag's.
    ///
    /// # Errors
    /// There is no memory.
    pub fn to_text(&self, out: &mut Vec<u8>) -> Result<(), OutOfMemory> {
        for condition in self.conditions() {
            for part in [PREFIX, condition.word.written(condition.is_negated), "\0", condition.text(), "\0"] {
                append(out, part.as_bytes())?;
            }
        }
        if self.children() {
            append(out, CHILDREN.as_bytes())?;
            append(out, b"\0")?;
        }
        Ok(())
    }

    /// The selection with this text form, in which no word is of what only recordings have. What contradicts itself is not refused here: see [`check`](Self::check).
    ///
    /// # Errors
    /// [`ParseError`]: where it is not sound, and why.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let mut selection = Self::default();
        if text.len() > MAX_TEXT_BYTES + CHILDREN.len() + 1 {
            return Err(ParseError { argument: 1, problem: Problem::TooLong });
        }
        let mut arguments = Arguments { rest: text, number: 0 };
        while let Some(name) = arguments.next()? {
            if name == CHILDREN {
                selection.set_children(true);
                continue;
            }
            let unknown = || arguments.error(Problem::UnknownWord(Excerpt::of(name)));
            let (word, is_negated) = name.strip_prefix(PREFIX).and_then(Word::read).ok_or_else(unknown)?;
            let Some(value) = arguments.next()? else { return Err(arguments.error(Problem::NoValue)) };
            selection
                .add(word, is_negated, value)
                .map_err(|error: ConditionError| arguments.error(Problem::Condition(error)))?;
            if selection.needs_names() {
                return Err(arguments.error(Problem::OnlyRecorded(word)));
            }
        }
        Ok(selection)
    }
}

/// The arguments of a text form.
struct Arguments<'a> {
    rest: &'a [u8],
    /// How many there were so far.
    number: usize,
}

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Result<Option<&'a str>, ParseError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let not_text = self.error(Problem::NotText);
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(not_text)?;
        let (argument, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        str::from_utf8(argument).map(Some).map_err(|_| not_text)
    }

    fn error(&self, problem: Problem) -> ParseError {
        ParseError { argument: self.number, problem }
    }
}
