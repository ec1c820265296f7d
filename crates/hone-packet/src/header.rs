//! Makes IP headers for segments that come without one.

use core::ops::Deref;

use crate::{Addresses, PacketError, sum::Sum};

/// Length of an IPv4 header without options, bytes.
pub(crate) const V4_LENGTH: usize = 20;
/// Length of an IPv6 header, bytes.
pub(crate) const V6_LENGTH: usize = 40;
/// Where the IPv4 header's checksum is.
pub(crate) const V4_CHECKSUM: usize = 10;

const DONT_FRAGMENT: u16 = 0x4000;
const MAX_FLOW_LABEL: u32 = 0xF_FFFF;

/// The content of an IP header, except lengths and checksum. Without options or extension headers, never a fragment.
///
/// ```text
///  IPv4 (RFC 791)                                 IPv6 (RFC 8200)
///  0  version, header length, class, length       0  version, class, flow label
///  4  identification, flags, fragment offset      4  payload length, next header, hop limit
///  8  time to live, protocol, checksum            8  source
/// 12  source                                     24  destination
/// 16  destination
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeader {
    /// Source and destination; with them, the version.
    pub addresses: Addresses,
    /// What follows the header: "protocol" (IPv4), "next header" (IPv6).
    pub protocol: u8,
    /// Time to live (IPv4), hop limit (IPv6).
    pub hop_limit: u8,
    /// Differentiated services and congestion notification: "type of service" (IPv4), "traffic class" (IPv6).
    pub traffic_class: u8,
    /// Identification; IPv4 only.
    pub identification: u16,
    /// Whether routers must not fragment the packet; IPv4 only.
    pub dont_fragment: bool,
    /// Flow label, 20 bits; IPv6 only.
    pub flow_label: u32,
}

impl IpHeader {
    /// A header with a hop limit of 64 (RFC 1700's "current recommended default time to live"), all else zero.
    #[must_use]
    pub const fn new(addresses: Addresses, protocol: u8) -> Self {
        Self {
            addresses,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: false,
            flow_label: 0,
        }
    }

    /// How many bytes the header has: 20 (IPv4) or 40 (IPv6).
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        match self.addresses {
            Addresses::V4 { .. } => V4_LENGTH,
            Addresses::V6 { .. } => V6_LENGTH,
        }
    }

    /// The header's bytes for a packet with a segment of `segment` bytes. This must be the segment's real length, not
    /// the length after cutting it to the snap length.
    ///
    /// # Errors
    /// [`PacketError::TooLong`]: the length does not fit into the length field. It has 16 bits, and in IPv4 it includes
    /// the header. A segment that the network card should split may be that long. [`PacketError::FlowLabel`].
    pub fn emit(&self, segment: usize) -> Result<HeaderBytes, PacketError> {
        match self.addresses {
            Addresses::V4 { source, destination } => {
                let length = segment.saturating_add(V4_LENGTH);
                let length = u16::try_from(length).map_err(|_| too_long("IPv4 packet", length))?;
                let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
                let mut bytes = [0; V6_LENGTH];
                bytes[0] = 0x45;
                bytes[1] = self.traffic_class;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..6].copy_from_slice(&self.identification.to_be_bytes());
                bytes[6..8].copy_from_slice(&flags.to_be_bytes());
                bytes[8] = self.hop_limit;
                bytes[9] = self.protocol;
                bytes[12..16].copy_from_slice(&source.octets());
                bytes[16..20].copy_from_slice(&destination.octets());
                let mut sum = Sum::default();
                sum.add(&bytes[..V4_LENGTH]);
                bytes[V4_CHECKSUM..][..2].copy_from_slice(&sum.checksum());
                Ok(HeaderBytes { bytes, length: V4_LENGTH })
            }
            Addresses::V6 { source, destination } => {
                let length = u16::try_from(segment).map_err(|_| too_long("IPv6 payload", segment))?;
                if self.flow_label > MAX_FLOW_LABEL {
                    return Err(PacketError::FlowLabel(self.flow_label));
                }
                let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
                let mut bytes = [0; V6_LENGTH];
                bytes[..4].copy_from_slice(&first.to_be_bytes());
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
                bytes[6] = self.protocol;
                bytes[7] = self.hop_limit;
                bytes[8..24].copy_from_slice(&source.octets());
                bytes[24..].copy_from_slice(&destination.octets());
                Ok(HeaderBytes { bytes, length: V6_LENGTH })
            }
        }
    }
}

const fn too_long(what: &'static str, length: usize) -> PacketError {
    PacketError::TooLong { what, length, maximum: u16::MAX as usize }
}

/// A header's bytes: 20 or 40 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; V6_LENGTH],
    length: usize,
}

impl Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
