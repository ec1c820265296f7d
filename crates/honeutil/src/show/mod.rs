//! `honeutil show`: augmented files and streams as text or JSON, one event a line.
//!
//! Memory is limited. Files are read twice, because `corrections` come after the packets that they correct; everything
//! else is read once. `input` opens what should be shown. `stream` splits it into PCAP-NG blocks or packets of the
//! `classic_pcap` format. Each becomes an event (`event`), with what `processes` (or `foreign`, in recordings of other
//! programs) knows of its process and what `link`
//! finds after its link layer's header. `hone-select` decides whether to show it, and `line` or `json` writes it. All output
//! is flushed before the program waits for more input, so live input flows.

mod addresses;
mod ahead;
pub(crate) mod corrections;
pub(crate) mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod input;
mod json;
pub(crate) mod line;
pub(crate) mod names;
pub mod time;

use std::io::{Read, Write};
use std::rc::Rc;

use hone_names::{Found, Noted};
pub use hone_rows::{classic_pcap, stream};
pub(crate) use hone_rows::{community_id, event, host, pktap, processes, section};
use hone_select::Selection;

use self::corrections::Corrections;
pub use self::error::ShowError;
use self::event::{Event, Packet, Shown};
use self::input::Input;
use self::json::Objects;
use self::line::Lines;
use self::names::{PacketNames, Said};
use self::stream::{FillError, Stream, StreamError};
use self::time::Span;
use crate::messages::Messages;

/// How many bytes are read at once: few enough to stay in a processor's cache until they are parsed.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;
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
    names: PacketNames,
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
            names: PacketNames::default(),
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
        corrections::collect_all(&mut self.corrections, inputs, &self.selection, &mut self.chunk);
        names::collect_all(&mut self.names, inputs, &self.selection, &mut self.chunk);
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
        self.names.next_input();
        shown.and(flushed)
    }

    fn stream(&mut self, mut bytes: impl Read, name: &str) -> Result<(), ShowError> {
        let mut stream = Stream::new(&self.selection);
        let mut notes = Notes::new(name, &self.selection);
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut offset = 0;
        let ended = loop {
            let filled = match stream.fill(&mut bytes, &mut chunk) {
                Ok(0) => break stream.finish().map_err(Stop::Stream),
                Ok(count) => {
                    offset += count as u64;
                    Ok(())
                }
                Err(FillError::Stream(error)) => Err(Stop::Stream(error)),
                Err(FillError::Input(source)) => {
                    break Err(Stop::Show(ShowError::Read { name: name.to_owned(), offset, source }));
                }
            };
            let shown =
                filled.and_then(|()| stream.drain(|shown| self.event(shown, &mut notes).map_err(Stop::Show)));
            notes.libpcap(stream.classic_link_type());
            notes.unread(&mut stream);
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
        let Said { noted, names } = &self.names.note(shown, &self.selection);
        notes.of(shown);
        notes.of_names(noted);
        if !(shown.is_selected(&self.selection, names) && self.span.contains(shown.nanos)) {
            return Ok(());
        }
        match &mut self.form {
            Form::Lines(lines) => lines.write(shown, noted, &mut self.lines),
            Form::Json(objects) => objects.write(shown, noted, &mut self.lines).map_err(ShowError::Write)?,
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
    /// Whether it was reported that a name was cut off.
    cut_off: bool,
    /// Whether it was reported that a block of another program cannot be read.
    unread: bool,
}

impl Notes {
    /// About the input of this name.
    pub(crate) fn new(name: &str, selection: &Selection) -> Self {
        Self {
            name: name.to_owned(),
            link_types: Vec::new(),
            no_processes: !selection.needs_processes(),
            cut_off: false,
            unread: false,
        }
    }

    /// The input may be a libpcap file, of this link type.
    pub(crate) fn libpcap(&mut self, link_type: Option<u32>) {
        let has_processes = link_type.is_none_or(|link_type| link_type == pktap::LINK_TYPE);
        if !has_processes && !std::mem::replace(&mut self.no_processes, true) {
            let _ = writeln!(
                Messages,
                "honeutil: {}: a libpcap file has no processes and connections: --pid, --name, --path, --user, --group, \
                 --container, --unit and --conn cannot match its packets",
                self.name
            );
        }
    }

    /// A process block of another program may have been passed over.
    pub(crate) fn unread(&mut self, stream: &mut Stream) {
        let Some(unread) = stream.take_unread() else { return };
        if !std::mem::replace(&mut self.unread, true) {
            let _ = writeln!(
                Messages,
                "honeutil: {}: {unread}. It is left out, and so are others of this kind",
                self.name
            );
        }
    }

    /// A packet may have a name that was not captured.
    pub(crate) fn of_names(&mut self, noted: &Noted<'_>) {
        if noted.found.iter().any(Found::is_cut) && !std::mem::replace(&mut self.cut_off, true) {
            let _ = writeln!(
                Messages,
                "honeutil: {}: names of some connections are missing, because their packets were cut off: record with \
                 --snap-length 0 to have them",
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
