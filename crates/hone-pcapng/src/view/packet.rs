//! A packet's fields, for who looks at every packet.

use crate::block::padded;
use crate::order::join;
use crate::packet::{
    CONNECTION, DIRECTION, FLAGS, HOW, PACKET_ID, PROCESS, Receiver, UNKNOWN_PROCESS, direction,
    direction_flags,
};
use crate::{ByteOrder, ConnectionId, Direction, How, attribution};

/// A packet, with what most want of it: the fields of [`Packet`](crate::Packet) without its other options, which are not
/// checked. Read several times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketView<'a> {
    /// The interface, by its position among the section's interface descriptions.
    pub interface: u32,
    /// When it was captured, in units of the interface.
    pub timestamp: u64,
    /// The packet's length on the network in bytes. `data` may be shorter.
    pub original_length: u32,
    /// What was captured of the packet.
    pub data: &'a [u8],
    /// `epb_flags`; bits 0-1 are the direction: 1 inbound, 2 outbound.
    pub flags: Option<u32>,
    /// The connection, by the number that its connection events have.
    pub connection: Option<ConnectionId>,
    /// The process that sent or received the packet; `None` when it is not known.
    pub process: Option<u32>,
    /// How the process is known, or why there is none; `None` also for a code that is not known.
    pub how: Option<How>,
    /// Who received it, if this block is of the sender and the receiver.
    pub receiver: Option<Receiver>,
    /// The number that the same packet has wherever it is seen.
    pub packet_id: Option<u64>,
}

impl<'a> PacketView<'a> {
    #[inline]
    pub(super) fn read(body: &'a [u8], order: ByteOrder) -> Option<Self> {
        // The order is a constant of each call, so that it costs one branch a packet and not one a word.
        match order {
            ByteOrder::Little => Self::read_in::<false>(body),
            ByteOrder::Big => Self::read_in::<true>(body),
        }
    }

    #[inline]
    fn read_in<const BIG: bool>(body: &'a [u8]) -> Option<Self> {
        let order = if BIG { ByteOrder::Big } else { ByteOrder::Little };
        let ([interface, high, low, captured, original_length], rest) = order.take_words(body).ok()?;
        let captured = usize::try_from(captured).ok()?;
        let mut view = Self {
            interface,
            timestamp: join(high, low),
            original_length,
            data: rest.get(..captured)?,
            flags: None,
            connection: None,
            process: None,
            how: None,
            receiver: None,
            packet_id: None,
        };
        let options = rest.get(padded(captured)..).unwrap_or_default();
        if !view.options(options, order, false) {
            (view.connection, view.process, view.how) = (None, None, None);
            view.options(options, order, true);
        }
        Some(view)
    }

    /// Reads the options of one owner, or of a sender and a receiver. Returns false if there turn out to be two owners.
    #[inline]
    fn options(&mut self, mut options: &[u8], order: ByteOrder, has_receiver: bool) -> bool {
        let mut receiver = (None, None);
        while let Ok(([head], value)) = order.take_words(options) {
            let (code, length) = order.unpair(head);
            let (connection, process) = match has_receiver && self.how.is_some() {
                true => (&mut receiver.0, &mut receiver.1),
                false => (&mut self.connection, &mut self.process),
            };
            match code {
                0 => break,
                FLAGS if self.flags.is_none() => self.flags = order.word_at(value, 0),
                PACKET_ID if self.packet_id.is_none() && length == 8 => {
                    self.packet_id = order.take_words(value).ok().map(|(words, _)| order.unwide(words));
                }
                CONNECTION if connection.is_none() => {
                    *connection = if length == 8 {
                        order.take_words(value).ok().map(|(words, _)| order.unwide(words))
                    } else {
                        order.word_at(value, 0).map(u64::from)
                    };
                }
                PROCESS if process.is_none() => {
                    *process = order.word_at(value, 0).filter(|process| *process != UNKNOWN_PROCESS);
                }
                HOW => match attribution::from_value(value.get(..length.into()).unwrap_or_default()) {
                    how @ Some(_) if self.how.is_none() => self.how = how,
                    Some(_) if !has_receiver => return false,
                    Some(how) if self.receiver.is_none() => {
                        self.receiver = Some(Receiver { connection: receiver.0, process: receiver.1, how });
                    }
                    _ => {}
                },
                _ => {}
            }
            options = value.get(padded(length.into())..).unwrap_or_default();
        }
        true
    }

    /// The packet as its receiver has it, if the block is of the sender and the receiver. As it is, it is the sender's.
    #[must_use]
    pub fn as_received(&self) -> Option<Self> {
        let Receiver { connection, process, how } = self.receiver?;
        let inbound = direction_flags(Direction::Inbound);
        let flags = Some(self.flags.unwrap_or(0) & !DIRECTION | inbound);
        Some(Self { flags, connection, process, how: Some(how), receiver: None, ..*self })
    }

    /// Whether this host sent it.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.flags.and_then(direction) == Some(Direction::Outbound)
    }
}
