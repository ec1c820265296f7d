//! Conditions for packets in the language of tcpdump and Wireshark's capture filters (pcap-filter). They are evaluated
//! here, without a C library and without name lookups on the network.
//!
//! Supported are `host`, `net`, `port`, `portrange` and `proto` with `src`, `dst` and a protocol; protocols alone;
//! `less`, `greater`, `len`, `multicast`, `inbound`, `outbound`; comparisons of `proto[offset:size]`; `and`, `or`,
//! `not` and parentheses. Hosts and ports must be numbers. Link-layer conditions (`ether`, `vlan`) are refused, because
//! Hone's packets begin at their IP header.
//!
//! As in libpcap, `and` and `or` have the same precedence, from left to right. A value without a keyword uses the
//! keywords of the value before it (`port 80 or 443`). A packet that is too short for a requested byte is not shown,
//! not even under `not`. Unlike in libpcap, transport headers after IPv6 extension headers are found, and `tcp[...]`
//! and similar work on IPv6.

mod arithmetic;
mod names;
mod parse;
mod token;

use std::net::IpAddr;
use std::str::FromStr;

use hone_pcapng::Direction;

use super::select::Network;
use crate::traffic::ip::{Headers, ICMP, ICMP6, SCTP, TCP, UDP};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Node);

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// A character without a meaning.
    #[error("{0:?} has no meaning here")]
    Character(char),
    /// Another word or sign was expected here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Words that cannot be combined.
    #[error("{what} cannot be combined with {with}")]
    Combination {
        /// The word.
        what: String,
        /// The other one.
        with: String,
    },
    /// A condition of the link layer, which recordings do not contain.
    #[error("{0} is not supported: packets are looked at from their IP header on")]
    LinkLayer(String),
    /// The expression has too many words and signs.
    #[error("it is longer than {most} words and signs")]
    TooLong {
        /// How many are allowed.
        most: usize,
    },
}

/// A packet as conditions see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// From the IP header on.
    pub(crate) ip: &'a [u8],
    pub(crate) headers: Option<Headers<'a>>,
    /// Length on the wire, from the IP header on.
    pub(crate) length: u32,
    pub(crate) direction: Option<Direction>,
}

impl Expression {
    /// Whether the packet meets the condition.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.0.holds(subject) == Some(true)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text).map(Self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    /// An IP version.
    Version(u8),
    /// A transport protocol, over either version.
    Protocol(u8),
    Host(End, Network),
    /// From the first to the second port, of one protocol or of any that has ports.
    Port(End, u16, u16, Option<u8>),
    Multicast,
    Broadcast,
    Way(Direction),
    Compare(Comparison, Value, Value),
}

/// The end of the packet at which the host or port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Either,
    Both,
}

impl End {
    fn test(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source || destination,
            Self::Both => source && destination,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u32),
    Length,
    /// The number in this many bytes of a header, big-endian, from an offset on.
    Bytes(Layer, Box<Value>, u8),
    Calculation(Calculation, Box<Value>, Box<Value>),
}

/// The header that contains the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Ip(u8),
    Transport(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    Left,
    Right,
}

impl Node {
    /// `None` if the packet does not have a requested byte. Such a packet is not shown.
    fn holds(&self, subject: &Subject<'_>) -> Option<bool> {
        let headers = subject.headers.as_ref();
        Some(match self {
            Self::And(left, right) => left.holds(subject)? && right.holds(subject)?,
            Self::Or(left, right) => left.holds(subject)? || right.holds(subject)?,
            Self::Not(node) => !node.holds(subject)?,
            Self::Version(version) => version_of(subject) == Some(*version),
            Self::Protocol(protocol) => has_protocol(subject, *protocol),
            Self::Host(end, network) => {
                headers.is_some_and(|h| end.test(network.contains(h.source), network.contains(h.destination)))
            }
            Self::Port(end, low, high, protocol) => headers.is_some_and(|headers| {
                let known = protocol.map_or(matches!(headers.protocol, TCP | UDP | SCTP), |protocol| {
                    headers.protocol == protocol
                });
                let within = |port: u16| (*low..=*high).contains(&port);
                let [source, destination] = headers.ports().map_or([false; 2], |ports| ports.map(within));
                known && end.test(source, destination)
            }),
            Self::Multicast => headers.is_some_and(|headers| headers.destination.is_multicast()),
            Self::Broadcast => headers
                .is_some_and(|headers| matches!(headers.destination, IpAddr::V4(to) if to.is_broadcast())),
            Self::Way(direction) => subject.direction == Some(*direction),
            Self::Compare(comparison, left, right) => {
                // The packet has another protocol than the bytes, so the comparison is false.
                if !(left.applies(subject) && right.applies(subject)) {
                    return Some(false);
                }
                let (left, right) = (left.of(subject)?, right.of(subject)?);
                match comparison {
                    Comparison::Equal => left == right,
                    Comparison::Unequal => left != right,
                    Comparison::Less => left < right,
                    Comparison::LessOrEqual => left <= right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterOrEqual => left >= right,
                }
            }
        })
    }
}

impl Value {
    /// Whether the packet has the protocols of the bytes in the comparison.
    fn applies(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Number(_) | Self::Length => true,
            Self::Bytes(layer, offset, _) => {
                offset.applies(subject)
                    && match layer {
                        Layer::Ip(version) => version_of(subject) == Some(*version),
                        Layer::Transport(protocol) => {
                            subject.headers.is_some_and(|h| h.protocol == *protocol && h.fragment == 0)
                        }
                    }
            }
            Self::Calculation(_, left, right) => left.applies(subject) && right.applies(subject),
        }
    }

    fn of(&self, subject: &Subject<'_>) -> Option<u32> {
        Some(match self {
            Self::Number(number) => *number,
            Self::Length => subject.length,
            Self::Bytes(layer, offset, size) => {
                let bytes = match layer {
                    Layer::Ip(_) => subject.ip,
                    Layer::Transport(_) => subject.headers?.transport,
                };
                let bytes =
                    bytes.get(usize::try_from(offset.of(subject)?).ok()?..)?.get(..usize::from(*size))?;
                bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
            }
            Self::Calculation(calculation, left, right) => {
                let (left, right) = (left.of(subject)?, right.of(subject)?);
                match calculation {
                    Calculation::Add => left.wrapping_add(right),
                    Calculation::Subtract => left.wrapping_sub(right),
                    Calculation::Multiply => left.wrapping_mul(right),
                    Calculation::Divide => left.checked_div(right)?,
                    Calculation::Remainder => left.checked_rem(right)?,
                    Calculation::And => left & right,
                    Calculation::Or => left | right,
                    Calculation::Xor => left ^ right,
                    Calculation::Left => left.checked_shl(right).unwrap_or(0),
                    Calculation::Right => left.checked_shr(right).unwrap_or(0),
                }
            }
        })
    }
}

fn version_of(subject: &Subject<'_>) -> Option<u8> {
    subject.ip.first().map(|byte| byte >> 4)
}

/// The transport protocol, or the next header of the IPv6 header, which may be an extension.
fn has_protocol(subject: &Subject<'_>, protocol: u8) -> bool {
    let next = || version_of(subject) == Some(6) && subject.ip.get(6) == Some(&protocol);
    subject.headers.is_some_and(|headers| headers.protocol == protocol) || next()
}

#[cfg(test)]
mod tests;
