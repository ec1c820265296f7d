//! The table of callouts: the places where the network monitor looks at the traffic, and the keys of the filters that
//! lead there. `honeutil install` adds the filters, and the driver registers the functions behind the callouts. Both
//! use these keys.
//!
//! A callout knows its layer by its place in this table. It does not use the number that WFP passes along, because
//! those numbers differ between versions of Windows.

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
    /// A port is released.
    ResourceRelease,
    /// A packet arrives; the data begins behind the transport header.
    InboundTransport,
    /// A packet leaves; the data begins at the transport header.
    OutboundTransport,
}

pub use hone_types::Family;

/// One callout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callout {
    /// The WFP layer at which the callout is called.
    pub layer: Layer,
    /// The IP version whose traffic it sees.
    pub family: Family,
    /// The GUID under which the callout is registered with WFP.
    pub key: Guid,
}

/// Makes one of Hone's keys. They differ in their first group only. They were made once and must never change, because
/// installed systems contain them.
const fn key(number: u32) -> Guid {
    let data4 = [0x9c, 0x31, 0x6a, 0x5e, 0x0d, 0x27, 0xb4, 0x48];
    Guid { data1: 0x8f5b_2a00 + number, data2: 0x41d7, data3: 0x4c6b, data4 }
}

const fn callout(number: u32, layer: Layer, family: Family) -> Callout {
    Callout { layer, family, key: key(number) }
}

impl Callout {
    /// The key of the filter that calls this callout once the filtering platform's service runs.
    #[must_use]
    pub const fn filter(&self) -> Guid {
        Guid { data1: self.key.data1 + 0x20, ..self.key }
    }

    /// The key of the filter that calls this callout while the system starts.
    #[must_use]
    pub const fn boot_filter(&self) -> Guid {
        Guid { data1: self.key.data1 + 0x40, ..self.key }
    }
}

/// The provider that owns all of Hone's filters and callouts.
pub const PROVIDER: Guid = key(0x80);
/// The sublayer of Hone's filters, apart from those of others.
pub const SUBLAYER: Guid = key(0x81);

/// All callouts. The driver has one function for each entry.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_used_twice() {
        let of = |callout: &Callout| [callout.key, callout.filter(), callout.boot_filter()];
        let keys = || CALLOUTS.iter().flat_map(of).chain([PROVIDER, SUBLAYER]);
        for key in keys() {
            assert_eq!(keys().filter(|other| *other == key).count(), 1, "{key:x?}");
        }
    }

    #[test]
    fn each_layer_is_there_once_for_each_family() {
        for callout in CALLOUTS {
            let same = |other: &&Callout| (other.layer, other.family) == (callout.layer, callout.family);
            assert_eq!(CALLOUTS.iter().filter(same).count(), 1);
        }
    }
}
