//! Conditions for packets in the language of tcpdump and Wireshark's capture filters (pcap-filter). They are evaluated
//! here, without a C library and without name lookups on the network.
//!
//! Supported are `host`, `net`, `port`, `portrange` and `proto` with `src`, `dst` and a protocol; protocols alone;
//! `less`, `greater`, `len`, `multicast`, `inbound`, `outbound`; comparisons of `proto[offset:size]`; `and`, `or`,
//! `not` and parentheses. Hosts and ports must be numbers. `domain`, with a name behind it, is Hone's own. Link-layer conditions (`ether`, `vlan`) are refused, because
//! Hone's packets begin at their IP header.
//!
//! As in libpcap, `and` and `or` have the same precedence, from left to right. A value without a keyword uses the
//! keywords of the value before it (`port 80 or 443`). A packet that is too short for a requested byte is not shown,
//! not even under `not`. Unlike in libpcap, transport headers after IPv6 extension headers are found, and `tcp[...]`
//! and similar work on IPv6.
//!
//! An expression is a row of [`Instruction`]s with jumps forward only. Evaluating one takes neither memory nor
//! recursion, and each instruction is done at most once.

mod arithmetic;
mod names;
mod parse;
mod program;
mod token;

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

pub use self::program::{Calculation, Comparison, End, Instruction, Layer, Step, Test};
pub use self::token::MAX_TOKENS;
use crate::error::{Excerpt, OutOfMemory};
use crate::network::NetworkError;
use crate::view::PacketView;

/// A condition.
#[derive(Debug, PartialEq, Eq)]
pub struct Expression {
    instructions: Vec<Instruction>,
    operands: program::Operands,
}

/// Why an expression is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpressionError {
    /// What is wrong at this character. The first one is 1; one more than there are is the end.
    At(u32, ExpressionProblem),
    /// The expression has more than [`MAX_TOKENS`] words and signs.
    TooLong,
    /// There is no memory.
    OutOfMemory,
}

/// What is wrong at a place of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpressionProblem {
    /// A character without a meaning.
    Character(char),
    /// Another word or sign was expected here.
    Expected {
        /// What was expected.
        expected: &'static str,
        /// What was found; `None` at the end.
        found: Option<Excerpt>,
    },
    /// Words that cannot be combined.
    Combination {
        /// The word.
        what: Excerpt,
        /// The other one.
        with: &'static str,
    },
    /// A condition of the link layer, which recordings do not contain.
    LinkLayer(Excerpt),
    /// A name of the network that is none; what it must be.
    Domain(&'static str),
    /// A network's address that is not the first one of the network.
    Network(NetworkError),
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at, problem) => write!(f, "at character {at}: {problem}"),
            Self::TooLong => write!(f, "it is longer than {MAX_TOKENS} words and signs"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl fmt::Display for ExpressionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(char) => write!(f, "{char:?} has no meaning here"),
            Self::Expected { expected, found: Some(found) } => {
                write!(f, "expected {expected}, found {found:?}")
            }
            Self::Expected { expected, found: None } => write!(f, "expected {expected}, found the end"),
            Self::Combination { what, with } => write!(f, "{what} cannot be combined with {with}"),
            Self::LinkLayer(word) => {
                write!(f, "{word} is not supported: packets are looked at from their IP header on")
            }
            Self::Domain(must) => write!(f, "the domain {must}"),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ExpressionError {}

impl From<OutOfMemory> for ExpressionError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl Expression {
    /// Whether the packet meets the condition.
    #[must_use]
    pub fn matches(&self, packet: &PacketView<'_>) -> bool {
        program::holds(&self.instructions, &self.operands, packet).unwrap_or(false)
    }

    /// What it does, in order. Jumps lead to indices of this row, or to its end.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The steps that its comparisons refer to.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.operands.steps
    }

    /// Whether names of the network are compared, which only recordings have.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        !self.operands.domains.is_empty()
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text)
    }
}

#[cfg(test)]
mod tests;
