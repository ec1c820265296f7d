//! A condition: a word, its value, and whether that is wanted or unwanted.

use alloc::vec::Vec;

use hone_types::{ConnectionId, Direction};

use crate::error::{ConditionError, OutOfMemory};
use crate::expression::Expression;
use crate::fallible::copied;
use crate::network::Network;
use crate::text::Text;
use crate::view::{PacketView, ProcessView};
use crate::word::Word;

/// A condition.
#[derive(Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is compared.
    pub word: Word,
    /// Whether what has this value is unwanted.
    pub is_negated: bool,
    /// What it is compared with.
    pub value: Value,
    /// The value as it was given.
    text: Vec<u8>,
}

/// What a condition compares with.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// A process id.
    Pid(u32),
    /// A name: of [`Word::Name`], [`Word::Path`], [`Word::User`], [`Word::Group`], [`Word::Container`], [`Word::Unit`].
    Text(Text),
    /// A connection id.
    Conn(ConnectionId),
    /// A port.
    Port(u16),
    /// An address or a network.
    Host(Network),
    /// Which way a packet goes.
    Direction(Direction),
    /// A pcap-filter expression.
    Filter(Expression),
}

impl Condition {
    /// The condition of a word and its value.
    ///
    /// # Errors
    /// The word has no such value.
    pub fn new(word: Word, is_negated: bool, text: &str) -> Result<Self, ConditionError> {
        let value = Value::parse(word, text)?;
        Ok(Self { word, is_negated, value, text: copied(text.as_bytes())? })
    }

    /// The value as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Whether a process has the value.
    pub(crate) fn is_of_process(&self, process: &ProcessView<'_>) -> bool {
        let text = match &self.value {
            Value::Pid(pid) => return process.pid == *pid,
            Value::Text(text) => text,
            _ => return false,
        };
        let number = || text.given().parse().ok();
        match self.word {
            Word::Name => text.is(process.path) || text.is(base_name(process.path)),
            Word::Path if text.is_folder() => text.begins(process.path),
            Word::Path => text.is(process.path),
            Word::User => {
                text.is(process.user_name)
                    || text.is(process.security_id)
                    || process.user.is_some_and(|user| number() == Some(user))
            }
            Word::Group => {
                text.is(process.group_name) || process.group.is_some_and(|group| number() == Some(group))
            }
            Word::Container => text.begins(process.container),
            Word::Unit => text.is(process.unit) || text.is_with(process.unit, b".service"),
            _ => false,
        }
    }

    /// Whether a packet has the value.
    pub(crate) fn is_of_packet(&self, packet: &PacketView<'_>) -> bool {
        match &self.value {
            Value::Conn(connection) => packet.connection == Some(*connection),
            Value::Port(port) => {
                packet.headers.and_then(|headers| headers.ports()).is_some_and(|ports| ports.contains(port))
            }
            Value::Host(network) => packet.headers.is_some_and(|headers| {
                network.contains(headers.source) || network.contains(headers.destination)
            }),
            Value::Direction(direction) => packet.direction == Some(*direction),
            Value::Filter(expression) => expression.matches(packet),
            Value::Pid(_) | Value::Text(_) => false,
        }
    }

    /// Whether all that has the value of `other`, a condition of the same word, has also this one's.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Host(all), Value::Host(some)) => all.contains_all_of(some),
            (Value::Text(begin), Value::Text(text))
                if self.word == Word::Container || (self.word == Word::Path && begin.is_folder()) =>
            {
                begin.begins_all_of(text)
            }
            (all, some) => all == some,
        }
    }
}

impl Value {
    fn parse(word: Word, text: &str) -> Result<Self, ConditionError> {
        // A number's own parser would also take a sign.
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(match word {
            Word::Pid => Self::Pid(
                digits
                    .and_then(|text| text.parse().ok())
                    .ok_or(ConditionError::Value("must be a process id, 0 to 4294967295"))?,
            ),
            Word::Conn => Self::Conn(
                digits
                    .and_then(|text| text.parse().ok())
                    .ok_or(ConditionError::Value("must be a connection id, 0 to 18446744073709551615"))?,
            ),
            Word::Port => Self::Port(
                digits
                    .and_then(|text| text.parse().ok())
                    .ok_or(ConditionError::Value("must be a port, 0 to 65535"))?,
            ),
            Word::Host => Self::Host(text.parse().map_err(ConditionError::Value)?),
            Word::Direction => Self::Direction(match text {
                "in" => Direction::Inbound,
                "out" => Direction::Outbound,
                _ => return Err(ConditionError::Value("must be in or out")),
            }),
            // It comes first: an expression has no such character.
            _ if text.contains('\0') => return Err(ConditionError::Value("must not contain a zero byte")),
            Word::Filter => Self::Filter(text.parse()?),
            _ if text.is_empty() => return Err(ConditionError::Value("must not be empty")),
            Word::Name | Word::Path | Word::User | Word::Group | Word::Container | Word::Unit => {
                Self::Text(Text::new(text).map_err(|OutOfMemory| ConditionError::OutOfMemory)?)
            }
        })
    }
}

/// The last part of a path; all of `[kworker/0:1]`. Paths of Windows, which have no slash, are split at backslashes.
#[must_use]
pub fn base_name(path: &[u8]) -> &[u8] {
    if path.starts_with(b"[") {
        return path;
    }
    let separator = if path.contains(&b'/') { b'/' } else { b'\\' };
    path.rsplit(|byte| *byte == separator).find(|part| !part.is_empty()).unwrap_or(path)
}
