//! In which order the parts of several inputs are written.
//!
//! A part is a row of sections of one host in one input. Parts are ordered by time, those of each input stay in their
//! order. Parts of one host that overlap are merged into one section, so that the packets of a host are ordered by time.
//! Sections of different hosts are never merged: process ids of two hosts must not mix.

use std::rc::Rc;

use hone_pcapng::{Block, ByteOrder, Interface, Section, Statistics};

use super::part::Reading;
use crate::show::host::Host;
use crate::show::input::Input;
use crate::show::stream::Source;

/// Most parts of all inputs.
pub(super) const MAX_PARTS: usize = 1 << 20;
/// Most sections whose beginnings are kept of all inputs; a part with later ones is not merged.
const MAX_SECTIONS: usize = 1 << 22;
/// Files of one recording overlap by less than this, in nanoseconds: a held packet goes into the file that is written when
/// it leaves. Only counts where statistics are missing.
const OVERLAP: u64 = 1_000_000_000;
/// Most interfaces of a section that is merged.
const MAX_INTERFACES: u32 = 256;

/// A row of sections of one host in one input.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) input: usize,
    /// Its first block, and the one behind its last. The last part of an input has no end.
    pub(super) first: u64,
    pub(super) end: u64,
    /// When each section begins: the time of its first packet.
    pub(super) begins: Vec<u64>,
    /// When the last packet was.
    until: u64,
    /// From when to when its sections were recorded, as their statistics say; `None`: they do not all say it.
    recorded: Option<(u64, u64)>,
    host: Option<Host>,
    format: Format,
}

/// What parts must have in common to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Byte order and, if there is an interface, the clock of the first one.
    Merges(ByteOrder, Option<(u8, i64)>),
    /// It has something that cannot be merged.
    StaysAlone,
}

/// Parts that are merged; mostly it is one.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) parts: Vec<Part>,
    pub(super) order: ByteOrder,
    /// When its first part begins.
    begin: u64,
    /// When the last packet was.
    until: u64,
    /// When the recording of its parts ended, as [`Part::recorded`].
    recorded_until: Option<u64>,
}

impl Group {
    fn new(begin: u64, part: Part) -> Self {
        let order = match part.format {
            Format::Merges(order, _) => order,
            Format::StaysAlone => ByteOrder::NATIVE,
        };
        let recorded_until = part.recorded.map(|(_, until)| until);
        Self { order, begin, until: part.until, recorded_until, parts: vec![part] }
    }

    fn push(&mut self, part: Part) {
        self.until = self.until.max(part.until);
        self.recorded_until =
            self.recorded_until.zip(part.recorded).map(|(group, (_, part))| group.max(part));
        self.parts.push(part);
    }

    /// Whether a part follows this one: their packets do not overlap, or only because held packets leave late, as in the
    /// next file of one recording. That file's section begins when the section before it ends.
    fn is_followed_by(&self, begin: u64, part: &Part) -> bool {
        let overlap = self.until.saturating_sub(begin);
        if overlap == 0 {
            return true;
        }
        if let (Some(until), Some((from, _))) = (self.recorded_until, part.recorded) {
            return until <= from;
        }
        // A file that is incomplete has no statistics.
        let shorter = self.until.saturating_sub(self.begin).min(part.until.saturating_sub(begin));
        overlap <= OVERLAP && overlap <= shorter / 2
    }
}

/// All parts in their order; `None`: they are too many.
pub(super) fn order(inputs: &[Input]) -> Option<Vec<Group>> {
    // An input alone keeps its order. Of one that cannot be read twice, the order is not known before.
    if inputs.len() < 2 || !inputs.iter().all(Input::is_file) {
        let parts = (0..inputs.len()).map(|input| {
            let part = Part::new(input, 0, None);
            Group::new(0, Part { end: u64::MAX, ..part })
        });
        return Some(parts.collect());
    }
    let mut parts = Vec::new();
    let mut sections = 0;
    for input in 0..inputs.len() {
        survey(inputs, input, &mut parts, &mut sections)?;
    }
    // Stable, and no part of an input comes before an earlier one of it.
    let mut latest = (usize::MAX, 0);
    let mut keyed: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let begin = part.begins.first().copied().unwrap_or(0);
            latest = (part.input, if latest.0 == part.input { begin.max(latest.1) } else { begin });
            (latest.1, part)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    Some(grouped(keyed))
}

fn grouped(parts: Vec<(u64, Part)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut latest: std::collections::HashMap<Host, usize> = std::collections::HashMap::new();
    for (begin, part) in parts {
        let found = part.host.as_ref().and_then(|host| latest.get(host).copied());
        if let Some(group) = found.map(|at| &mut groups[at])
            && part.format != Format::StaysAlone
            && group.parts.iter().all(|other| other.format == part.format)
            && group.parts.iter().any(|other| other.input != part.input)
            && !group.is_followed_by(begin, &part)
        {
            group.push(part);
            continue;
        }
        if let Some(host) = &part.host {
            latest.insert(host.clone(), groups.len());
        }
        groups.push(Group::new(begin, part));
    }
    groups
}

impl Part {
    fn new(input: usize, first: u64, host: Option<Host>) -> Self {
        let format = Format::StaysAlone;
        let recorded = Some((u64::MAX, 0));
        Self { input, first, end: u64::MAX, begins: Vec::new(), until: 0, recorded, host, format }
    }

    /// Takes note of when a section was recorded, in nanoseconds.
    fn add_recorded(&mut self, section: Option<(u64, u64)>) {
        let both = self.recorded.zip(section);
        self.recorded = both.map(|(all, section)| (all.0.min(section.0), all.1.max(section.1)));
    }
}

/// What a survey knows of the section that it is in.
#[derive(Default)]
struct InSection {
    interfaces: u32,
    /// The clocks of the interfaces: at most [`MAX_INTERFACES`].
    clocks: Vec<Interface<'static>>,
    has_statistics: bool,
    has_packet: bool,
    /// The time of the last event, for a section without a packet.
    event: Option<u64>,
}

impl InSection {
    /// When the recording began and ended, in nanoseconds, if the statistics say it.
    fn recorded(&self, statistics: &Statistics<'_>) -> Option<(u64, u64)> {
        let clock = self.clocks.get(usize::try_from(statistics.interface).ok()?)?;
        Some((clock.nanos(statistics.start_time?)?, clock.nanos(statistics.end_time?)?))
    }

    /// Ends the section, which is in `part`.
    fn end(self, part: Option<&mut Part>) {
        if let Some(part) = part
            && !self.has_statistics
        {
            part.recorded = None;
        }
    }
}

/// Finds the parts of an input. What cannot be read is reported when it is to be written.
fn survey(inputs: &[Input], input: usize, parts: &mut Vec<Part>, sections: &mut usize) -> Option<()> {
    let whole = Part::new(input, 0, None);
    let start = parts.len();
    let mut at = InSection::default();
    let mut idle = std::collections::HashMap::new();
    if let Ok(mut reading) = Reading::open(inputs, &whole, &mut idle, &Rc::default()) {
        reading.skip_packets();
        let mut number = 0;
        while let Ok(Some(is_taken)) = reading.next(|source, shown| {
            // Only a packet of a libpcap file is shown here.
            let nanos = match &source {
                Source::Block(item) => item.nanos,
                Source::Record(_) => shown.and_then(|shown| shown.nanos),
            };
            let is_taken = take(input, number, &source, nanos, start, parts, sections, &mut at);
            number += 1;
            is_taken
        }) {
            if !is_taken {
                return None;
            }
        }
    }
    at.end(parts[start..].last_mut());
    match parts[start..].last_mut() {
        Some(last) => last.end = u64::MAX,
        None => parts.push(whole),
    }
    Some(())
}

/// Takes note of a block; false: there are too many parts.
#[expect(clippy::too_many_arguments, reason = "a step of the loop above")]
fn take(
    input: usize,
    number: u64,
    source: &Source<'_>,
    nanos: Option<u64>,
    start: usize,
    parts: &mut Vec<Part>,
    sections: &mut usize,
    at: &mut InSection,
) -> bool {
    if let Source::Block(item) = source
        && let Block::Section(section) = &item.block
    {
        std::mem::take(at).end(parts[start..].last_mut());
        return begin_section(input, number, section, item.order, start, parts, sections);
    }
    if let Source::Record(_) = source
        && parts.len() == start
    {
        if parts.len() == MAX_PARTS {
            return false;
        }
        parts.push(Part::new(input, 0, None));
        parts[start].begins.push(0);
    }
    let Some(part) = parts.last_mut() else { return true };
    part.end = number + 1;
    let is_packet = match source {
        Source::Record(_) => true,
        Source::Block(item) => match &item.block {
            Block::Interface(interface) => {
                let clock = (interface.resolution.byte(), interface.offset_seconds);
                at.interfaces += 1;
                if at.interfaces <= MAX_INTERFACES {
                    at.clocks.push(Interface { description: None, other: Vec::new(), ..*interface });
                }
                part.format = match part.format {
                    Format::Merges(order, None) if at.interfaces == 1 => Format::Merges(order, Some(clock)),
                    Format::Merges(_, Some(first)) if at.interfaces == 1 && first != clock => {
                        Format::StaysAlone
                    }
                    _ if at.interfaces > MAX_INTERFACES => Format::StaysAlone,
                    format => format,
                };
                false
            }
            Block::SimplePacket(_) | Block::ObsoletePacket(_) => {
                part.format = Format::StaysAlone;
                true
            }
            Block::Packet(_) => true,
            Block::Statistics(statistics) => {
                part.add_recorded(at.recorded(statistics));
                at.has_statistics = true;
                false
            }
            _ => false,
        },
    };
    let Some(nanos) = nanos else { return true };
    if is_packet {
        part.until = part.until.max(nanos);
    }
    if let Some(begin) = part.begins.last_mut()
        && !at.has_packet
    {
        at.event = at.event.max(Some(nanos));
        *begin = if is_packet { nanos } else { at.event.unwrap_or(nanos) };
        at.has_packet = is_packet;
    }
    true
}

/// Begins a section, in the last part or in a new one; false: there are too many parts.
fn begin_section(
    input: usize,
    number: u64,
    section: &Section<'_>,
    order: ByteOrder,
    start: usize,
    parts: &mut Vec<Part>,
    sections: &mut usize,
) -> bool {
    // Without an identity, it is a host of its own, and never merged.
    let host = section.host.as_ref().map(|_| Host::of(section, input));
    let is_new = parts[start..].last().is_none_or(|part| part.host != host);
    if is_new {
        if parts.len() == MAX_PARTS {
            return false;
        }
        parts.push(Part { format: Format::Merges(order, None), ..Part::new(input, number, host) });
    }
    let Some(part) = parts.last_mut() else { return true };
    part.end = number + 1;
    if matches!(part.format, Format::Merges(other, _) if other != order) {
        part.format = Format::StaysAlone;
    }
    *sections += 1;
    if *sections > MAX_SECTIONS {
        part.format = Format::StaysAlone;
    } else {
        part.begins.push(0);
    }
    true
}
