//! A stream of either format, taken in chunks: events out.

use std::fmt;
use std::rc::Rc;

use hone_pcapng::block::MAGIC;
use hone_pcapng::{Block, ConnectionEvent, Corrected, Interface, Item, ReadError};
use hone_select::Selection;

use super::classic_pcap::{self, ClassicError};
use super::event::{Event, Packet, Shown};
use super::processes::Processes;

/// Interfaces kept of a section: a bound that no recording comes near.
const MAX_INTERFACES: usize = 1 << 16;
/// How other files begin that people have, what they are, and what to do.
const OTHERS: [([u8; 4], &str); 9] = [
    (*b"\xFD7zX", "compressed with xz: xz -dc FILE | honeutil show"),
    (*b"BZh9", "compressed with bzip2: bzip2 -dc FILE | honeutil show"),
    (*b"\x04\"M\x18", "compressed with lz4: lz4 -dc FILE | honeutil show"),
    (*b"PK\x03\x04", "a ZIP archive: unzip -p FILE | honeutil show"),
    (*b"snoo", "a snoop capture: editcap FILE NEW converts it"),
    (*b"\x34\xCD\xB2\xA1", "a variant of libpcap: editcap FILE NEW converts it"),
    (*b"\xA1\xB2\xCD\x34", "a variant of libpcap: editcap FILE NEW converts it"),
    (*b"GMBU", "a Network Monitor capture: editcap FILE NEW converts it"),
    (*b"RTSS", "a Network Monitor capture: editcap FILE NEW converts it"),
];

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// PCAP-NG that is not sound.
    #[error(transparent)]
    Blocks(#[from] ReadError),
    /// A libpcap file that is not sound.
    #[error(transparent)]
    Classic(#[from] ClassicError),
    /// Another format.
    #[error(transparent)]
    Foreign(#[from] Foreign),
}

/// A file of another format, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign([u8; 4]);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OTHERS.iter().find(|(begin, _)| *begin == self.0) {
            Some((_, what)) => write!(f, "it is {what}"),
            None => {
                f.write_str("it is neither PCAP-NG nor libpcap, nor one of them compressed with gzip or zstd")
            }
        }
    }
}

impl std::error::Error for Foreign {}

/// What an event was made of.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Block(&'a Item<'a>),
    Record(classic_pcap::Record<'a>),
}

/// A stream in one of the formats, or in none yet: its first four bytes say which.
#[derive(Debug)]
pub(crate) enum Stream {
    Undecided(Vec<u8>, Rc<Selection>),
    Blocks(Box<hone_pcapng::Reader>, SectionState),
    /// The reader, and how many packets there were.
    Classic(classic_pcap::Reader, u64),
}

impl Stream {
    /// A stream whose processes get the marks of this selection.
    pub(crate) fn new(selection: &Rc<Selection>) -> Self {
        Self::Undecided(Vec::new(), Rc::clone(selection))
    }

    /// Leaves out packets from here on.
    pub(crate) fn skip_packets(&mut self) {
        if let Self::Blocks(_, section) = self {
            section.skips_packets = true;
        }
    }

    /// Adds the next bytes.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        match self {
            Self::Undecided(begin, selection) => {
                begin.extend_from_slice(chunk);
                let begin = std::mem::take(begin);
                *self = match begin.first_chunk() {
                    None => Self::Undecided(begin, Rc::clone(selection)),
                    Some(&magic) if classic_pcap::is_magic(magic) => {
                        let mut reader = classic_pcap::Reader::default();
                        reader.feed(&begin);
                        Self::Classic(reader, 0)
                    }
                    Some(magic) if *magic == MAGIC => Self::blocks(&begin, selection)?,
                    Some(magic) => return Err(Foreign(*magic).into()),
                };
                Ok(())
            }
            Self::Blocks(reader, _) => Ok(reader.feed(chunk)?),
            Self::Classic(reader, _) => {
                reader.feed(chunk);
                Ok(())
            }
        }
    }

    fn blocks(begin: &[u8], selection: &Rc<Selection>) -> Result<Self, StreamError> {
        let mut reader = hone_pcapng::Reader::new();
        reader.feed(begin)?;
        Ok(Self::Blocks(Box::new(reader), SectionState::new(selection)))
    }

    /// Hands every event that is whole to `sink`.
    pub(crate) fn drain<E: From<StreamError>>(
        &mut self,
        mut sink: impl FnMut(Shown<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(taken) = self.step(|_, shown| shown.map_or(Ok(()), &mut sink))? {
            taken?;
        }
        Ok(())
    }

    /// Hands the next block, and the event that it is, to `sink`; `None` until more bytes are fed.
    pub(crate) fn step<R>(
        &mut self,
        sink: impl FnOnce(Source<'_>, Option<Shown<'_>>) -> R,
    ) -> Result<Option<R>, StreamError> {
        match self {
            Self::Undecided(..) => Ok(None),
            Self::Blocks(reader, section) => {
                Ok(reader.next_block()?.map(|item| sink(Source::Block(&item), section.event(&item))))
            }
            Self::Classic(reader, frames) => Ok(reader.next_packet()?.map(|record| {
                *frames += 1;
                let packet = Packet {
                    frame: *frames,
                    ..Packet::new(record.link_type, record.data, record.original_length)
                };
                let event = Event::Packet(packet);
                let nanos = Some(record.nanos);
                let shown = Shown { nanos, event, number: 0, process: None, packet_nanos: None };
                sink(Source::Record(record), Some(shown))
            })),
        }
    }

    /// The link type of a libpcap file, once its header was read.
    pub(crate) fn classic_link_type(&self) -> Option<u32> {
        match self {
            Self::Classic(reader, _) => reader.link_type(),
            _ => None,
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(self) -> Result<(), StreamError> {
        match self {
            // Nothing at all is the end of a recording that never began.
            Self::Undecided(begin, _) => {
                let mut reader = hone_pcapng::Reader::new();
                reader.feed(&begin)?;
                Ok(reader.finish()?)
            }
            Self::Blocks(reader, _) => Ok(reader.finish()?),
            Self::Classic(reader, _) => Ok(reader.finish()?),
        }
    }
}

/// What earlier blocks of a section say about later ones.
#[derive(Debug)]
pub(crate) struct SectionState {
    processes: Processes,
    link_types: Vec<u16>,
    /// The first interface, whose clock is that of the events.
    clock: Option<Interface<'static>>,
    skips_packets: bool,
    /// Blocks so far, of all sections.
    blocks: u64,
    /// Packets so far, of all sections.
    frames: u64,
}

impl SectionState {
    fn new(selection: &Rc<Selection>) -> Self {
        Self {
            processes: Processes::new(selection),
            link_types: Vec::new(),
            clock: None,
            skips_packets: false,
            blocks: 0,
            frames: 0,
        }
    }

    /// The event that a block is, if it is one; takes note of it.
    fn event<'a>(&'a mut self, item: &'a Item<'_>) -> Option<Shown<'a>> {
        self.blocks += 1;
        let number = self.blocks;
        let is_packet =
            matches!(item.block, Block::Packet(_) | Block::ObsoletePacket(_) | Block::SimplePacket(_));
        self.frames += u64::from(is_packet);
        let event = match &item.block {
            Block::Section(section) => {
                self.processes.clear();
                self.link_types.clear();
                self.clock = None;
                Event::Section(section)
            }
            Block::Interface(interface) => {
                self.clock.get_or_insert_with(|| clock(interface));
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
            _ if is_packet && self.skips_packets => return None,
            Block::Packet(packet) => Event::Packet(Packet {
                flags: packet.flags,
                connection: packet.connection,
                process: packet.process,
                how: packet.how,
                timestamp: Some(packet.timestamp),
                ..self.packet(packet.interface, &packet.data, packet.original_length)
            }),
            Block::ObsoletePacket(packet) => Event::Packet(Packet {
                flags: packet.flags,
                ..self.packet(packet.interface.into(), &packet.data, packet.original_length)
            }),
            Block::SimplePacket(packet) => {
                Event::Packet(self.packet(0, &packet.data, packet.original_length))
            }
            Block::Statistics(statistics) => Event::Statistics(statistics),
            Block::Unknown { .. } => return None,
        };
        let packet_nanos = match &event {
            Event::Connection(event) => self.packet_nanos(event),
            _ => None,
        };
        let mut shown = Shown { nanos: item.nanos, event, number, process: None, packet_nanos };
        shown.process = shown.pid().and_then(|pid| self.processes.get(pid));
        Some(shown)
    }

    /// The time of the packet that a correction is about, if that is how it says which.
    fn packet_nanos(&self, event: &ConnectionEvent<'_>) -> Option<u64> {
        match event.correction?.packets {
            Corrected::Time(time) => self.clock.as_ref()?.nanos(time),
            Corrected::Bytes { .. } => None,
        }
    }

    /// A packet of an interface, which the reader has made sure is described.
    fn packet<'a>(&self, interface: u32, data: &'a [u8], original_length: u32) -> Packet<'a> {
        let link_type = usize::try_from(interface).ok().and_then(|at| self.link_types.get(at));
        let link_type = link_type.copied().map_or(u32::MAX, u32::from);
        Packet { frame: self.frames, interface, ..Packet::new(link_type, data, original_length) }
    }
}

/// An interface as far as it is a clock.
fn clock(interface: &Interface<'_>) -> Interface<'static> {
    let Interface { resolution, offset_seconds, .. } = *interface;
    Interface {
        link_type: 0,
        snap_length: 0,
        description: None,
        resolution,
        offset_seconds,
        other: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{ByteOrder, Interface, ObsoletePacket, Resolution, Section, SimplePacket};

    use super::*;
    use crate::show::fuzzing::{Told, show};

    /// Files with a packet of each kind, of many link types.
    fn seeds() -> Vec<Vec<u8>> {
        let ip = b"\x45\0\0\x20\0\x01\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\0\x35\0\x0c\0\0xxxx";
        let six = [
            &b"\x60\0\0\0\0\x14\0\x40"[..],
            &[0; 31],
            b"\x01\x2c\0\0\0\0\0\0\0\x11\0\0\x01\0\0\0\0",
            &ip[20..],
        ]
        .concat();
        let mut seeds = Vec::new();
        for (link_type, header) in [
            (0, &b"\x02\0\0\0"[..]),
            (1, b"\0\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\x01\x08\0"),
            (9, b"\xff\x03\0\x21"),
            (101, b""),
            (113, b"\0\0\0\x01\0\x06\0\0\0\0\0\0\0\0\x86\xdd"),
            (229, b""),
            (276, b"\x86\xdd\0\0\0\0\0\x01\0\x01\0\x06\0\0\0\0\0\0\0\0"),
        ] {
            let data =
                [header, if header.contains(&0xDD) || link_type == 229 { &six } else { &ip[..] }].concat();
            let original_length = u32::try_from(data.len()).unwrap();
            let mut blocks = Vec::new();
            let interface = Interface {
                link_type,
                snap_length: 0,
                description: None,
                resolution: Resolution::MICROS,
                offset_seconds: 0,
                other: Vec::new(),
            };
            let (simple, obsolete, packet) =
                (Cow::Borrowed(&data[..]), Cow::Borrowed(&data[..]), Cow::Borrowed(&data[..]));
            for block in [
                Block::Section(Section::default()),
                Block::Interface(interface),
                Block::SimplePacket(SimplePacket { original_length, data: simple }),
                Block::ObsoletePacket(ObsoletePacket {
                    original_length,
                    data: obsolete,
                    ..Default::default()
                }),
                Block::Packet(hone_pcapng::Packet { original_length, data: packet, ..Default::default() }),
            ] {
                block.emit(ByteOrder::Little, &mut blocks).unwrap();
            }
            seeds.push(blocks);
            let mut classic = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0".to_vec();
            classic.extend(u32::from(link_type).to_le_bytes());
            for _ in 0..2 {
                classic.extend([1, 2, original_length, original_length].map(u32::to_le_bytes).concat());
                classic.extend(&data);
            }
            seeds.push(classic);
        }
        seeds
    }

    /// What it is shown as, in chunks of this length.
    fn shown(bytes: &[u8], chunk: usize) -> Told {
        show(bytes, chunk, &Rc::default())
    }

    #[test]
    fn any_bytes_are_events_or_an_error_in_whatever_chunks_they_come() {
        let seeds = seeds();
        for seed in &seeds {
            let told = shown(seed, usize::MAX);
            assert!(told.end.is_empty() && told.events >= 2, "{}", told.end);
        }
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..5_000 {
            let mut bytes = seeds[random(seeds.len())].clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => bytes[at] ^= 1 << random(8),
                    _ => bytes.truncate(at + 1),
                }
            }
            assert_eq!(shown(&bytes, usize::MAX), shown(&bytes, 1 + random(60)));
        }
    }
}
