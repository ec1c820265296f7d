//! What the data of an indication is, and where it begins.

use hone_api::callouts::Layer;
use hone_types::{Direction, protocol};

/// Where the data of a net buffer begins in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Data {
    /// There is no packet: `layerData` is null.
    None,
    /// At the transport header. At the outbound layers nothing is in front of it: the IP header does not exist yet.
    AtTransportHeader,
    /// Behind the transport header. This header and the IP header are in front of the data, in the same net buffer.
    BehindTransportHeader,
}

/// Where the data begins at a layer, for a packet of this direction and protocol. Only the layers that authorise
/// connections see both directions: they see the other one when they authorise a connection again.
///
/// Sources: page "Data offset positions", including its notes about the ICMP socket; for closures and resources it says
/// that data is "not applicable". Page "Packet Indication Format": both headers are in the first net buffer of the list,
/// and transport layers get one list, whose `Next` is null. At the outbound layers the list can have several net buffers,
/// each a packet. Page "WFP Layer Requirements and Restrictions": at [`Layer::AuthConnect`], TCP has no packet.
#[must_use]
pub const fn data(layer: Layer, direction: Direction, protocol: u8) -> Data {
    match (layer, direction) {
        (Layer::ResourceAssignment | Layer::ResourceRelease | Layer::EndpointClosure, _) => Data::None,
        (Layer::AuthConnect, _) if protocol == protocol::TCP => Data::None,
        (Layer::AuthConnect | Layer::OutboundTransport, _) | (Layer::AuthRecvAccept, Direction::Outbound) => {
            Data::AtTransportHeader
        }
        (Layer::AuthRecvAccept | Layer::InboundTransport, _) => match protocol {
            protocol::ICMP | protocol::ICMPV6 => Data::AtTransportHeader,
            _ => Data::BehindTransportHeader,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_that_arrives_begins_at_its_own_header() {
        let inbound = |protocol| data(Layer::InboundTransport, Direction::Inbound, protocol);
        assert_eq!(inbound(protocol::ICMP), Data::AtTransportHeader);
        assert_eq!(inbound(protocol::ICMPV6), Data::AtTransportHeader);
        assert_eq!(inbound(protocol::UDP), Data::BehindTransportHeader);
    }
}
