//! What the fixed values of an indication say about its packets.

use core::net::{Ipv4Addr, Ipv6Addr};

use hone_packet::Addresses;

use crate::callouts::{Callout, Family, Layer};
use crate::network_monitor::{Indication, Value};

/// Indices of the fixed fields at one layer.
struct Fields {
    protocol: usize,
    local: usize,
    remote: usize,
    local_port: usize,
    remote_port: usize,
}

/// `FWPS_FIELDS_INBOUND_TRANSPORT_V4` and `_V6` (fwpsk.h, learn.microsoft.com): protocol, local address, remote address,
/// type of the local address, ports.
const INBOUND: Fields = Fields { protocol: 0, local: 1, remote: 2, local_port: 4, remote_port: 5 };
/// `FWPS_FIELDS_OUTBOUND_TRANSPORT_V4` and `_V6`: protocol, local address, its type, remote address, ports.
const OUTBOUND: Fields = Fields { protocol: 0, local: 1, remote: 3, local_port: 4, remote_port: 5 };

/// Index of the flags field at the inbound layers: `FWPS_FIELD_INBOUND_TRANSPORT_V4_FLAGS` and `_V6_`.
const INBOUND_FLAGS: usize = 9;
/// `FWP_CONDITION_FLAG_IS_LOOPBACK` (fwptypes.h).
const IS_LOOPBACK: u32 = 1;

/// Sender and receiver of all packets of an indication.
pub(super) struct Ends {
    pub(super) addresses: Addresses,
    pub(super) protocol: u8,
    /// Source and destination port. For protocols without ports, the values have other meanings.
    pub(super) ports: Option<[u16; 2]>,
}

impl Ends {
    /// Reads the fixed values. `None` if one is missing, or does not belong to the callout's IP version.
    pub(super) fn of(callout: &Callout, indication: &impl Indication) -> Option<Self> {
        let is_outbound = callout.layer == Layer::OutboundTransport;
        let fields = if is_outbound { &OUTBOUND } else { &INBOUND };
        let Some(Value::U8(protocol)) = indication.value(fields.protocol) else { return None };
        let address = |index| Address::of(callout.family, indication.value(index)?);
        let port = |index| match indication.value(index) {
            Some(Value::U16(port)) => Some(port),
            _ => None,
        };
        let local = (address(fields.local)?, port(fields.local_port));
        let remote = (address(fields.remote)?, port(fields.remote_port));
        let (source, destination) = if is_outbound { (local, remote) } else { (remote, local) };
        let ports = source.1.zip(destination.1).map(|(source, destination)| [source, destination]);
        Some(Self { addresses: source.0.to(destination.0)?, protocol, ports })
    }
}

/// Whether a packet that arrives never left the machine.
pub(super) fn is_loopback(indication: &impl Indication) -> bool {
    matches!(indication.value(INBOUND_FLAGS), Some(Value::U32(flags)) if flags & IS_LOOPBACK != 0)
}

/// An IPv4 or IPv6 address.
#[derive(Clone, Copy)]
enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Address {
    fn of(family: Family, value: Value) -> Option<Self> {
        match (family, value) {
            (Family::V4, Value::U32(number)) => Some(Self::V4(number.into())),
            (Family::V6, Value::Bytes16(bytes)) => Some(Self::V6(bytes.into())),
            _ => None,
        }
    }

    fn to(self, destination: Self) -> Option<Addresses> {
        match (self, destination) {
            (Self::V4(source), Self::V4(destination)) => Some(Addresses::V4 { source, destination }),
            (Self::V6(source), Self::V6(destination)) => Some(Addresses::V6 { source, destination }),
            _ => None,
        }
    }
}
