//! The table of callouts: where the network monitor looks at the traffic. `honeutil install` makes filters with the same
//! keys; the driver registers the functions behind them.
//!
//! A callout knows its layer by its place in this table and not by the number that WFP passes along, as those numbers
//! differ between versions of Windows.

/// A globally unique identifier, as Windows lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Guid {
    /// First group.
    pub data1: u32,
    /// Second group.
    pub data2: u16,
    /// Third group.
    pub data3: u16,
    /// The rest.
    pub data4: [u8; 8],
}

/// What an indication at a layer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A connection is made, or a first datagram sent.
    AuthConnect,
    /// A connection is accepted, or a first datagram received.
    AuthRecvAccept,
    /// An endpoint is closed.
    EndpointClosure,
    /// A port is bound.
    ResourceAssignment,
    /// A port is given back.
    ResourceRelease,
    /// A packet arrives; the data begins behind the transport header.
    InboundTransport,
    /// A packet leaves; the data begins at the transport header.
    OutboundTransport,
}

/// Version of the internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One callout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callout {
    /// Where.
    pub layer: Layer,
    /// For which protocol.
    pub family: Family,
    /// Its key.
    pub key: Guid,
}

/// Keys differ in their first group only; made once for Hone.
const fn callout(number: u32, layer: Layer, family: Family) -> Callout {
    let data4 = [0x9c, 0x31, 0x6a, 0x5e, 0x0d, 0x27, 0xb4, 0x48];
    Callout { layer, family, key: Guid { data1: 0x8f5b_2a00 + number, data2: 0x41d7, data3: 0x4c6b, data4 } }
}

/// All callouts; a function of the driver belongs to each place.
pub const CALLOUTS: [Callout; 14] = [
    callout(0, Layer::AuthConnect, Family::V4),
    callout(1, Layer::AuthConnect, Family::V6),
    callout(2, Layer::AuthRecvAccept, Family::V4),
    callout(3, Layer::AuthRecvAccept, Family::V6),
    callout(4, Layer::EndpointClosure, Family::V4),
    callout(5, Layer::EndpointClosure, Family::V6),
    callout(6, Layer::ResourceAssignment, Family::V4),
    callout(7, Layer::ResourceAssignment, Family::V6),
    callout(8, Layer::ResourceRelease, Family::V4),
    callout(9, Layer::ResourceRelease, Family::V6),
    callout(10, Layer::InboundTransport, Family::V4),
    callout(11, Layer::InboundTransport, Family::V6),
    callout(12, Layer::OutboundTransport, Family::V4),
    callout(13, Layer::OutboundTransport, Family::V6),
];
