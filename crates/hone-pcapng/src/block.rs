//! What all blocks share: the type codes and the frame.
//!
//! ```text
//!  0            4            8                          length-4     length
//! ┌────────────┬────────────┬──────────────────────────┬────────────┐
//! │ type       │ length     │ body, a multiple of 4    │ length     │
//! └────────────┴────────────┴──────────────────────────┴────────────┘
//! ```
//!
//! From the IETF draft, section "General Block Structure". The length counts all of it.

use alloc::borrow::Cow;

use crate::emit::{Layout, Sink, emits};
use crate::{
    ConnectionEvent, Interface, ObsoletePacket, Packet, ProcessEvent, Section, SimplePacket, Statistics,
};

/// Type code of the section header block. It reads the same in either byte order.
pub const SECTION: u32 = 0x0A0D_0D0A;
/// What every recording begins with: the type of a section header, in either byte order.
pub const MAGIC: [u8; 4] = SECTION.to_le_bytes();
/// Type code of the interface description block.
pub const INTERFACE: u32 = 0x0000_0001;
/// Type code of the obsolete packet block.
pub const OBSOLETE_PACKET: u32 = 0x0000_0002;
/// Type code of the simple packet block.
pub const SIMPLE_PACKET: u32 = 0x0000_0003;
/// Type code of the interface statistics block.
pub const STATISTICS: u32 = 0x0000_0005;
/// Type code of the enhanced packet block.
pub const PACKET: u32 = 0x0000_0006;
/// Type code of Hone's process event block.
pub const PROCESS: u32 = 0x0000_0101;
/// Type code of Hone's connection event block.
pub const CONNECTION: u32 = 0x0000_0102;

/// Where a block's body begins: after the type and the length.
pub(crate) const BODY_OFFSET: usize = 8;
/// What follows the body: the length once more.
pub(crate) const TRAILER_LENGTH: usize = 4;
/// What a block's frame takes: the type and the two lengths. Also the shortest block.
pub(crate) const FRAME_LENGTH: usize = BODY_OFFSET + TRAILER_LENGTH;
/// The longest block that this crate emits and, by default, reads: 16 MiB.
pub const MAX_LENGTH: u32 = 16 << 20;

/// The length with its padding to a multiple of 4; saturates at the largest one.
#[inline]
#[must_use]
pub(crate) const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// The usual name of this block type, if this crate knows it.
#[must_use]
pub fn name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        SECTION => Section::NAME,
        INTERFACE => Interface::NAME,
        OBSOLETE_PACKET => ObsoletePacket::NAME,
        SIMPLE_PACKET => SimplePacket::NAME,
        STATISTICS => Statistics::NAME,
        PACKET => Packet::NAME,
        PROCESS => ProcessEvent::NAME,
        CONNECTION => ConnectionEvent::NAME,
        _ => return None,
    })
}

/// Any block.
#[derive(Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// A section header.
    Section(Section<'a>),
    /// An interface description.
    Interface(Interface<'a>),
    /// A packet.
    Packet(Packet<'a>),
    /// A packet in the form that older tools wrote.
    ObsoletePacket(ObsoletePacket<'a>),
    /// A packet without time, interface or options.
    SimplePacket(SimplePacket<'a>),
    /// A process event.
    Process(ProcessEvent<'a>),
    /// A connection event.
    Connection(ConnectionEvent<'a>),
    /// Interface statistics.
    Statistics(Statistics<'a>),
    /// A block of another type, as it is.
    Unknown {
        /// Its type code.
        kind: u32,
        /// Its body, in the byte order of its section: emit it in the same one. A body that is not a multiple of 4
        /// long, which no reader returns, is emitted with padding.
        body: Cow<'a, [u8]>,
    },
}

impl Block<'_> {
    /// The block's type code.
    #[must_use]
    pub fn kind(&self) -> u32 {
        match self {
            Self::Section(_) => SECTION,
            Self::Interface(_) => INTERFACE,
            Self::Packet(_) => PACKET,
            Self::ObsoletePacket(_) => OBSOLETE_PACKET,
            Self::SimplePacket(_) => SIMPLE_PACKET,
            Self::Process(_) => PROCESS,
            Self::Connection(_) => CONNECTION,
            Self::Statistics(_) => STATISTICS,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}

impl Layout for Block<'_> {
    const NAME: &'static str = "block";

    fn kind(&self) -> u32 {
        self.kind()
    }

    fn body(&self, sink: &mut impl Sink) {
        match self {
            Self::Section(block) => block.body(sink),
            Self::Interface(block) => block.body(sink),
            Self::Packet(block) => block.body(sink),
            Self::ObsoletePacket(block) => block.body(sink),
            Self::SimplePacket(block) => block.body(sink),
            Self::Process(block) => block.body(sink),
            Self::Connection(block) => block.body(sink),
            Self::Statistics(block) => block.body(sink),
            Self::Unknown { body, .. } => sink.padded([body]),
        }
    }
}

emits!(Block);
