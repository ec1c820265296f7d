//! The connection event: a process opened or closed a connection, or had it when the section began.
//!
//! # Two dialects
//!
//! A connection id has 32 bits, but one sensor writes 64 (the *wide* dialect). The block does not say which. But its
//! options end exactly at the block's end in the right reading, and seldom do in the wrong one.
//! [`ConnectionEvent::dialect`] has the rule. This crate emits the narrow form for an id that fits into it and the wide
//! form for others, so a section may mix them. So its blocks are made to show their form: option 2, if there are
//! options, is the first one, and the wide form always has it. An event with a named kind and less than 64 KiB of other
//! options is then never misread: in the wrong reading, a kind of 0 ends the options too early, and one of 2^32 - 1 or
//! 2^32 - 2 runs past the end.

use alloc::vec::Vec;

use crate::block::CONNECTION;
use crate::emit::{Layout, Sink, emits};
use crate::option::{OptionList, Options};
use crate::order::{join, split};
use crate::{ByteOrder, ConnectionId, Correction, RawOption, ReadErrorKind, correction};

const KIND: u16 = 2;
/// Like that of a close, it runs past the block's end in the wrong dialect; see the module.
const CORRECTION_KIND: u32 = u32::MAX - 1;

/// How wide connection ids are in connection events and in option 257 of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 32 bits: the format as it is described.
    #[default]
    Narrow,
    /// 64 bits: a fork of the Linux sensor, and this crate for an id beyond 32 bits.
    Wide,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionEventKind {
    /// It was opened.
    #[default]
    Opened,
    /// Packets that were recorded before belong to another process than was recorded, or to none: [`Correction`].
    Correction,
    /// It was closed.
    Closed,
    /// A kind without a name in this crate. The number of a named kind is read back as that kind.
    Other(u32),
}

impl From<u32> for ConnectionEventKind {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Opened,
            CORRECTION_KIND => Self::Correction,
            u32::MAX => Self::Closed,
            other => Self::Other(other),
        }
    }
}

impl From<ConnectionEventKind> for u32 {
    fn from(kind: ConnectionEventKind) -> Self {
        match kind {
            ConnectionEventKind::Opened => 0,
            ConnectionEventKind::Correction => CORRECTION_KIND,
            ConnectionEventKind::Closed => Self::MAX,
            ConnectionEventKind::Other(other) => other,
        }
    }
}

/// Connection event block.
///
/// ```text
/// narrow
///  0            4            8            12           16           20           24
/// ┌────────────┬────────────┬────────────┬────────────┬────────────┬────────────┬─────────┬────────┐
/// │ 0x00000102 │ length     │ connection │ process    │ time, high │ time, low  │ options │ length │
/// └────────────┴────────────┴────────────┴────────────┴────────────┴────────────┴─────────┴────────┘
/// wide
///  0            4            8                         16           20           24           28
/// ┌────────────┬────────────┬─────────────────────────┬────────────┬────────────┬────────────┬─────────┬────────┐
/// │ 0x00000102 │ length     │ connection              │ process    │ time, high │ time, low  │ options │ length │
/// └────────────┴────────────┴─────────────────────────┴────────────┴────────────┴────────────┴─────────┴────────┘
///   2 kind (u32, 0 if absent)   of a correction: 3 direction (u32: 1 inbound, 2 outbound)   6 how (u8)
///   and 4 bytes of the stream (u32 from, u32 to) or 5 time of the packet (u32 high, u32 low)
/// ```
///
/// From the Hone format description; kind 2^32 - 2 and its options are this project's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConnectionEvent<'a> {
    /// The connection.
    pub connection: ConnectionId,
    /// The process that opened or closed it.
    pub process: u32,
    /// When it happened, in units of the section's interface 0.
    pub timestamp: u64,
    /// What happened.
    pub kind: ConnectionEventKind,
    /// The corrected packets, if this is a correction. `None` if it does not contain them.
    pub correction: Option<Correction>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> ConnectionEvent<'a> {
    /// The dialect of a body, if it can be recognised: the one in whose reading the options are valid and end where the
    /// body ends; if both do, the one in which option 2 comes first. `None` if it cannot be recognised.
    #[must_use]
    pub fn dialect(body: &[u8], order: ByteOrder) -> Option<Dialect> {
        // How well a reading fits: not at all, well, or with option 2 in front.
        let fit = |dialect| {
            let Ok((_, rest)) = fixed_fields(body, order, dialect) else { return 0 };
            let options = Options::new(rest, body, order);
            let mut kinds = options.clone().flatten().filter(|option| option.code == KIND);
            let sound = options.fills_body() && kinds.next().is_none_or(|kind| kind.u32().is_ok());
            let leads = order.take_words(rest).is_ok_and(|([head], _)| head == order.pair(KIND, 4));
            u8::from(sound) + u8::from(sound && leads)
        };
        match fit(Dialect::Narrow).cmp(&fit(Dialect::Wide)) {
            core::cmp::Ordering::Greater => Some(Dialect::Narrow),
            core::cmp::Ordering::Less => Some(Dialect::Wide),
            core::cmp::Ordering::Equal => None,
        }
    }

    /// Parses a body: what is between the two lengths. The dialect is [`ConnectionEvent::dialect`] or, where that is
    /// `None`, the one that the section has used before.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder, dialect: Dialect) -> Result<Self, ReadErrorKind> {
        let ((connection, process, timestamp), rest) = fixed_fields(body, order, dialect)?;
        let mut event = Self { connection, process, timestamp, ..Self::default() };
        let (mut kind, mut correction) = (None, correction::Parsing::default());
        for option in Options::new(rest, body, order) {
            let option = option?;
            match option.code {
                KIND if kind.is_none() => kind = Some(option.u32()?.into()),
                // The kind comes first: see the module.
                _ if kind == Some(ConnectionEventKind::Correction) => {
                    correction.option(option, &mut event.other)?;
                }
                _ => option.keep(&mut event.other)?,
            }
        }
        event.kind = kind.unwrap_or_default();
        event.correction = correction.finish(&mut event.other)?;
        Ok(event)
    }
}

/// Connection, process and time, and the options that follow them.
type FixedFields<'a> = ((ConnectionId, u32, u64), &'a [u8]);

fn fixed_fields(body: &[u8], order: ByteOrder, dialect: Dialect) -> Result<FixedFields<'_>, ReadErrorKind> {
    Ok(match dialect {
        Dialect::Narrow => {
            let ([connection, process, high, low], rest) = order.take_words(body)?;
            ((connection.into(), process, join(high, low)), rest)
        }
        Dialect::Wide => {
            let ([first, second, process, high, low], rest) = order.take_words(body)?;
            ((order.unwide([first, second]), process, join(high, low)), rest)
        }
    })
}

impl Layout for ConnectionEvent<'_> {
    const NAME: &'static str = "connection event";

    fn kind(&self) -> u32 {
        CONNECTION
    }

    fn body(&self, sink: &mut impl Sink) {
        let [high, low] = split(self.timestamp);
        let narrow = u32::try_from(self.connection);
        match narrow {
            Ok(connection) => sink.words([connection, self.process, high, low]),
            Err(_) => {
                let [first, second] = sink.order().wide(self.connection);
                sink.words([first, second, self.process, high, low]);
            }
        }
        let kind = u32::from(self.kind);
        let mut options = OptionList::new(sink);
        // See the module: only a narrow block without any option can do without this one.
        let needed = kind != 0 || narrow.is_err() || !self.other.is_empty();
        options.u32(KIND, needed.then_some(kind));
        if let Some(correction) = self.correction {
            correction.emit(&mut options);
        }
        options.finish(&self.other);
    }
}

emits!(ConnectionEvent);
