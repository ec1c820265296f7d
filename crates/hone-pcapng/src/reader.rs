//! Reading a stream: bytes in, in chunks of any size, blocks out. The caller does the I/O.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::{BODY_OFFSET, Block, CONNECTION, INTERFACE, MAX_LENGTH, OBSOLETE_PACKET, PACKET};
use crate::block::{PROCESS, SECTION, SIMPLE_PACKET, STATISTICS, TRAILER_LENGTH};
use crate::frame::{self, Frame};
use crate::interface::Clock;
use crate::memory::{lengthen, push};
use crate::{
    ByteOrder, ConnectionEvent, Dialect, Interface, ObsoletePacket, Packet, ProcessEvent, ReadError,
    ReadErrorKind, Section, SimplePacket, Statistics,
};

/// How many interfaces of a section are kept: a bound on memory that no recording comes near.
const MAX_INTERFACES: usize = 1 << 16;

/// A block and what the stream says about it.
#[derive(Debug)]
pub struct Item<'r> {
    /// Where the block begins, in bytes from the beginning of the stream.
    pub offset: u64,
    /// The block.
    pub block: Block<'r>,
    /// All bytes of the block.
    pub raw: &'r [u8],
    /// The byte order of the section.
    pub order: ByteOrder,
    /// The block's time in nanoseconds since 1970-01-01 UTC. Packets and statistics take the resolution of their
    /// interface, process and connection events that of interface 0 or microseconds if there is none. `None` if the
    /// block has no time, if its time does not fit, or for statistics of an interface that was not described.
    pub nanos: Option<u64>,
}

/// Takes a stream in chunks and hands out its blocks.
///
/// Both byte orders, any number of sections and interfaces. It holds the bytes that were fed and not yet read, so it
/// is bounded by the caller's chunk and the longest block.
///
/// ```
/// # fn main() -> Result<(), hone_pcapng::ReadError> {
/// # let chunks: [&[u8]; 0] = [];
/// let mut reader = hone_pcapng::Reader::new();
/// for chunk in chunks {
///     reader.feed(chunk)?;
///     while let Some(item) = reader.next_block()? {
///         println!("{}: {:?}", item.offset, item.block);
///     }
/// }
/// reader.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    /// The bytes that were fed, up to `filled`, and room for more.
    buffer: Vec<u8>,
    filled: usize,
    /// How many bytes of the buffer have been handed out. They are dropped when feeding, once they are half of it, so
    /// that a byte is moved at most once for each byte that was read.
    consumed: usize,
    /// Where the first byte not handed out is, in bytes from the beginning of the stream.
    offset: u64,
    limit: u32,
    /// `None` before the first section header.
    section: Option<SectionState>,
}

/// What later blocks of a section need to know.
#[derive(Debug)]
struct SectionState {
    order: ByteOrder,
    clocks: Vec<Clock>,
    /// The snap length of interface 0, which bounds simple packets.
    snap_length: u32,
    dialect: Dialect,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader that takes blocks up to [`MAX_LENGTH`].
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limit(MAX_LENGTH)
    }

    /// A reader that takes blocks up to `limit` bytes, frame included.
    #[must_use]
    pub const fn with_limit(limit: u32) -> Self {
        Self { buffer: Vec::new(), filled: 0, consumed: 0, offset: 0, limit, section: None }
    }

    /// Adds the next bytes of the stream.
    ///
    /// # Errors
    /// [`ReadErrorKind::OutOfMemory`]; the chunk is then not taken and may be fed again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ReadError> {
        self.room(chunk.len())?[..chunk.len()].copy_from_slice(chunk);
        self.filled(chunk.len());
        Ok(())
    }

    /// Room for the next bytes of the stream: at least `least` bytes. Spares a copy where the caller can read into it;
    /// it then calls [`filled`](Self::filled). What is in the room before is of no meaning.
    ///
    /// # Errors
    /// [`ReadErrorKind::OutOfMemory`]; nothing has changed then.
    pub fn room(&mut self, least: usize) -> Result<&mut [u8], ReadError> {
        if self.consumed >= self.filled - self.consumed {
            self.buffer.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        let length = self.filled.saturating_add(least);
        lengthen(&mut self.buffer, length).map_err(|reason| self.error(reason))?;
        Ok(&mut self.buffer[self.filled..])
    }

    /// Takes the first `count` bytes of the [`room`](Self::room) as the next bytes of the stream; no more than it has.
    pub fn filled(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.buffer.len());
    }

    /// The next whole block; `None` until more bytes are fed.
    ///
    /// # Errors
    /// [`ReadError`]. The reader stays at the block, so the next call says the same; only a lack of memory may pass.
    pub fn next_block(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let order = self.section.as_ref().map(|section| section.order);
        let frame = match frame::read(self.unread(), order, self.limit) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(reason) => return Err(self.error(reason)),
        };
        let Frame { kind, length, order } = frame;
        let offset = self.offset;
        let raw = &self.buffer[self.consumed..][..length];
        let body = &raw[BODY_OFFSET..length - TRAILER_LENGTH];
        let (block, nanos) = parse(&mut self.section, kind, body, order).map_err(|reason| ReadError {
            offset,
            block: kind,
            reason,
        })?;
        self.consumed += length;
        self.offset += length as u64;
        Ok(Some(Item { offset, block, raw, order, nanos }))
    }

    /// Ends the stream. Call it when [`next_block`](Self::next_block) has nothing more.
    ///
    /// # Errors
    /// [`ReadErrorKind::Truncated`] if bytes are left over.
    pub fn finish(self) -> Result<(), ReadError> {
        if self.unread().is_empty() { Ok(()) } else { Err(self.error(ReadErrorKind::Truncated)) }
    }

    /// The bytes that were fed and are in no block that was returned.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.consumed..self.filled]
    }

    /// An error about the block that comes next.
    fn error(&self, reason: ReadErrorKind) -> ReadError {
        let order = self.section.as_ref().map_or(ByteOrder::Little, |section| section.order);
        let block = self.unread().first_chunk().map_or(0, |kind| order.word(*kind));
        ReadError { offset: self.offset, block, reason }
    }
}

/// Parses a block, and notes in the section's state what later blocks need.
fn parse<'b>(
    state: &mut Option<SectionState>,
    kind: u32,
    body: &'b [u8],
    order: ByteOrder,
) -> Result<(Block<'b>, Option<u64>), ReadErrorKind> {
    if kind == SECTION {
        let section = Section::parse(body, order)?;
        *state =
            Some(SectionState { order, clocks: Vec::new(), snap_length: 0, dialect: Dialect::default() });
        return Ok((Block::Section(section), None));
    }
    let Some(state) = state else { return Err(ReadErrorKind::NoSection) };
    let clock = |interface: u32| state.clocks.get(interface as usize);
    // Events belong to no interface. Hone's sections have one, and its clock is theirs.
    let event_clock = clock(0).copied().unwrap_or_default();
    Ok(match kind {
        INTERFACE => {
            let interface = Interface::parse(body, order)?;
            if state.clocks.len() >= MAX_INTERFACES {
                return Err(ReadErrorKind::TooManyInterfaces);
            }
            push(&mut state.clocks, Clock::of(&interface))?;
            if state.clocks.len() == 1 {
                state.snap_length = interface.snap_length;
            }
            (Block::Interface(interface), None)
        }
        PACKET => {
            let packet = Packet::parse_noting(body, order, &mut state.dialect)?;
            let clock =
                clock(packet.interface).ok_or(ReadErrorKind::UndescribedInterface(packet.interface))?;
            let nanos = clock.nanos(packet.timestamp);
            (Block::Packet(packet), nanos)
        }
        OBSOLETE_PACKET => {
            let packet = ObsoletePacket::parse(body, order)?;
            let interface = packet.interface.into();
            let clock = clock(interface).ok_or(ReadErrorKind::UndescribedInterface(interface))?;
            let nanos = clock.nanos(packet.timestamp);
            (Block::ObsoletePacket(packet), nanos)
        }
        SIMPLE_PACKET if clock(0).is_none() => return Err(ReadErrorKind::UndescribedInterface(0)),
        SIMPLE_PACKET => (Block::SimplePacket(SimplePacket::parse(body, order, state.snap_length)?), None),
        PROCESS => {
            let event = ProcessEvent::parse(body, order)?;
            let nanos = event_clock.nanos(event.timestamp);
            (Block::Process(event), nanos)
        }
        CONNECTION => {
            state.dialect = ConnectionEvent::dialect(body, order).unwrap_or(state.dialect);
            let event = ConnectionEvent::parse(body, order, state.dialect)?;
            let nanos = event_clock.nanos(event.timestamp);
            (Block::Connection(event), nanos)
        }
        STATISTICS => {
            let statistics = Statistics::parse(body, order)?;
            let nanos = clock(statistics.interface).and_then(|clock| clock.nanos(statistics.timestamp));
            (Block::Statistics(statistics), nanos)
        }
        _ => (Block::Unknown { kind, body: Cow::Borrowed(body) }, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_read_into_the_room_are_those_that_are_fed() {
        let mut stream = Vec::new();
        Section::default().emit(ByteOrder::NATIVE, &mut stream).unwrap();
        for process in 0..100 {
            ProcessEvent { process, ..ProcessEvent::default() }.emit(ByteOrder::NATIVE, &mut stream).unwrap();
        }
        let mut reader = Reader::new();
        let (mut rest, mut seen) = (&stream[..], Vec::new());
        while !rest.is_empty() {
            let room = reader.room(50).unwrap();
            assert!(room.len() >= 50);
            let count = room.len().min(rest.len()).min(70);
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            reader.filled(count);
            while let Some(item) = reader.next_block().unwrap() {
                crate::memory::extend(&mut seen, item.raw).unwrap();
            }
        }
        assert_eq!(seen, stream);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn the_buffer_does_not_grow_with_the_stream() {
        let mut stream = Vec::new();
        Section::default().emit(ByteOrder::NATIVE, &mut stream).unwrap();
        ProcessEvent::default().emit(ByteOrder::NATIVE, &mut stream).unwrap();
        let mut reader = Reader::new();
        let mut blocks = 0;
        for _ in 0..1_000 {
            // Never a whole number of blocks, so that there always is a rest to keep.
            for chunk in stream.chunks(31) {
                reader.feed(chunk).unwrap();
                while reader.next_block().unwrap().is_some() {
                    blocks += 1;
                }
            }
        }
        assert_eq!(blocks, 2_000);
        assert!(reader.buffer.capacity() <= 256, "{} bytes", reader.buffer.capacity());
        assert_eq!(reader.finish(), Ok(()));
    }
}
