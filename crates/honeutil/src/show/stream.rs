//! A stream of either format, taken in chunks: events out.

use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use hone_pcapng::block::MAGIC;
use hone_pcapng::{Item, ReadError};
use hone_select::Selection;

use super::classic_pcap::{self, ClassicError};
use super::event::{Event, Packet, Shown};
use super::foreign::Unread;
use super::pktap::Pktap;
use super::processes::Processes;
use super::section::SectionState;

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

/// Why a stream does not get its next bytes.
#[derive(Debug)]
pub(crate) enum FillError {
    /// They cannot be read.
    Input(io::Error),
    /// They were read, but the stream cannot be.
    Stream(StreamError),
}

impl From<StreamError> for FillError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
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
    Blocks(Box<hone_pcapng::Reader>, Box<SectionState>),
    Classic(Box<Classic>),
}

/// A libpcap file.
#[derive(Debug)]
pub(crate) struct Classic {
    reader: classic_pcap::Reader,
    /// Packets so far.
    frames: u64,
    /// The processes in PKTAP headers.
    processes: Processes,
}

impl Stream {
    /// A stream whose processes get the marks of this selection.
    pub(crate) fn new(selection: &Rc<Selection>) -> Self {
        Self::Undecided(Vec::new(), Rc::clone(selection))
    }

    /// Leaves out packets from here on.
    pub(crate) fn skip_packets(&mut self) {
        if let Self::Blocks(_, section) = self {
            section.skip_packets();
        }
    }

    /// Adds what one read of `bytes` gives, and returns how much that is; 0 at the end. Blocks are read to where they
    /// are parsed, anything else by way of the chunk.
    pub(crate) fn fill(&mut self, bytes: &mut impl Read, chunk: &mut [u8]) -> Result<usize, FillError> {
        let mut read = |room: &mut [u8]| loop {
            match bytes.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(FillError::Input),
            }
        };
        if let Self::Blocks(reader, _) = self {
            let count = read(reader.room(chunk.len()).map_err(StreamError::from)?)?;
            reader.filled(count);
            return Ok(count);
        }
        let count = read(chunk)?;
        self.feed(&chunk[..count])?;
        Ok(count)
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
                        let processes = Processes::new(selection);
                        Self::Classic(Box::new(Classic { reader, frames: 0, processes }))
                    }
                    Some(magic) if *magic == MAGIC => Self::blocks(&begin, selection)?,
                    Some(magic) => return Err(Foreign(*magic).into()),
                };
                Ok(())
            }
            Self::Blocks(reader, _) => Ok(reader.feed(chunk)?),
            Self::Classic(classic) => {
                classic.reader.feed(chunk);
                Ok(())
            }
        }
    }

    fn blocks(begin: &[u8], selection: &Rc<Selection>) -> Result<Self, StreamError> {
        let mut reader = hone_pcapng::Reader::new();
        reader.feed(begin)?;
        Ok(Self::Blocks(Box::new(reader), Box::new(SectionState::new(selection))))
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
            Self::Classic(classic) => {
                let Classic { reader, frames, processes } = &mut **classic;
                Ok(reader.next_packet()?.map(|record| {
                    *frames += 1;
                    let named = Pktap::parse(record.link_type, record.data);
                    let packet = Packet {
                        frame: *frames,
                        process: named.and_then(|pktap| pktap.note(processes)),
                        ..Packet::new(record.link_type, record.data, record.original_length)
                    };
                    let process = packet.process.and_then(|pid| processes.get(pid));
                    let event = Event::Packet(packet);
                    let nanos = Some(record.nanos);
                    let shown =
                        Shown { nanos, event, number: 0, process, had_mark: None, packet_nanos: None };
                    sink(Source::Record(record), Some(shown))
                }))
            }
        }
    }

    /// A process block of another program that cannot be read, the first since the last call.
    pub(crate) fn take_unread(&mut self) -> Option<Unread> {
        match self {
            Self::Blocks(_, section) => section.take_unread(),
            _ => None,
        }
    }

    /// The link type of a libpcap file, once its header was read.
    pub(crate) fn classic_link_type(&self) -> Option<u32> {
        match self {
            Self::Classic(classic) => classic.reader.link_type(),
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
            Self::Classic(classic) => Ok(classic.reader.finish()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{Block, ByteOrder, Interface, ObsoletePacket, Resolution, Section, SimplePacket};

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
        let mut pktap = [0; 108];
        (pktap[0], pktap[4], pktap[8], pktap[52], pktap[56]) = (108, 1, 101, 7, b'a');
        let mut seeds = Vec::new();
        for (link_type, header) in [
            (0, &b"\x02\0\0\0"[..]),
            (1, b"\0\0\0\0\0\0\0\0\0\0\0\0\x81\0\0\x01\x08\0"),
            (9, b"\xff\x03\0\x21"),
            (101, b""),
            (113, b"\0\0\0\x01\0\x06\0\0\0\0\0\0\0\0\x86\xdd"),
            (229, b""),
            (258, &pktap),
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
