//! What is documented for the layers: a test that passes something else to the driver fails.

use hone_api::callouts::Layer;
use hone_documented::{Data, Direction, Metadata as M, data, has};

use crate::classify::Indication;

/// Checks an indication against what is documented for its layer.
///
/// # Errors
/// The layer does not have something of it.
pub(crate) fn assert_documented(layer: Layer, indication: &Indication) -> Result<(), String> {
    let is_set = [
        (M::IpHeaderSize, indication.ip_header.is_some()),
        (M::TransportHeaderSize, indication.transport_header.is_some()),
        (M::ProcessId, indication.process.is_some()),
        (M::TransportEndpointHandle, indication.endpoint.is_some()),
        (M::TransportHeaderIncludeHeader, indication.included_header.is_some()),
    ];
    if let Some((field, _)) = is_set.into_iter().find(|&(field, is_set)| is_set && !has(layer, field)) {
        return Err(format!("{field:?} does not exist at {layer:?}"));
    }
    let direction = if layer == Layer::InboundTransport { Direction::Inbound } else { Direction::Outbound };
    match data(layer, direction, indication.protocol) {
        Data::None if !indication.packets.is_empty() => Err(format!("{layer:?} has no packets")),
        Data::AtTransportHeader if direction == Direction::Outbound && indication.headroom > 0 => {
            Err(format!("nothing is in front of the data at {layer:?}"))
        }
        _ => Ok(()),
    }
}
