//! What can go wrong, as plain values: no text is built until somebody prints it.

use core::fmt::{self, Display, Formatter};

use crate::block;

/// Why a block was not emitted. The output is then exactly as it was before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The output could not grow.
    OutOfMemory,
    /// A part of the block, or all of it, is longer than the format or [`block::MAX_LENGTH`] allows.
    TooLong {
        /// The part, for people.
        what: &'static str,
    },
    /// `other` holds an option with code 0, which would end the list of options early.
    EndOfOptions,
}

impl Display for EmitError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("there is not enough memory for the block"),
            Self::TooLong { what } => write!(f, "the {what} is too long for a block"),
            Self::EndOfOptions => f.write_str("an option with code 0 would end the block's options early"),
        }
    }
}

impl core::error::Error for EmitError {}

/// Why a stream cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Where the block begins, in bytes from the beginning of the stream.
    pub offset: u64,
    /// The block's type code; 0 when the stream ends before it.
    pub block: u32,
    /// What is wrong.
    pub reason: ReadErrorKind,
}

impl Display for ReadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match block::name(self.block) {
            Some(name) => write!(f, "the {name}")?,
            None if self.block == 0 => f.write_str("the block")?,
            None => write!(f, "the block of type {:#010x}", self.block)?,
        }
        write!(f, " at offset {} cannot be read: {}", self.offset, self.reason)
    }
}

impl core::error::Error for ReadError {}

/// What is wrong with a block. Lengths are in bytes; `at` counts from the first byte of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The reader's buffer or a value in the block could not get memory. The call may be tried again.
    OutOfMemory,
    /// The stream ends inside the block.
    Truncated,
    /// The stream does not begin with a section header, so it is not PCAP-NG.
    NoSection,
    /// The section header's byte-order magic, read as little endian, is not the magic in either order.
    ByteOrderMagic(u32),
    /// The section has a version other than 1.0 and its equal, 1.2.
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The block's length is below 12 or not a multiple of 4.
    Length(u32),
    /// The block is longer than the reader's limit.
    OverLimit {
        /// The block's length.
        length: u32,
        /// The reader's limit.
        limit: u32,
    },
    /// The lengths at the two ends of the block differ.
    LengthsDiffer {
        /// The length before the body.
        leading: u32,
        /// The length after the body.
        trailing: u32,
    },
    /// The body is too short for the block's fixed fields.
    BodyTooShort {
        /// The length of the body.
        length: usize,
        /// What the fixed fields need.
        minimum: usize,
    },
    /// The packet's captured length exceeds what the block has room for.
    CapturedLength {
        /// The captured length.
        captured: u32,
        /// The bytes between the packet's beginning and the block's end.
        available: usize,
    },
    /// An option runs past the end of its block.
    OptionOverrun {
        /// The option's code; 0 when the block ends before it.
        code: u16,
        /// Where the option begins.
        at: usize,
    },
    /// The length of an option is not possible for its content, which this crate knows.
    OptionLength {
        /// The option's code.
        code: u16,
        /// Where the option begins.
        at: usize,
        /// The length of its value.
        length: usize,
    },
    /// The packet belongs to an interface that the section has not described.
    UndescribedInterface(u32),
    /// The section describes more interfaces than the reader keeps.
    TooManyInterfaces,
}

impl Display for ReadErrorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfMemory => f.write_str("there is not enough memory"),
            Self::Truncated => f.write_str("the stream ends inside it"),
            Self::NoSection => {
                f.write_str("the stream does not begin with a section header, so it is not PCAP-NG")
            }
            Self::ByteOrderMagic(magic) => write!(f, "its byte-order magic is {magic:#010x}"),
            Self::Version { major, minor } => write!(f, "its version is {major}.{minor}, not 1.0"),
            Self::Length(length) => {
                write!(f, "its length is {length}, which is not a multiple of 4 of at least 12")
            }
            Self::OverLimit { length, limit } => {
                write!(f, "it is {length} bytes long, which is over the limit of {limit}")
            }
            Self::LengthsDiffer { leading, trailing } => {
                write!(f, "it says {leading} bytes at its beginning and {trailing} bytes at its end")
            }
            Self::BodyTooShort { length, minimum } => {
                write!(f, "its body has {length} bytes and needs at least {minimum}")
            }
            Self::CapturedLength { captured, available } => {
                write!(f, "it claims {captured} captured bytes and has room for {available}")
            }
            Self::OptionOverrun { code, at } => {
                write!(f, "option {code} at byte {at} of the block runs past its end")
            }
            Self::OptionLength { code, at, length } => {
                write!(f, "option {code} at byte {at} of the block cannot be {length} bytes long")
            }
            Self::UndescribedInterface(interface) => {
                write!(f, "its section has not described interface {interface}")
            }
            Self::TooManyInterfaces => f.write_str("its section describes too many interfaces"),
        }
    }
}

impl core::error::Error for ReadErrorKind {}
