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
pub enum FillError {
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
pub enum Source<'a> {
    /// A block of PCAP-NG.
    Block(&'a Item<'a>),
    /// A packet of a libpcap file.
    Record(classic_pcap::Record<'a>),
}

/// A stream in one of the formats, or in none yet: its first four bytes say which.
#[derive(Debug)]
pub enum Stream {
    /// Fewer than four bytes so far.
    Undecided(Vec<u8>, Rc<Selection>),
    /// PCAP-NG.
    Blocks(Box<hone_pcapng::Reader>, Box<SectionState>),
    /// A libpcap file.
    Classic(Box<Classic>),
}

/// A libpcap file.
#[derive(Debug)]
pub struct Classic {
    reader: classic_pcap::Reader,
    /// Packets so far.
    frames: u64,
    /// The processes in PKTAP headers.
    processes: Processes,
}

impl Stream {
    /// A stream whose processes get the marks of this selection.
    pub fn new(selection: &Rc<Selection>) -> Self {
        Self::Undecided(Vec::new(), Rc::clone(selection))
    }

    /// Leaves out packets from here on.
    pub fn skip_packets(&mut self) {
        if let Self::Blocks(_, section) = self {
            section.skip_packets();
        }
    }

    /// Adds what one read of `bytes` gives, and returns how much that is; 0 at the end. Blocks are read to where they
    /// are parsed, anything else by way of the chunk.
    pub fn fill(&mut self, bytes: &mut impl Read, chunk: &mut [u8]) -> Result<usize, FillError> {
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
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
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
    pub fn drain<E: From<StreamError>>(
        &mut self,
        mut sink: impl FnMut(Shown<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(taken) = self.step(|_, shown| shown.map_or(Ok(()), &mut sink))? {
            taken?;
        }
        Ok(())
    }

    /// Hands the next block, and the event that it is, to `sink`; `None` until more bytes are fed.
    pub fn step<R>(
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
                    let shown = Shown {
                        nanos,
                        event,
                        number: 0,
                        process,
                        receiver: None,
                        had_mark: None,
                        packet_nanos: None,
                    };
                    sink(Source::Record(record), Some(shown))
                }))
            }
        }
    }

    /// A process block of another program that cannot be read, the first since the last call.
    pub fn take_unread(&mut self) -> Option<Unread> {
        match self {
            Self::Blocks(_, section) => section.take_unread(),
            _ => None,
        }
    }

    /// The link type of a libpcap file, once its header was read.
    pub fn classic_link_type(&self) -> Option<u32> {
        match self {
            Self::Classic(classic) => classic.reader.link_type(),
            _ => None,
        }
    }

    /// Ends the stream.
    pub fn finish(self) -> Result<(), StreamError> {
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
