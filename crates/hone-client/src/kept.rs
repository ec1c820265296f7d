//! What of the stream arrived while a request waited for its answer. Owned by the connection, which reads it first.

use std::collections::VecDeque;

use crate::connection::Read;
use crate::error::ReaderError;

/// The parts, in the order in which they arrived.
#[derive(Debug, Default)]
pub(crate) struct Kept(VecDeque<Part>);

#[derive(Debug)]
enum Part {
    Blocks { bytes: Vec<u8>, read: usize },
    SectionEnd,
    End(String),
}

impl Kept {
    /// Bytes of blocks.
    pub(crate) fn blocks(&mut self, bytes: Vec<u8>) {
        self.0.push_back(Part::Blocks { bytes, read: 0 });
    }

    /// The end of a section.
    pub(crate) fn section_end(&mut self) {
        self.0.push_back(Part::SectionEnd);
    }

    /// The end of the stream, for this reason.
    pub(crate) fn end(&mut self, reason: &str) {
        self.0.push_back(Part::End(reason.to_owned()));
    }

    /// Reads the next of it; `None`: nothing is left.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<Result<Read, ReaderError>> {
        loop {
            match self.0.front_mut()? {
                Part::Blocks { bytes, read } => {
                    let rest = &bytes[*read..];
                    let count = rest.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    *read += count;
                    if *read == bytes.len() {
                        self.0.pop_front();
                    }
                    if count > 0 {
                        return Some(Ok(Read::Bytes(count)));
                    }
                }
                Part::SectionEnd => {
                    self.0.pop_front();
                    return Some(Ok(Read::SectionEnd));
                }
                // It stays, so that the next read returns the same error.
                Part::End(reason) => return Some(Err(ReaderError::Ended { reason: reason.clone() })),
            }
        }
    }
}
