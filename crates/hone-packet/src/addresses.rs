//! The two ends of a packet.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::sum::Sum;

/// Source and destination of a packet; also says which version of IP it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// The sender.
        source: Ipv4Addr,
        /// The receiver.
        destination: Ipv4Addr,
    },
    /// IPv6.
    V6 {
        /// The sender.
        source: Ipv6Addr,
        /// The receiver; with a routing header, the last one (RFC 8200, section 8.1).
        destination: Ipv6Addr,
    },
}

impl Addresses {
    /// The sum of the pseudo header: both addresses, the protocol, the segment's length in bytes. RFC 9293, section
    /// 3.1 (IPv4) and RFC 8200, section 8.1 (IPv6): the fields differ in width and order, which a sum does not see.
    pub(crate) fn pseudo_header(&self, protocol: u8, length: usize) -> Sum {
        let mut sum = Sum::default();
        match self {
            Self::V4 { source, destination } => {
                sum.add(&source.octets());
                sum.add(&destination.octets());
            }
            Self::V6 { source, destination } => {
                sum.add(&source.octets());
                sum.add(&destination.octets());
            }
        }
        sum.add(&[0, protocol]);
        sum.add_number(length as u64);
        sum
    }
}
