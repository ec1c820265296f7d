//! What an expression does with a packet.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Range;

use hone_packet::protocol::{SCTP, TCP, UDP};
use hone_types::Direction;

use super::parse::MAX_DEPTH;
use crate::domain::Domain;
use crate::network::Network;
use crate::view::PacketView;

/// What is done next. There is one result, true or false, of the last test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Makes the test; its outcome is the result.
    Test(Test),
    /// Turns the result around.
    Not,
    /// Goes on at the index `to`, which is a later one, if the result is `when`.
    Jump {
        /// The result with which it jumps.
        when: bool,
        /// Index of the next instruction; the number of instructions is the end.
        to: u32,
    },
}

/// A test of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// An IP version.
    Version(u8),
    /// A transport protocol, over either version; or the next header of an IPv6 header.
    Protocol(u8),
    /// An address.
    Host(End, Network),
    /// From the first to the second port, of one protocol or of any that has ports.
    Port(End, u16, u16, Option<u8>),
    /// The destination is a multicast address.
    Multicast,
    /// The destination is 255.255.255.255.
    Broadcast,
    /// The way it goes.
    Way(Direction),
    /// One of the packet's names, or of its connection's, is in the domain at this index.
    Domain(u32),
    /// Two values, each computed by a row of steps.
    Compare {
        /// How they are compared.
        comparison: Comparison,
        /// Index of the left value's first step.
        left: u32,
        /// Index of the right value's first step, behind the left value's last one.
        right: u32,
        /// Index behind the right value's last step.
        end: u32,
    },
}

/// The end of the packet at which the host or port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
    /// One of them at least.
    Either,
    /// Both of them.
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

/// How two numbers are compared. They have no sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A step of computing a value, on a stack of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pushes a number.
    Number(u32),
    /// Pushes the packet's length.
    Length,
    /// Replaces the last number, an offset, with the number in this many bytes (1, 2 or 4) of a header, big-endian, from
    /// this offset on.
    Bytes(Layer, u8),
    /// Replaces the last two numbers with what is computed of them.
    Calculation(Calculation),
}

/// The header that contains the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The header of this version of IP.
    Ip(u8),
    /// The header of this transport protocol. Later fragments do not have it.
    Transport(u8),
}

/// What is computed. Numbers wrap around. A division by zero is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Calculation {
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

/// What the instructions refer to, by indices.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operands {
    /// The values of all comparisons, each as a row of steps.
    pub(super) steps: Vec<Step>,
    pub(super) domains: Vec<Domain>,
}

/// The result; `None` if the packet does not have a requested byte. Such a packet is not wanted.
pub(super) fn holds(
    instructions: &[Instruction],
    operands: &Operands,
    packet: &PacketView<'_>,
) -> Option<bool> {
    let (mut result, mut at) = (false, 0);
    while let Some(instruction) = instructions.get(at) {
        at += 1;
        match *instruction {
            Instruction::Test(test) => result = test.holds(operands, packet)?,
            Instruction::Not => result = !result,
            Instruction::Jump { when, to } => {
                // Only forward, so that it ends.
                if result == when {
                    at = at.max(index(to));
                }
            }
        }
    }
    Some(result)
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Test {
    fn holds(self, operands: &Operands, packet: &PacketView<'_>) -> Option<bool> {
        let headers = packet.headers.as_ref();
        Some(match self {
            Self::Version(version) => version_of(packet) == Some(version),
            Self::Protocol(protocol) => has_protocol(packet, protocol),
            Self::Host(end, network) => {
                headers.is_some_and(|h| end.test(network.contains(h.source), network.contains(h.destination)))
            }
            Self::Port(end, low, high, protocol) => headers.is_some_and(|headers| {
                let known = protocol.map_or(matches!(headers.protocol, TCP | UDP | SCTP), |protocol| {
                    headers.protocol == protocol
                });
                let within = |port: u16| (low..=high).contains(&port);
                let [source, destination] = headers.ports().map_or([false; 2], |ports| ports.map(within));
                known && end.test(source, destination)
            }),
            Self::Multicast => headers.is_some_and(|headers| headers.destination.is_multicast()),
            Self::Broadcast => headers
                .is_some_and(|headers| matches!(headers.destination, IpAddr::V4(to) if to.is_broadcast())),
            Self::Way(direction) => packet.direction == Some(direction),
            Self::Domain(at) => operands
                .domains
                .get(index(at))
                .is_some_and(|domain| packet.names.iter().any(|name| domain.has(name))),
            Self::Compare { comparison, left, right, end } => {
                let of = |range: Range<u32>| {
                    operands.steps.get(index(range.start)..index(range.end)).unwrap_or_default()
                };
                // The packet has another protocol than the bytes, so the comparison is false.
                if !of(left..end).iter().all(|step| step.applies(packet)) {
                    return Some(false);
                }
                let (left, right) = (value(of(left..right), packet)?, value(of(right..end), packet)?);
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

impl Step {
    /// Whether the packet has the protocol that the step reads.
    fn applies(&self, packet: &PacketView<'_>) -> bool {
        match self {
            Self::Bytes(Layer::Ip(version), _) => version_of(packet) == Some(*version),
            Self::Bytes(Layer::Transport(protocol), _) => {
                packet.headers.is_some_and(|h| h.protocol == *protocol && h.fragment == 0)
            }
            Self::Number(_) | Self::Length | Self::Calculation(_) => true,
        }
    }
}

/// Numbers on the stack at a time: an operand for each level of nesting, and the last one.
const STACK: usize = MAX_DEPTH + 1;

fn value(steps: &[Step], packet: &PacketView<'_>) -> Option<u32> {
    let mut stack = [0; STACK];
    let mut top = 0;
    for step in steps {
        let taken = match step {
            Step::Number(_) | Step::Length => 0,
            Step::Bytes(..) => 1,
            Step::Calculation(_) => 2,
        };
        top = usize::checked_sub(top, taken)?;
        let at = |index: usize| stack.get(top + index).copied();
        let value = match *step {
            Step::Number(number) => number,
            Step::Length => packet.length,
            Step::Bytes(layer, size) => {
                let bytes = match layer {
                    Layer::Ip(_) => packet.ip,
                    Layer::Transport(_) => packet.headers?.transport,
                };
                let bytes = bytes.get(index(at(0)?)..)?.get(..usize::from(size))?;
                bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
            }
            Step::Calculation(calculation) => calculation.of(at(0)?, at(1)?)?,
        };
        *stack.get_mut(top)? = value;
        top += 1;
    }
    stack.get(top.checked_sub(1)?).copied()
}

impl Calculation {
    fn of(self, left: u32, right: u32) -> Option<u32> {
        Some(match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => left.checked_div(right)?,
            Self::Remainder => left.checked_rem(right)?,
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::Left => left.checked_shl(right).unwrap_or(0),
            Self::Right => left.checked_shr(right).unwrap_or(0),
        })
    }
}

fn version_of(packet: &PacketView<'_>) -> Option<u8> {
    packet.ip.first().map(|byte| byte >> 4)
}

/// The transport protocol, or the next header of the IPv6 header, which may be an extension.
fn has_protocol(packet: &PacketView<'_>, protocol: u8) -> bool {
    let next = || version_of(packet) == Some(6) && packet.ip.get(6) == Some(&protocol);
    packet.headers.is_some_and(|headers| headers.protocol == protocol) || next()
}
