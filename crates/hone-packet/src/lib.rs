//! What a packet needs to be whole when the system hands it over in parts: an IP header in front of a transport
//! segment, and the Internet checksum over a row of buffers.
//!
//! A network monitor sees packets where they are not finished. The Windows filtering layers hand over a transport
//! segment without its IP header, as a chain of buffers; both systems leave checksums to the network card. A recording
//! that keeps such packets as they are is full of "bad checksum". This crate computes what is missing:
//!
//! * [`IpHeader`] makes the header, with its own checksum where it has one (IPv4).
//! * [`transport_checksum`] gives the checksum of a TCP, UDP, ICMP or ICMPv6 segment.
//! * [`packet_checksums`] gives both checksums of a packet that has its IP header.
//! * [`Headers`] are those of a captured packet, read: who talks to whom.
//!
//! Nothing is changed in place: the packet belongs to the system. A checksum comes as a [`ChecksumField`], which says
//! where it belongs, what is there and what should be; [`ChecksumField::write`] puts it into the monitor's own copy,
//! which may be shorter (snap length) than what the checksum covers.
//!
//! Pure functions: no state, no lock, no memory is taken, each byte is read once. Any caller at any interrupt level.

#![no_std]
#![forbid(unsafe_code)]

mod addresses;
mod checksum;
mod cursor;
mod error;
mod extension;
mod header;
mod headers;
mod packet;
mod sum;

pub use addresses::Addresses;
pub use checksum::{ChecksumField, transport_checksum};
pub use error::PacketError;
pub use header::{HeaderBytes, IpHeader};
pub use headers::Headers;
pub use packet::{PacketChecksums, packet_checksums};

pub use hone_types::protocol;
