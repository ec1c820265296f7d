//! The enhanced packet block, with the connection and the process that the packet belongs to.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::{PACKET, padded};
use crate::emit::{Layout, Sink, emit_measured, emits, measure};
use crate::option::{OptionList, Options};
use crate::order::{join, split};
use crate::{
    ByteOrder, ConnectionId, Dialect, Direction, EmitError, How, RawOption, ReadErrorKind, attribution,
};

/// The direction's bits of `epb_flags`.
pub const DIRECTION: u32 = 0b11;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The end of a list of options: code and length are 0.
const END_OF_OPTIONS: u32 = 0;
pub(crate) const FLAGS: u16 = 2;
pub(crate) const PACKET_ID: u16 = 5;
pub(crate) const PROCESS_THREAD: u16 = 8;
pub(crate) const CONNECTION: u16 = 257;
pub(crate) const PROCESS: u16 = 258;
pub(crate) const HOW: u16 = 259;

/// The number with which the Windows original marks an unknown process.
pub(crate) const UNKNOWN_PROCESS: u32 = u32::MAX;

/// The bits of `epb_flags` that say this direction.
#[must_use]
pub const fn direction_flags(direction: Direction) -> u32 {
    match direction {
        Direction::Inbound => INBOUND,
        Direction::Outbound => OUTBOUND,
    }
}

/// The direction that `epb_flags` says, if it says one.
#[must_use]
pub const fn direction(flags: u32) -> Option<Direction> {
    match flags & DIRECTION {
        INBOUND => Some(Direction::Inbound),
        OUTBOUND => Some(Direction::Outbound),
        _ => None,
    }
}

/// The process and the thread that a packet's option 8 (`epb_processid_threadid`) names.
///
/// From the IETF draft, section "Enhanced Packet Block".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessThread {
    /// The process id; `None` (written as 0): not available.
    pub process: Option<u32>,
    /// The thread id; `None` (written as 0): not available.
    pub thread: Option<u32>,
}

impl ProcessThread {
    /// What Hone writes beside its own option 258, for readers that know only the draft. No thread is known. `None` for
    /// process 0, which the option cannot name.
    #[must_use]
    pub fn of_process(process: Option<u32>) -> Option<Self> {
        let process = process.filter(|process| *process != 0)?;
        Some(Self { process: Some(process), thread: None })
    }

    /// Parses the option's value. `None`: it is not 8 bytes long.
    pub(crate) fn parse(value: &[u8], order: ByteOrder) -> Option<Self> {
        let available = |id| Some(id).filter(|id| *id != 0);
        match order.take_words(value) {
            Ok(([process, thread], [])) => {
                Some(Self { process: available(process), thread: available(thread) })
            }
            _ => None,
        }
    }

    fn words(self) -> [u32; 2] {
        [self.process, self.thread].map(Option::unwrap_or_default)
    }
}

/// Who received a packet that was sent by a process of the same host, if both are recorded in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The connection, by the number that its connection events have. It is not the sender's: each end has its own.
    pub connection: Option<ConnectionId>,
    /// The process; `None` when it is not known.
    pub process: Option<u32>,
    /// How the process is known, or why there is none.
    pub how: How,
}

/// Enhanced packet block.
///
/// ```text
///  0            4            8            12           16           20           24           28
/// ┌────────────┬────────────┬────────────┬────────────┬────────────┬────────────┬────────────┬──────┬─────────┬────────┐
/// │ 0x00000006 │ length     │ interface  │ time, high │ time, low  │ captured   │ original   │ data │ options │ length │
/// └────────────┴────────────┴────────────┴────────────┴────────────┴────────────┴────────────┴──────┴─────────┴────────┘
///   2 flags (u32)   8 process and thread (u32 each)   257 connection (u32, wide dialect u64)   258 process (u32)
///   259 how (u8)   5 packet id (u64)
/// ```
///
/// If option 259 comes twice, with codes that are known, the block has two owners: options 257 to 259 up to the first one are
/// the sender's, those after it the receiver's.
///
/// From the IETF draft, section "Enhanced Packet Block"; options 257 and 258 from the Hone format description, 259 is
/// this project's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The interface, by its position among the section's interface descriptions.
    pub interface: u32,
    /// When it was captured, in units of the interface.
    pub timestamp: u64,
    /// The packet's length on the network in bytes. `data` may be shorter.
    pub original_length: u32,
    /// What was captured of the packet.
    pub data: Cow<'a, [u8]>,
    /// `epb_flags`; bits 0-1 are the [`direction`].
    pub flags: Option<u32>,
    /// The process and the thread as other programs know them. Of several, the first; the others stay in `other`, and
    /// so does one that is not 8 bytes long.
    pub process_thread: Option<ProcessThread>,
    /// The connection, by the number that its connection events have.
    pub connection: Option<ConnectionId>,
    /// The process that sent or received the packet; `None` when it is not known. Process 2^32 - 1 is read as `None`.
    pub process: Option<u32>,
    /// How the process is known, or why there is none. A code that is not known stays in `other`.
    pub how: Option<How>,
    /// Who received it, if this block is of the sender and the receiver. Then `how` is known, and it is the sender's.
    pub receiver: Option<Receiver>,
    /// `epb_packetid`: packets that have the same one are the same packet, seen at several places. One that is not 8 bytes
    /// long stays in `other`.
    pub packet_id: Option<u64>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> Packet<'a> {
    /// Whether this host sent or received it, if `flags` say so.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        self.flags.and_then(direction)
    }

    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        Self::parse_noting(body, order, &mut Dialect::Narrow)
    }

    /// Parses a body and notes the dialect that the connection id shows, if there is one.
    pub(crate) fn parse_noting(
        body: &'a [u8],
        order: ByteOrder,
        dialect: &mut Dialect,
    ) -> Result<Self, ReadErrorKind> {
        let ([interface, high, low, captured, original_length], rest) = order.take_words(body)?;
        let length = captured as usize;
        let Some((data, options)) = rest.split_at_checked(padded(length)) else {
            return Err(ReadErrorKind::CapturedLength { captured, available: rest.len() });
        };
        let begun = || Self {
            interface,
            timestamp: join(high, low),
            original_length,
            data: Cow::Borrowed(&data[..length]),
            ..Self::default()
        };
        let options = Options::new(options, body, order);
        let mut packet = begun();
        if !packet.options(options.clone(), order, dialect, false)? {
            packet = begun();
            packet.options(options, order, dialect, true)?;
        }
        Ok(packet)
    }

    /// Parses the options of one owner, or of a sender and a receiver. Returns false if there turn out to be two owners.
    fn options(
        &mut self,
        options: Options<'a>,
        order: ByteOrder,
        dialect: &mut Dialect,
        has_receiver: bool,
    ) -> Result<bool, ReadErrorKind> {
        let mut owners = [(None, None); 2];
        let mut receiver_how = None;
        for option in options {
            let option = option?;
            let (connection, process) = &mut owners[usize::from(has_receiver && self.how.is_some())];
            match option.code {
                FLAGS if self.flags.is_none() => self.flags = Some(option.u32()?),
                PACKET_ID if self.packet_id.is_none() && option.value.len() == 8 => {
                    self.packet_id = Some(option.u64()?);
                }
                PROCESS_THREAD if self.process_thread.is_none() => {
                    self.process_thread = ProcessThread::parse(option.value, order);
                    if self.process_thread.is_none() {
                        option.keep(&mut self.other)?;
                    }
                }
                CONNECTION if connection.is_none() => {
                    let (found, id) = match option.value.len() {
                        4 => (Dialect::Narrow, option.u32()?.into()),
                        _ => (Dialect::Wide, option.u64()?),
                    };
                    *dialect = found;
                    *connection = Some(id);
                }
                PROCESS if process.is_none() => {
                    *process = Some(option.u32()?).filter(|process| *process != UNKNOWN_PROCESS);
                }
                HOW => match attribution::from_value(option.value) {
                    how @ Some(_) if self.how.is_none() => self.how = how,
                    Some(_) if !has_receiver => return Ok(false),
                    how @ Some(_) if receiver_how.is_none() => receiver_how = how,
                    _ => option.keep(&mut self.other)?,
                },
                _ => option.keep(&mut self.other)?,
            }
        }
        let [sender, receiver] = owners;
        (self.connection, self.process) = sender;
        self.receiver = receiver_how.map(|how| Receiver { connection: receiver.0, process: receiver.1, how });
        Ok(true)
    }
}

/// A packet of which the length is known: see [`Packet::measured`].
#[derive(Debug)]
pub struct Measured<'p, 'a> {
    packet: &'p Packet<'a>,
    length: u32,
}

impl<'a> Packet<'a> {
    /// The packet with the length that it is emitted with, for who wants to know it before. So it is measured once.
    ///
    /// # Errors
    /// [`EmitError`], as [`emit`](Self::emit) would return it, but for the lack of memory.
    #[inline]
    pub fn measured(&self) -> Result<Measured<'_, 'a>, EmitError> {
        Ok(Measured { packet: self, length: measure(self)? })
    }
}

impl Measured<'_, '_> {
    /// The bytes that [`emit`](Self::emit) appends.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length as usize
    }

    /// Appends the whole block to `out`.
    ///
    /// # Errors
    /// There is no memory. `out` is then as it was.
    #[inline]
    pub fn emit(&self, order: ByteOrder, out: &mut Vec<u8>) -> Result<(), EmitError> {
        emit_measured(self.packet, self.length, order, out)
    }
}

impl Layout for Packet<'_> {
    const NAME: &'static str = "packet";

    fn kind(&self) -> u32 {
        PACKET
    }

    #[inline]
    fn body(&self, sink: &mut impl Sink) {
        let [high, low] = split(self.timestamp);
        // A length beyond 32 bits is beyond the longest block too, so it is never written.
        let captured = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        sink.words([self.interface, high, low, captured, self.original_length]);
        sink.padded([&self.data]);
        if let (Some(flags), Some(named), Some(Ok(connection)), Some(process), Some(how), None, None, []) = (
            self.flags,
            self.process_thread,
            self.connection.map(u32::try_from),
            self.process,
            self.how,
            self.receiver,
            self.packet_id,
            &*self.other,
        ) {
            // The list below, in one piece: of nearly all packets that Hone records.
            let order = sink.order();
            let [first, second] = named.words();
            return sink.words([
                order.pair(FLAGS, 4),
                flags,
                order.pair(PROCESS_THREAD, 8),
                first,
                second,
                order.pair(CONNECTION, 4),
                connection,
                order.pair(PROCESS, 4),
                process,
                order.pair(HOW, 1),
                order.first_byte(attribution::code(how)),
                END_OF_OPTIONS,
            ]);
        }
        let mut options = OptionList::new(sink);
        options.u32(FLAGS, self.flags);
        if let Some(named) = self.process_thread {
            options.two_words(PROCESS_THREAD, named.words());
        }
        connection(&mut options, self.connection);
        options.u32(PROCESS, self.process);
        options.u8(HOW, self.how.map(attribution::code));
        if let Some(receiver) = self.receiver {
            connection(&mut options, receiver.connection);
            options.u32(PROCESS, receiver.process);
            options.u8(HOW, Some(attribution::code(receiver.how)));
        }
        options.u64(PACKET_ID, self.packet_id);
        options.finish(&self.other);
    }
}

#[inline]
fn connection(options: &mut OptionList<'_, impl Sink>, connection: Option<ConnectionId>) {
    match connection.map(u32::try_from) {
        Some(Err(_)) => options.u64(CONNECTION, connection),
        narrow => options.u32(CONNECTION, narrow.and_then(Result::ok)),
    }
}

emits!(Packet);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    #[test]
    fn all_options_in_one_piece_are_those_of_the_list() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let whole = |other| Packet {
                data: Cow::Borrowed(&[1, 2, 3, 4, 5]),
                flags: Some(0x0201),
                process_thread: ProcessThread::of_process(Some(0x0102_0304)),
                connection: Some(0x0506_0708),
                process: Some(0x0102_0304),
                how: Some(Ok(Method::LastReceiver)),
                other,
                ..Packet::default()
            };
            let (mut piece, mut list) = (Vec::new(), Vec::new());
            whole(Vec::new()).emit(order, &mut piece).unwrap();
            let comment = RawOption { code: 1, value: Cow::Borrowed(b"text") };
            whole(Vec::from([comment])).emit(order, &mut list).unwrap();
            // The comment comes last, before the end of the list and the block's second length.
            let before = list.len() - 4 - 4 - 8;
            assert_eq!(piece[8..before], list[8..before]);
            assert_eq!(piece[before..before + 4], [0; 4]);
            assert_eq!(piece.len(), before + 8);
            let length = u32::try_from(piece.len()).unwrap();
            assert_eq!(piece[4..8], order.bytes(length));
            assert_eq!(piece[before + 4..], order.bytes(length));
        }
    }
}
