//! `honeutil show`: augmented files and streams as text or JSON, one event a line.
//!
//! One pass, bounded memory: [`input`] opens what is to be shown, the format's reader parts it into blocks, each block
//! becomes an event ([`event`]) with what [`processes`] knows of its process, [`select`] decides, and [`line`] or
//! [`json`] writes. Whatever was written is out before more input is waited for, so live input flows.

mod community;
mod event;
pub mod expression;
pub mod input;
mod json;
mod line;
mod processes;
pub mod select;
mod time;

use std::io::{self, Read, Write};

use hone_pcapng::{Block, Item, ReadError, Reader};

use self::event::{Event, Shown, ip_part};
use self::input::Input;
use self::json::Objects;
use self::line::Lines;
use self::processes::Processes;
use self::select::Selection;
use crate::ip::Headers;
use crate::system::file::is_pipe_closed;

/// What is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How much is collected before it is written.
const OUT_BYTES: usize = 64 << 10;
/// Link types kept of a section, one for each interface: a bound that no recording comes near.
const MAX_INTERFACES: usize = 1 << 16;

/// Why an input was not shown, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// It cannot be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// Which.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot be read on.
    #[error("cannot read {name} after {offset} bytes: {source}")]
    Read {
        /// Which.
        name: String,
        /// What was read before, uncompressed.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// It is not sound. Everything before is shown.
    #[error("{name}: {source}")]
    Malformed {
        /// Which.
        name: String,
        /// Where and why.
        source: ReadError,
    },
    /// What is shown cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// The reader of what is shown closed it: the usual end of a pipe, nothing to tell.
    #[error("the reader closed the output")]
    Closed,
}

impl ShowError {
    /// Whether the next input is worth a try.
    #[must_use]
    pub fn is_of_input(&self) -> bool {
        !matches!(self, Self::Write(_) | Self::Closed)
    }

    fn writing(error: io::Error) -> Self {
        if is_pipe_closed(&error) { Self::Closed } else { Self::Write(error) }
    }
}

/// How events are written.
#[derive(Debug)]
enum Form {
    Lines(Lines),
    Json(Objects),
}

/// Shows one input after the other.
#[derive(Debug)]
pub struct Show<W> {
    selection: Selection,
    form: Form,
    output: W,
    /// Lines not yet written.
    lines: Vec<u8>,
    chunk: Vec<u8>,
}

impl<W: Write> Show<W> {
    /// Shows what the selection admits, as JSON or as text, on `output`.
    #[must_use]
    pub fn new(selection: Selection, json: bool, output: W) -> Self {
        let form = if json { Form::Json(Objects::default()) } else { Form::Lines(Lines::default()) };
        Self {
            selection,
            form,
            output,
            lines: Vec::with_capacity(2 * OUT_BYTES),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Shows an input to its end, or to the first place where it is not sound.
    ///
    /// # Errors
    /// [`ShowError`]; everything before is shown.
    pub fn show(&mut self, input: &Input) -> Result<(), ShowError> {
        let stream = input.open().map_err(|source| ShowError::Open { name: input.name(), source })?;
        let shown = self.stream(stream, &input.name());
        let flushed = self.flush();
        shown.and(flushed)
    }

    fn stream(&mut self, mut stream: impl Read, name: &str) -> Result<(), ShowError> {
        let mut reader = Reader::new();
        let mut section = SectionState::default();
        let mut offset = 0;
        let malformed = |source| ShowError::Malformed { name: name.to_owned(), source };
        loop {
            let count = match stream.read(&mut self.chunk) {
                Ok(0) => return reader.finish().map_err(malformed),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ShowError::Read { name: name.to_owned(), offset, source }),
            };
            offset += count as u64;
            reader.feed(&self.chunk[..count]).map_err(malformed)?;
            while let Some(item) = reader.next_block().map_err(malformed)? {
                if let Some(shown) = section.event(&item)
                    && self.selection.admits(&shown)
                {
                    match &mut self.form {
                        Form::Lines(lines) => lines.write(&shown, &mut self.lines),
                        Form::Json(objects) => {
                            objects.write(&shown, &mut self.lines).map_err(ShowError::Write)?;
                        }
                    }
                    if self.lines.len() >= OUT_BYTES {
                        self.flush()?;
                    }
                }
            }
            self.flush()?;
        }
    }

    fn flush(&mut self) -> Result<(), ShowError> {
        let written = self.output.write_all(&self.lines).and_then(|()| self.output.flush());
        self.lines.clear();
        written.map_err(ShowError::writing)
    }
}

/// What earlier blocks of a section say about later ones.
#[derive(Debug, Default)]
struct SectionState {
    processes: Processes,
    link_types: Vec<u16>,
}

impl SectionState {
    /// The event that a block is, if it is one; takes note of it.
    fn event<'a>(&'a mut self, item: &'a Item<'_>) -> Option<Shown<'a>> {
        let event = match &item.block {
            Block::Section(section) => {
                self.processes.clear();
                self.link_types.clear();
                Event::Section(section)
            }
            Block::Interface(interface) => {
                if self.link_types.len() < MAX_INTERFACES {
                    self.link_types.push(interface.link_type);
                }
                return None;
            }
            Block::Process(event) => {
                self.processes.note(event);
                Event::Process(event)
            }
            Block::Connection(event) => Event::Connection(event),
            Block::Packet(packet) => {
                let link_type = usize::try_from(packet.interface).ok().and_then(|at| self.link_types.get(at));
                let ip = link_type.map_or(&[][..], |link_type| ip_part(*link_type, &packet.data));
                Event::Packet { packet, ip, headers: Headers::parse(ip) }
            }
            Block::Statistics(statistics) => Event::Statistics(statistics),
            Block::ObsoletePacket(_) | Block::SimplePacket(_) | Block::Unknown { .. } => return None,
        };
        let mut shown = Shown { nanos: item.nanos, event, process: None };
        shown.process = shown.pid().and_then(|pid| self.processes.get(pid));
        Some(shown)
    }
}

/// The arguments in an option's value: each is followed by a zero byte, the last one perhaps not.
fn arguments(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    let none = value.is_empty();
    value.split(|byte| *byte == 0).skip(usize::from(none))
}
