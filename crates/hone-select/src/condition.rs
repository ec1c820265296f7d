//! A condition: a word, its value, and whether that is wanted or unwanted.

use alloc::vec::Vec;

use hone_types::{ConnectionId, Direction};

use crate::domain::Domain;
use crate::error::ConditionError;
use crate::expression::Expression;
use crate::fallible::copied;
use crate::network::Network;
use crate::text::{Text, is_windows_path};
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
    /// A name of the network.
    Domain(Domain),
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

    /// Whether names of the network are compared, which only recordings have.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        match &self.value {
            Value::Domain(_) => true,
            Value::Filter(expression) => expression.needs_names(),
            _ => false,
        }
    }

    /// Whether a process has the value.
    pub(crate) fn is_of_process(&self, process: &ProcessView<'_>) -> bool {
        let text = match &self.value {
            Value::Pid(pid) => return process.pid == Some(*pid),
            Value::Text(text) => text,
            _ => return false,
        };
        let is_windows = process.is_of_windows();
        let number = || text.given().parse().ok();
        match self.word {
            Word::Name => {
                text.is_alike(process.path, is_windows) || text.is_alike(base_name(process.path), is_windows)
            }
            Word::Path if text.is_folder() => text.begins_alike(process.path, is_windows),
            Word::Path => text.is_alike(process.path, is_windows),
            Word::User => {
                text.is_alike(process.user_name, is_windows)
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
            Value::Domain(domain) => packet.names.iter().any(|name| domain.has(name)),
            Value::Direction(direction) => packet.direction == Some(*direction),
            Value::Filter(expression) => expression.matches(packet),
            Value::Pid(_) | Value::Text(_) => false,
        }
    }

    /// Whether all that has the value of `other`, a condition of the same word, has also this one's.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Host(all), Value::Host(some)) => all.contains_all_of(some),
            (Value::Domain(all), Value::Domain(some)) => all.has_all_of(some),
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
            Word::Host => Self::Host(text.parse().map_err(ConditionError::Network)?),
            Word::Direction => Self::Direction(match text {
                "in" => Direction::Inbound,
                "out" => Direction::Outbound,
                _ => return Err(ConditionError::Value("must be in or out")),
            }),
            // It comes first: an expression has no such character.
            _ if text.contains('\0') => return Err(ConditionError::Value("must not contain a zero byte")),
            Word::Filter => Self::Filter(text.parse()?),
            Word::Domain => Self::Domain(Domain::new(text)?),
            _ if text.is_empty() => return Err(ConditionError::Value("must not be empty")),
            Word::User | Word::Group if is_negative(text) => {
                return Err(ConditionError::Value("must be a name or a number, 0 to 4294967295"));
            }
            // A user of Windows may be called so.
            Word::Group if digits.is_some_and(|digits| digits.parse::<u32>().is_err()) => {
                return Err(ConditionError::Value("must be a name or a number, 0 to 4294967295"));
            }
            Word::Name | Word::Path if has_dots(text) => {
                return Err(ConditionError::Value(
                    "must not have . or .. as a part: a recording has none in its paths",
                ));
            }
            Word::Name if !may_be_name(text) => {
                return Err(ConditionError::Value(
                    "must be a file name, such as curl, or a whole path, such as /usr/bin/curl; --path takes a folder",
                ));
            }
            Word::Path if !is_whole_path(text) => {
                return Err(ConditionError::Value(
                    "must be a whole path, such as /usr/bin/curl, or a whole folder, such as /usr/bin/; --name takes a file name",
                ));
            }
            Word::Name | Word::Path => Self::Text(Text::of_file(text)?),
            Word::User | Word::Group | Word::Container | Word::Unit => Self::Text(Text::new(text)?),
        })
    }
}

/// Whether it is a number with a sign, which no user or group has.
fn is_negative(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a part of a path of Linux is `.` or `..`, which the kernel has resolved in all paths.
fn has_dots(text: &str) -> bool {
    matches!(text, "." | "..")
        || (text.starts_with('/') && text.split('/').any(|part| matches!(part, "." | "..")))
}

/// Whether it can be all of a path. A thread of the kernel has its name in brackets there.
fn is_whole_path(text: &str) -> bool {
    text.starts_with(['/', '[']) || is_windows_path(text)
}

/// Whether it can be the last part of a path, or all of it.
fn may_be_name(text: &str) -> bool {
    !text.contains('/') || text.starts_with('[') || (is_whole_path(text) && !text.ends_with('/'))
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
