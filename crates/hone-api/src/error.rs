//! What can be wrong with a request or a reply, as plain values. Offsets and lengths are in bytes and count from the
//! first byte of the input or reply.

use core::fmt::{self, Display, Formatter};

use crate::Operation;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Any number from the first to the second, both included.
    Range(u64, u64),
    /// One of several values; the text names them.
    OneOf(&'static str),
}

impl Display for Allowed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(minimum, maximum) if minimum == maximum => write!(f, "{minimum}"),
            Self::Range(minimum, maximum) => write!(f, "{minimum} to {maximum}"),
            Self::OneOf(which) => f.write_str(which),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The input has a length that the operation's input cannot have.
    Length {
        /// The requested operation.
        operation: Operation,
        /// The input's length.
        length: usize,
        /// The shortest allowed.
        minimum: usize,
        /// The longest allowed; `usize::MAX`: any.
        maximum: usize,
        /// The length must be a multiple of this.
        unit: usize,
    },
    /// A part of the input has a value that it cannot have.
    Value {
        /// The requested operation.
        operation: Operation,
        /// The wrong part, in words.
        what: &'static str,
        /// Offset of the part, bytes.
        at: usize,
        /// Its value.
        value: u64,
        /// The allowed values.
        allowed: Allowed,
    },
}

impl Display for RequestError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { operation, length, minimum, maximum, unit } => {
                write!(f, "{operation}: the input has {length} bytes; allowed: ")?;
                match maximum {
                    usize::MAX => write!(f, "at least {minimum}")?,
                    _ => Allowed::Range(minimum as u64, maximum as u64).fmt(f)?,
                }
                if unit > 1 {
                    write!(f, ", a multiple of {unit}")?;
                }
                Ok(())
            }
            Self::Value { operation, what, at, value, allowed } => {
                write!(f, "{operation}: the {what} at byte {at} is {value}; allowed: {allowed}")
            }
        }
    }
}

impl core::error::Error for RequestError {}

/// A buffer is too small for what should be written to it. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// How many bytes are needed.
    pub needed: usize,
    /// How many bytes the buffer has.
    pub available: usize,
}

impl Display for BufferTooSmall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the buffer has {} bytes and needs {}", self.available, self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

/// Why a reply could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// The reply is too short, or its length field does not match its length.
    Length {
        /// The requested operation.
        operation: Operation,
        /// The reply's length.
        length: usize,
        /// The shortest length allowed.
        minimum: usize,
    },
    /// This crate does not know the reply's layout.
    Layout {
        /// The requested operation.
        operation: Operation,
        /// The layout's number.
        layout: u16,
        /// The layout number that this crate knows.
        known: u16,
    },
}

impl Display for ReplyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { operation, length, minimum } => {
                write!(f, "{operation}: the reply has {length} bytes and needs {minimum}")
            }
            Self::Layout { operation, layout, known } => {
                write!(f, "{operation}: the reply has layout {layout}; known here: {known}")
            }
        }
    }
}

impl core::error::Error for ReplyError {}
