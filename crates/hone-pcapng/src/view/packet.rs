//! A packet's fields, for who looks at every packet.

use crate::block::padded;
use crate::order::join;
use crate::packet::{CONNECTION, FLAGS, HOW, PROCESS, UNKNOWN_PROCESS, direction};
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
}

impl<'a> PacketView<'a> {
    pub(super) fn read(body: &'a [u8], order: ByteOrder) -> Option<Self> {
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
        };
        let mut options = rest.get(padded(captured)..).unwrap_or_default();
        while let Ok(([head], value)) = order.take_words(options) {
            let (code, length) = order.unpair(head);
            match code {
                0 => break,
                FLAGS if view.flags.is_none() => view.flags = order.word_at(value, 0),
                CONNECTION if view.connection.is_none() => {
                    view.connection = if length == 8 {
                        order.take_words(value).ok().map(|(words, _)| order.unwide(words))
                    } else {
                        order.word_at(value, 0).map(u64::from)
                    };
                }
                PROCESS if view.process.is_none() => {
                    view.process = order.word_at(value, 0).filter(|process| *process != UNKNOWN_PROCESS);
                }
                HOW if view.how.is_none() => {
                    view.how = value.first().copied().and_then(attribution::from_code)
                }
                _ => {}
            }
            options = value.get(padded(length.into())..).unwrap_or_default();
        }
        Some(view)
    }

    /// Whether this host sent it.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.flags.and_then(direction) == Some(Direction::Outbound)
    }
}
