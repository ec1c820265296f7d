//! The tag at the beginning of every generated message. It identifies the sender of a recorded packet.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result};

/// The beginning of every tag.
const MAGIC: &[u8] = b"<hone ";
/// Length of a tag: `<hone PPPPPPPP NNNNNNNNNNNNNNNN>`, in hexadecimal digits.
pub(crate) const LENGTH: usize = 6 + 8 + 1 + 16 + 1;

/// Identifies one message of a run: the process that sends it, and a number that no other message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) process: u32,
    /// Begins with the time at which the sender started, so numbers differ even if a process id is reused.
    pub(crate) number: u64,
}

impl Tag {
    /// A message of at least `length` bytes: the tag, then dots.
    pub(crate) fn message(self, length: usize) -> Vec<u8> {
        let mut message = self.to_string().into_bytes();
        message.resize(length.max(LENGTH), b'.');
        message
    }

    /// The tag at the beginning of some bytes.
    pub(crate) fn at(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.get(..LENGTH)?.strip_prefix(MAGIC)?.strip_suffix(b">")?;
        std::str::from_utf8(rest).ok()?.replacen(' ', ".", 1).parse().ok()
    }

    /// All complete tags, with the offset at which each one begins.
    pub(crate) fn all(bytes: &[u8]) -> Vec<(usize, Self)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at + LENGTH <= bytes.len() {
            // Most bytes are not '<'. Searching for this byte first makes a gigabyte of data fast enough.
            let Some(next) = bytes[at..].iter().position(|byte| *byte == MAGIC[0]) else { break };
            at += next;
            match Self::at(&bytes[at..]) {
                Some(tag) => {
                    found.push((at, tag));
                    at += LENGTH;
                }
                None => at += 1,
            }
        }
        found
    }

    /// The first tag of a message that was read.
    ///
    /// # Errors
    /// There is no tag: the message is not from a generator.
    pub(crate) fn first(bytes: &[u8]) -> Result<Self> {
        let found = Self::all(bytes).first().map(|(_, tag)| *tag);
        found.with_context(|| format!("{} bytes without a tag were read", bytes.len()))
    }
}

/// The form in which the tag is sent.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<hone {:08x} {:016x}>", self.process, self.number)
    }
}

/// Parses `PROCESS.NUMBER`, the form in the file of facts.
impl FromStr for Tag {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (process, number) = text.split_once('.').context("a tag is PROCESS.NUMBER")?;
        let process = u32::from_str_radix(process, 16).with_context(|| format!("process {process:?}"))?;
        let number = u64::from_str_radix(number, 16).with_context(|| format!("number {number:?}"))?;
        Ok(Self { process, number })
    }
}

impl Tag {
    /// The form in the file of facts.
    pub(crate) fn word(self) -> String {
        format!("{:x}.{:x}", self.process, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found() {
        let tag = Tag { process: 4711, number: 0x1234_5678_9abc };
        let message = tag.message(100);
        assert_eq!(message.len(), 100);
        let twice = [&b"<hone <"[..], &message, &message[..LENGTH], &message[..LENGTH - 1]].concat();
        assert_eq!(Tag::all(&twice), [(7, tag), (107, tag)]);
        assert_eq!(tag.word().parse::<Tag>().unwrap(), tag);
        assert!(Tag::first(b"nothing").is_err());
    }
}
