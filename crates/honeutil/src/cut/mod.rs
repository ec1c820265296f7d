//! `honeutil show -w`: cuts the selected packets out of recordings, and joins several into one.
//!
//! `parts` finds out in which order the inputs go into the output; `part` reads them. `show` selects the packets, with
//! the same corrections as if it showed them, `reduce` finds what else they need, and `file` is where it is written.

mod file;
#[doc(hidden)]
pub mod fuzzing;
mod part;
mod parts;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::rc::Rc;

use hone_pcapng::view::BlockView;
use hone_pcapng::{Block, ByteOrder, Interface, Packet, Resolution};
use hone_select::Selection;

#[cfg(target_os = "linux")]
pub(crate) use self::file::is_compressed;
pub use self::file::{CutFile, FileError};
use self::part::Reading;
use self::parts::{Group, Part};
use crate::messages::Messages;
use crate::platform::file::FileId;
pub use crate::reduce::Counts;
use crate::reduce::{Lane, Reduce};
use crate::show::corrections::{self, Corrections};
use crate::show::event::Shown;
use crate::show::input::Input;
use crate::show::names::{self, PacketNames, Said};
use crate::show::stream::Source;
use crate::show::time::Span;
use crate::show::{Notes, OUT_BYTES, ShowError};

/// Why an input, or all of it, was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// An input cannot be read to its end.
    #[error(transparent)]
    Input(#[from] ShowError),
    /// The output cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The inputs cannot be joined.
    #[error("the inputs have more than {} parts of different hosts: join fewer at once", parts::MAX_PARTS)]
    TooManyParts,
    /// Two inputs are the same file.
    #[error("{first} and {second} are the same file, whose packets would be written twice: name it once")]
    SameFile {
        /// The earlier input, as it was named.
        first: String,
        /// The later one.
        second: String,
    },
}

/// What is cut out of the inputs.
#[derive(Debug)]
pub struct Cut<'a> {
    inputs: &'a [Input],
    wanted: Wanted<'a>,
    reduce: Reduce,
    file: CutFile,
    /// Blocks that are not yet written.
    out: Vec<u8>,
}

/// What is selected.
#[derive(Debug)]
struct Wanted<'a> {
    selection: &'a Rc<Selection>,
    span: Span,
    corrections: Corrections,
    names: PacketNames,
}

impl Wanted<'_> {
    /// Whether an event is selected. Must see all events, for some correct others.
    fn has(&mut self, shown: Option<Shown<'_>>, notes: &mut Notes) -> bool {
        let Some(shown) = shown.map(|shown| self.corrections.apply(shown)) else { return false };
        notes.of(&shown);
        if !self.selection.needs_names() {
            return shown.is_selected(self.selection, &[]) && self.span.contains(shown.nanos);
        }
        let Said { noted, names } = self.names.note(&shown, self.selection);
        notes.of_names(&noted);
        shown.is_selected(self.selection, &names) && self.span.contains(shown.nanos)
    }
}

/// A packet or another block of an input that is merged with others.
#[derive(Debug, Default)]
struct Pending {
    /// When it is due: never before the one before it.
    due: u64,
    raw: Vec<u8>,
    is_wanted: bool,
}

impl<'a> Cut<'a> {
    /// What the selection and the span admit of the inputs, and all events of processes and connections if `all_events`.
    #[must_use]
    pub fn new(
        inputs: &'a [Input],
        selection: &'a Rc<Selection>,
        span: Span,
        all_events: bool,
        file: CutFile,
    ) -> Self {
        Self {
            inputs,
            wanted: Wanted {
                selection,
                span,
                corrections: Corrections::default(),
                names: PacketNames::default(),
            },
            reduce: Reduce::new(all_events),
            file,
            out: Vec::with_capacity(2 * OUT_BYTES),
        }
    }

    /// Writes what is selected. `failed` gets the errors of inputs: what comes before them is written, and the other
    /// inputs too. Returns what was written.
    ///
    /// # Errors
    /// [`CutError`]: the output is not finished.
    pub fn run(mut self, mut failed: impl FnMut(&Input, &ShowError)) -> Result<Counts, CutError> {
        self.refuse_same_file()?;
        let groups = parts::order(self.inputs).ok_or(CutError::TooManyParts)?;
        self.collect(&groups);
        let mut idle = HashMap::new();
        let mut first = 0;
        for group in &groups {
            self.group(group, first, &mut idle, &mut failed)?;
            first += group.parts.len();
        }
        self.flush()?;
        if self.reduce.counts().sections > 0 {
            self.file.finish()?;
        }
        Ok(self.reduce.counts())
    }

    /// Refuses a file that is named twice, also by another path or a link.
    fn refuse_same_file(&self) -> Result<(), CutError> {
        let mut seen: Vec<(FileId, &Input)> = Vec::new();
        for input in self.inputs {
            // What cannot be opened is reported when it is to be read.
            let Some(id) = input.file_id() else { continue };
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == id) {
                return Err(CutError::SameFile { first: first.name(), second: input.name() });
            }
            seen.push((id, input));
        }
        Ok(())
    }

    /// Collects the corrections, and the names that come late, in the order of the parts, as far as the inputs can be read
    /// twice.
    fn collect(&mut self, groups: &[Group]) {
        let mut idle = HashMap::new();
        // What is read from a pipe has no first pass, so its connections would be counted only in the second one.
        let needs_names = self.wanted.selection.needs_names() && self.inputs.iter().all(Input::is_file);
        let mut first = 0;
        for group in groups {
            self.wanted.names.finder.end_lanes();
            for (rank, part) in (first..).zip(&group.parts) {
                self.wanted.corrections.begin(rank);
                self.wanted.names.finder.go_on(lane_of_names(group, first, part.input), part.input);
                if !self.inputs[part.input].is_file() {
                    continue;
                }
                // What cannot be read is reported when it is to be written.
                let Ok(mut reading) = Reading::open(self.inputs, part, &mut idle, self.wanted.selection)
                else {
                    continue;
                };
                if !needs_names {
                    reading.skip_packets();
                }
                // A libpcap file has no corrections.
                while (needs_names || reading.classic_link_type().is_none())
                    && let Ok(Some(())) = reading.next(|_, shown| {
                        let Some(shown) = shown else { return };
                        self.wanted.corrections.collect(&shown);
                        if needs_names {
                            self.wanted.names.collect(&shown);
                        }
                    })
                {}
                reading.close(&mut idle);
            }
            first += group.parts.len();
        }
        corrections::report_left_out(&self.wanted.corrections);
        self.wanted.names.end_of_first_pass();
        names::report_left_out(&self.wanted.names);
    }

    /// Writes the parts of a group: one after the other, or merged by time if they are of several inputs.
    fn group(
        &mut self,
        group: &Group,
        first: usize,
        idle: &mut HashMap<usize, Reading>,
        failed: &mut impl FnMut(&Input, &ShowError),
    ) -> Result<(), CutError> {
        self.wanted.names.finder.end_lanes();
        if let [part] = &group.parts[..] {
            self.reduce.begin(false);
            self.wanted.corrections.begin(first);
            self.wanted.names.finder.go_on(0, part.input);
            return self.part(part, idle, failed);
        }
        self.reduce.begin(true);
        let mut lanes: Vec<MergedLane<'_>> = Vec::new();
        for (rank, part) in (first..).zip(&group.parts) {
            match lanes.iter_mut().find(|lane| lane.input == part.input) {
                Some(lane) => lane.parts.push((rank, part)),
                None => {
                    let names = lane_of_names(group, first, part.input);
                    lanes.push(MergedLane::new(self.inputs, self.wanted.selection, (rank, part), names));
                }
            }
        }
        for lane in &mut lanes {
            lane.parts.reverse();
            self.advance(lane, idle, failed);
        }
        // Few inputs of one host overlap, so that looking at each is fast enough.
        while let Some(lane) =
            lanes.iter_mut().filter(|lane| lane.has_pending).min_by_key(|lane| lane.pending.due)
        {
            let view = BlockView::new(&lane.pending.raw, group.order);
            self.reduce.take(&mut lane.lane, view, lane.pending.is_wanted, &mut self.out);
            if self.out.len() >= OUT_BYTES {
                self.flush()?;
            }
            self.advance(lane, idle, failed);
        }
        Ok(())
    }

    /// Writes a part as it is ordered.
    fn part(
        &mut self,
        part: &Part,
        idle: &mut HashMap<usize, Reading>,
        failed: &mut impl FnMut(&Input, &ShowError),
    ) -> Result<(), CutError> {
        let input = &self.inputs[part.input];
        let name = input.name();
        let mut notes = Notes::new(&name, self.wanted.selection);
        let mut reading = match Reading::open(self.inputs, part, idle, self.wanted.selection) {
            Ok(reading) => reading,
            Err(error) => {
                failed(input, &error);
                return Ok(());
            }
        };
        let mut lane = Lane::new(part.input);
        let mut has_header = false;
        loop {
            let (wanted, reduce, out) = (&mut self.wanted, &mut self.reduce, &mut self.out);
            let stepped = reading.step(|source, shown| {
                let is_wanted = wanted.has(shown, &mut notes);
                match source {
                    Source::Block(item) => {
                        reduce.take(&mut lane, BlockView::new(item.raw, item.order), is_wanted, out);
                    }
                    Source::Record(record) => {
                        if !std::mem::replace(&mut has_header, true) {
                            header(record.link_type, &mut lane, reduce, out);
                        }
                        let packet = Packet {
                            timestamp: record.nanos,
                            original_length: record.original_length,
                            data: Cow::Borrowed(record.data),
                            ..Packet::default()
                        };
                        take(&Block::Packet(packet), &mut lane, is_wanted, reduce, out);
                    }
                }
            });
            let more = match stepped {
                Ok(Some(())) if self.out.len() < OUT_BYTES => continue,
                Ok(Some(())) => Ok(true),
                Ok(None) => {
                    if let Some(link_type) = reading.classic_link_type() {
                        notes.libpcap(Some(link_type));
                        if !std::mem::replace(&mut has_header, true) {
                            header(link_type, &mut lane, &mut self.reduce, &mut self.out);
                        }
                    }
                    // Before it waits for more.
                    self.flush()?;
                    reading.fill()
                }
                Err(error) => Err(error),
            };
            match more {
                Ok(true) => self.flush()?,
                Ok(false) => break,
                Err(error) => {
                    failed(input, &error);
                    return Ok(());
                }
            }
        }
        reading.close(idle);
        Ok(())
    }

    /// Reads the next block of an input that is merged with others, in its next part if this one is at its end.
    fn advance(
        &mut self,
        lane: &mut MergedLane<'_>,
        idle: &mut HashMap<usize, Reading>,
        failed: &mut impl FnMut(&Input, &ShowError),
    ) {
        lane.has_pending = false;
        while !lane.has_pending {
            let Some(reading) = &mut lane.reading else {
                let Some((rank, part)) = lane.parts.pop() else { return };
                (lane.rank, lane.begins) = (rank, part.begins.iter());
                match Reading::open(self.inputs, part, idle, self.wanted.selection) {
                    Ok(reading) => lane.reading = Some(reading),
                    Err(error) => failed(&self.inputs[lane.input], &error),
                }
                continue;
            };
            self.wanted.corrections.go_on(lane.rank);
            self.wanted.names.finder.go_on(lane.names, lane.input);
            let (wanted, pending, begins) = (&mut self.wanted, &mut lane.pending, &mut lane.begins);
            let next = reading.next(|source, shown| {
                let Source::Block(item) = source else { return };
                let due = match &item.block {
                    // What the section says of its beginning must not come before what was so until then.
                    Block::Section(_) => begins.next().copied(),
                    _ => item.nanos,
                };
                pending.due = pending.due.max(due.unwrap_or(0));
                pending.raw.clear();
                pending.raw.extend(item.raw);
                pending.is_wanted = wanted.has(shown, &mut lane.notes);
            });
            lane.has_pending = matches!(next, Ok(Some(())));
            if lane.has_pending {
                continue;
            }
            let ended = lane.reading.take();
            match next {
                Err(error) => failed(&self.inputs[lane.input], &error),
                Ok(_) => ended.into_iter().for_each(|reading| reading.close(idle)),
            }
        }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let written = self.file.write(&self.out);
        self.out.clear();
        written
    }
}

/// The lane in which names are looked for in an input: what is merged has one for each input, what is not has the first one.
/// `first`: the rank of the group's first part.
fn lane_of_names(group: &Group, first: usize, input: usize) -> usize {
    match &group.parts[..] {
        [_] => 0,
        parts => 1 + first + parts.iter().take_while(|part| part.input != input).count(),
    }
}

/// An input that is merged with others.
struct MergedLane<'a> {
    input: usize,
    notes: Notes,
    lane: Lane,
    /// Its lane of names.
    names: usize,
    /// The parts that come later, the last one first, with their ranks among all.
    parts: Vec<(usize, &'a Part)>,
    /// The present part.
    rank: usize,
    reading: Option<Reading>,
    /// When its next sections begin.
    begins: std::slice::Iter<'a, u64>,
    has_pending: bool,
    pending: Pending,
}

impl<'a> MergedLane<'a> {
    fn new(inputs: &[Input], selection: &Selection, part: (usize, &'a Part), names: usize) -> Self {
        let input = part.1.input;
        Self {
            input,
            names,
            notes: Notes::new(&inputs[input].name(), selection),
            lane: Lane::new(input),
            parts: vec![part],
            rank: 0,
            reading: None,
            begins: [].iter(),
            has_pending: false,
            pending: Pending::default(),
        }
    }
}

/// The section and the interface of a libpcap file's packets.
fn header(link_type: u32, lane: &mut Lane, reduce: &mut Reduce, out: &mut Vec<u8>) {
    let interface = Interface {
        // The format has 16 bits; no link type has a number beyond.
        link_type: u16::try_from(link_type).unwrap_or(u16::MAX),
        snap_length: 0,
        description: None,
        resolution: Resolution::NANOS,
        offset_seconds: 0,
        other: Vec::new(),
    };
    for block in [Block::Section(hone_pcapng::Section::default()), Block::Interface(interface)] {
        take(&block, lane, false, reduce, out);
    }
}

/// Takes a block that is made here.
fn take(block: &Block<'_>, lane: &mut Lane, is_wanted: bool, reduce: &mut Reduce, out: &mut Vec<u8>) {
    let mut raw = Vec::new();
    if let Err(error) = block.emit(ByteOrder::NATIVE, &mut raw) {
        // A packet of almost 16 MiB does not fit in a block with its frame.
        let _ = writeln!(Messages, "honeutil: a packet was left out: {error}");
        return;
    }
    reduce.take(lane, BlockView::new(&raw, ByteOrder::NATIVE), is_wanted, out);
}
