//! What can be wrong with a packet, as plain values.

use core::fmt::{self, Display, Formatter};

/// Why a header or checksum could not be made. Lengths and offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// There are fewer bytes than the fixed fields or the length field require.
    TooShort {
        /// The part of the packet, in words.
        what: &'static str,
        /// How many bytes there are.
        length: usize,
        /// How many bytes are required.
        minimum: usize,
    },
    /// There are more bytes than fit into the length field.
    TooLong {
        /// The part of the packet, in words.
        what: &'static str,
        /// How many bytes there are.
        length: usize,
        /// How many bytes are allowed.
        maximum: usize,
    },
    /// A length field does not match the actual length.
    LengthsDiffer {
        /// The part of the packet, in words.
        what: &'static str,
        /// The value of the field.
        says: usize,
        /// The actual length.
        length: usize,
    },
    /// The header length field is shorter than the header's fixed part or longer than the bytes that are there.
    HeaderLength {
        /// The protocol of the header, in words.
        what: &'static str,
        /// The value of the field.
        says: usize,
        /// The length of the header's fixed part.
        minimum: usize,
        /// How many bytes there are.
        maximum: usize,
    },
    /// The packet begins with neither an IPv4 nor an IPv6 header, but with this version.
    Version(u8),
    /// The packet is a fragment: the checksum covers bytes that are not in it.
    Fragment {
        /// Offset of this fragment in the whole packet.
        offset: u16,
        /// Whether other fragments follow.
        more: bool,
    },
    /// A routing header with stops ahead: the checksum is over an address that is not in the IPv6 header.
    Routed {
        /// How many stops are ahead.
        segments_left: u8,
    },
    /// The flow label has more than 20 bits.
    FlowLabel(u32),
}

impl Display for PacketError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { what, length, minimum } => {
                write!(f, "the {what} has {length} bytes and needs at least {minimum}")
            }
            Self::TooLong { what, length, maximum } => {
                write!(f, "the {what} has {length} bytes and may have at most {maximum}")
            }
            Self::LengthsDiffer { what, says, length } => {
                write!(f, "the {what} says that it has {says} bytes, but has {length}")
            }
            Self::HeaderLength { what, says, minimum, maximum } => {
                write!(
                    f,
                    "the {what} header says that it has {says} bytes, which must be {minimum} to {maximum}"
                )
            }
            Self::Version(version) => {
                write!(f, "the packet's IP version is {version}, which is neither 4 nor 6")
            }
            Self::Fragment { offset, more } => {
                let place = if more { "more follows" } else { "the last one" };
                write!(f, "the packet is a fragment from byte {offset} on, {place}")
            }
            Self::Routed { segments_left } => {
                write!(
                    f,
                    "the packet's routing header has {segments_left} stops left, so its last address is unknown"
                )
            }
            Self::FlowLabel(label) => write!(f, "the flow label {label:#x} has more than 20 bits"),
        }
    }
}

impl core::error::Error for PacketError {}
