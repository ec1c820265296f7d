//! `honeutil show`: augmented files and streams as text or JSON, one event a line.
//!
//! Memory is limited. Files are read twice, because `corrections` come after the packets that they correct; everything
//! else is read once. `input` opens what should be shown. `stream` splits it into PCAP-NG blocks or packets of the
//! `classic_pcap` format. Each becomes an event (`event`), with what `processes` knows of its process and what `link`
//! finds after its link layer's header. `hone-select` decides whether to show it, and `line` or `json` writes it. All output
//! is flushed before the program waits for more input, so live input flows.

pub mod classic_pcap;
mod community_id;
pub(crate) mod corrections;
pub(crate) mod error;
pub(crate) mod event;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod host;
pub mod input;
mod json;
mod line;
mod link;
mod processes;
pub mod stream;
pub mod time;

use std::io::{self, Read, Write};
use std::rc::Rc;

use hone_select::Selection;

use self::corrections::Corrections;
pub use self::error::ShowError;
use self::event::{Event, Packet, Shown};
use self::input::Input;
use self::json::Objects;
use self::line::Lines;
use self::stream::{Stream, StreamError};
use self::time::Span;
use crate::messages::Messages;

/// How many bytes are read at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// How many bytes are collected before they are written.
pub(crate) const OUT_BYTES: usize = 64 << 10;
/// Most link types of an input for which a message reports that they are not decoded.
const MAX_NOTES: usize = 16;

/// How events are written.
#[derive(Debug)]
enum Form {
    Lines(Lines),
    Json(Objects),
}

/// Shows one input after the other.
#[derive(Debug)]
pub struct Show<W> {
    selection: Rc<Selection>,
    span: Span,
    form: Form,
    corrections: Corrections,
    output: W,
    /// Lines not yet written.
    lines: Vec<u8>,
    chunk: Vec<u8>,
}

impl<W: Write> Show<W> {
    /// Shows what the selection admits, as JSON or as text, on `output`.
    #[must_use]
    pub fn new(selection: &Rc<Selection>, json: bool, output: W) -> Self {
        let form = if json { Form::Json(Objects::default()) } else { Form::Lines(Lines::default()) };
        Self {
            selection: Rc::clone(selection),
            span: Span::default(),
            form,
            corrections: Corrections::default(),
            output,
            lines: Vec::with_capacity(2 * OUT_BYTES),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Shows only events of this span of time.
    #[must_use]
    pub fn within(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// Shows times in lines of text as the local clock shows them.
    #[must_use]
    pub fn in_local_time(mut self) -> Self {
        if let Form::Lines(lines) = &mut self.form {
            *lines = Lines::local();
        }
        self
    }

    /// Collects the corrections of the inputs that will be shown in the same order, as far as they can be read twice.
    /// Read errors are reported later, when the inputs are shown.
    pub fn collect(&mut self, inputs: &[Input]) {
        for (index, input) in inputs.iter().enumerate() {
            self.corrections.begin(index);
            if input.is_file()
                && let Ok(bytes) = input.open()
            {
                self.collect_from(bytes);
            }
        }
        self.corrections.report_left_out();
        self.corrections.begin(0);
    }

    fn collect_from(&mut self, mut bytes: impl Read) {
        let mut stream = Stream::new(&self.selection);
        while !matches!(stream, Stream::Classic(..)) {
            let count = match bytes.read(&mut self.chunk) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let fed = stream.feed(&self.chunk[..count]);
            stream.skip_packets();
            let collected = fed.and_then(|()| {
                stream.drain(|shown| {
                    self.corrections.collect(&shown);
                    Ok::<_, StreamError>(())
                })
            });
            if collected.is_err() {
                return;
            }
        }
    }

    /// Shows an input to its end, or to the first invalid place.
    ///
    /// # Errors
    /// [`ShowError`]. Everything before the error was shown.
    pub fn show(&mut self, input: &Input) -> Result<(), ShowError> {
        let opened = input.open().map_err(|source| ShowError::Open { name: input.name(), source });
        let shown = opened.and_then(|stream| self.stream(stream, &input.name()));
        let flushed = self.flush();
        self.corrections.next_input();
        shown.and(flushed)
    }

    fn stream(&mut self, mut bytes: impl Read, name: &str) -> Result<(), ShowError> {
        let mut stream = Stream::new(&self.selection);
        let mut notes = Notes::new(name, &self.selection);
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut offset = 0;
        let ended = loop {
            let count = match bytes.read(&mut chunk) {
                Ok(0) => break stream.finish().map_err(Stop::Stream),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    break Err(Stop::Show(ShowError::Read { name: name.to_owned(), offset, source }));
                }
            };
            offset += count as u64;
            let fed = stream.feed(&chunk[..count]);
            if matches!(stream, Stream::Classic(..)) {
                notes.no_processes();
            }
            let shown = fed
                .map_err(Stop::Stream)
                .and_then(|()| stream.drain(|shown| self.event(shown, &mut notes).map_err(Stop::Show)));
            let flushed = self.flush().map_err(Stop::Show);
            if let Err(stop) = shown.and(flushed) {
                break Err(stop);
            }
        };
        self.chunk = chunk;
        ended.map_err(|stop| match stop {
            Stop::Stream(source) => ShowError::Malformed { name: name.to_owned(), source },
            Stop::Show(error) => error,
        })
    }

    /// Writes an event, if it is selected.
    fn event(&mut self, shown: Shown<'_>, notes: &mut Notes) -> Result<(), ShowError> {
        let shown = &self.corrections.apply(shown);
        notes.of(shown);
        if !(shown.is_selected(&self.selection) && self.span.contains(shown.nanos)) {
            return Ok(());
        }
        match &mut self.form {
            Form::Lines(lines) => lines.write(shown, &mut self.lines),
            Form::Json(objects) => objects.write(shown, &mut self.lines).map_err(ShowError::Write)?,
        }
        if self.lines.len() >= OUT_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ShowError> {
        let written = self.output.write_all(&self.lines).and_then(|()| self.output.flush());
        self.lines.clear();
        written.map_err(ShowError::writing)
    }
}

/// Why the loop over an input stops early.
enum Stop {
    Stream(StreamError),
    Show(ShowError),
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Messages about an input on standard error. Each is printed once.
pub(crate) struct Notes {
    name: String,
    /// Link types that were already reported as not decoded.
    link_types: Vec<u32>,
    /// Whether it was reported that the input has no processes, or this does not matter.
    no_processes: bool,
}

impl Notes {
    /// About the input of this name.
    pub(crate) fn new(name: &str, selection: &Selection) -> Self {
        Self { name: name.to_owned(), link_types: Vec::new(), no_processes: !selection.needs_processes() }
    }

    /// The input is a libpcap file.
    pub(crate) fn no_processes(&mut self) {
        if !std::mem::replace(&mut self.no_processes, true) {
            let _ = writeln!(
                Messages,
                "honeutil: {}: a libpcap file has no processes and connections: --pid, --name, --path, --user, --group, \
                 --container, --unit and --conn cannot match its packets",
                self.name
            );
        }
    }

    /// A packet may be of a link type that is not decoded.
    pub(crate) fn of(&mut self, shown: &Shown<'_>) {
        let Event::Packet(Packet { undecoded: true, link_type, .. }) = shown.event else { return };
        if self.link_types.len() < MAX_NOTES && !self.link_types.contains(&link_type) {
            self.link_types.push(link_type);
            let _ = writeln!(
                Messages,
                "honeutil: {}: link type {link_type} is not decoded: its packets have no addresses and ports, and \
                 --host, --port, --direction and --filter cannot match them",
                self.name
            );
        }
    }
}

/// The arguments in an option's value: each is followed by a zero byte, the last one perhaps not.
fn arguments(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    let none = value.is_empty();
    value.split(|byte| *byte == 0).skip(usize::from(none))
}
