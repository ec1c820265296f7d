//! Completes packets that the system hands over in parts: makes an IP header in front of a transport segment, and
//! computes the Internet checksum over a row of buffers.
//!
//! A network monitor sees packets before they are complete. The Windows filtering layers hand over a transport segment
//! without its IP header, as a chain of buffers; on both systems the network card computes the checksums. A recording
//! of such packets would be full of "bad checksum". This crate computes what is missing:
//!
//! * [`IpHeader`] makes the header, with its own checksum where it has one (IPv4).
//! * [`transport_checksum`] computes the checksum of a TCP, UDP, ICMP or ICMPv6 segment.
//! * [`packet_checksums`] computes both checksums of a packet that has its IP header.
//! * [`PacketHead`] parses the IP header of a whole packet in pieces.
//! * [`Headers`] parses the headers of a captured packet.
//!
//! The packet itself is not changed, because it belongs to the system. A checksum is returned as a [`ChecksumField`]
//! with its offset, its present value and its correct value. [`ChecksumField::write`] writes it into the monitor's own
//! copy, which may be shorter (snap length) than what the checksum covers.
//!
//! Pure functions: no state, no locks, no allocation, and each byte is read once. They can be called at any interrupt
//! level.

#![no_std]
#![forbid(unsafe_code)]

mod addresses;
mod checksum;
mod cursor;
mod error;
mod extension;
mod head;
mod header;
mod headers;
mod packet;
mod sum;

pub use addresses::Addresses;
pub use checksum::{ChecksumField, transport_checksum};
pub use error::PacketError;
pub use head::PacketHead;
pub use header::{HeaderBytes, IpHeader};
pub use headers::Headers;
pub use packet::{PacketChecksums, packet_checksums};

pub use hone_types::protocol;
