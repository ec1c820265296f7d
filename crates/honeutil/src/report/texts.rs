//! The texts of a report, each once: columns name them by number.

use std::collections::HashMap;

use super::columns::Column;
use crate::text::printable;

/// Most bytes of all texts.
const MAX_BYTES: usize = 32 << 20;
/// Most characters of one text.
pub(super) const MAX_TEXT: usize = 2048;
/// What stands for a text that has no room.
const NO_ROOM: &str = "(no room for more texts)";

/// The texts. Number 0 is empty.
#[derive(Debug)]
pub(super) struct Texts {
    numbers: HashMap<Box<str>, u32>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    max_bytes: usize,
    /// Whether a text had no room.
    pub(super) is_full: bool,
}

impl Default for Texts {
    fn default() -> Self {
        let numbers = HashMap::from([("".into(), 0), (NO_ROOM.into(), 1)]);
        let end = u32::try_from(NO_ROOM.len()).unwrap_or(0);
        Self { numbers, bytes: NO_ROOM.into(), ends: vec![0, end], max_bytes: MAX_BYTES, is_full: false }
    }
}

impl Texts {
    /// The number of a text that others chose. What does not print, or changes how others print, is escaped; so nothing of
    /// it has an effect on the page.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let shown = printable(text, MAX_TEXT);
        if shown != text {
            return self.insert(&shown);
        }
        self.insert(text)
    }

    /// The same; 0 if there is none.
    pub(super) fn maybe(&mut self, text: Option<&str>) -> u32 {
        text.map_or(0, |text| self.number(text))
    }

    fn insert(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let end = self.bytes.len() + text.len();
        let (Ok(number), Ok(end)) = (u32::try_from(self.ends.len()), u32::try_from(end)) else { return 1 };
        if self.bytes.len() + text.len() > self.max_bytes {
            self.is_full = true;
            return 1;
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(end);
        self.numbers.insert(text.into(), number);
        number
    }

    /// The columns that have them.
    pub(super) fn columns(&self) -> [(&'static str, &dyn Column); 2] {
        [("strings", &self.bytes), ("string_ends", &self.ends)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_there_once_and_none_has_an_effect() {
        let mut texts = Texts::default();
        assert_eq!(texts.number(""), 0);
        let curl = texts.number("curl");
        let hostile = texts.number("a\u{202e}b\u{2028}\x1b");
        assert_eq!(texts.number("curl"), curl);
        assert_eq!(texts.number("a\u{202e}b\u{2028}\x1b"), hostile);
        assert_eq!(texts.bytes, format!("{NO_ROOM}curl{}", r"a\u{202e}b\u{2028}\u{1b}").as_bytes());
        assert!(!texts.is_full);
    }

    #[test]
    fn there_is_a_bound() {
        let mut texts = Texts { max_bytes: 100, ..Texts::default() };
        let numbers: Vec<_> = (0..100).map(|number| texts.number(&format!("text {number}"))).collect();
        assert!(texts.is_full && texts.bytes.len() <= 100);
        assert_eq!(numbers[99], 1);
        assert_ne!(numbers[0], 1);
    }
}
