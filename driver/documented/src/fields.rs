//! Which fixed fields a layer has, in which order, and of which type.

use hone_api::callouts::{Family, Layer};

/// The type of a fixed value. Its number is that of `FWP_DATA_TYPE` (fwptypes.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// Nothing: the field does not apply to this indication.
    Empty = 0,
    /// `FWP_UINT8`.
    U8 = 1,
    /// `FWP_UINT16`.
    U16 = 2,
    /// `FWP_UINT32`. An IPv4 address has its first byte in the highest bits.
    U32 = 3,
    /// `FWP_UINT64`: a pointer to the number.
    U64 = 4,
    /// `FWP_BYTE_ARRAY16_TYPE`: a pointer to 16 bytes, an IPv6 address in network byte order.
    Bytes16 = 11,
    /// `FWP_BYTE_BLOB_TYPE`: a pointer to a counted array.
    Blob = 12,
    /// `FWP_TOKEN_ACCESS_INFORMATION_TYPE`: a pointer to such an array.
    Token = 15,
}

/// A fixed field (`FWPS_FIELD_*`), by the part of its name that follows the layer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the page describes them under these names")]
pub enum Field {
    AleAppId,
    AleUserId,
    AleRemoteUserId,
    AleRemoteMachineId,
    AlePromiscuousMode,
    IpProtocol,
    IpLocalAddress,
    IpLocalAddressType,
    IpLocalPort,
    IpRemoteAddress,
    IpRemotePort,
    IpDestinationAddressType,
    IpLocalInterface,
    InterfaceIndex,
    SubInterfaceIndex,
    InterfaceType,
    TunnelType,
    Flags,
    IpArrivalInterface,
    ArrivalInterfaceType,
    ArrivalTunnelType,
    ArrivalInterfaceIndex,
    IpNexthopInterface,
    NexthopSubInterfaceIndex,
    NexthopInterfaceType,
    NexthopTunnelType,
    NexthopInterfaceIndex,
    ProfileId,
    OriginalProfileId,
    CurrentProfileId,
    LocalInterfaceProfileId,
    ReauthorizeReason,
    PeerName,
    OriginalIcmpType,
    InterfaceQuarantineEpoch,
    SioFirewallSystemPort,
    SioFirewallSocketProperty,
    NapContext,
}

impl Field {
    /// The type of the field's value (page "Filtering condition identifiers"; the types of values in a classification of
    /// users and machines are tokens, not the security descriptors that a filter names).
    #[must_use]
    pub const fn kind(self, family: Family) -> Kind {
        match (self, family) {
            (Self::IpLocalAddress | Self::IpRemoteAddress, Family::V4) => Kind::U32,
            (Self::IpLocalAddress | Self::IpRemoteAddress, Family::V6) => Kind::Bytes16,
            (Self::IpProtocol | Self::IpLocalAddressType | Self::IpDestinationAddressType, _) => Kind::U8,
            (Self::IpLocalPort | Self::IpRemotePort | Self::OriginalIcmpType, _) => Kind::U16,
            (
                Self::IpLocalInterface
                | Self::IpArrivalInterface
                | Self::IpNexthopInterface
                | Self::InterfaceQuarantineEpoch,
                _,
            ) => Kind::U64,
            (Self::AleAppId | Self::PeerName, _) => Kind::Blob,
            (Self::AleUserId | Self::AleRemoteUserId | Self::AleRemoteMachineId, _) => Kind::Token,
            _ => Kind::U32,
        }
    }
}

/// The fixed fields of a layer, in the order of their indices, up to the last one that Windows 7 has. Newer versions
/// have more behind them. The order is the same for both IP versions.
///
/// Sources: the pages of the enumerations `FWPS_FIELDS_ALE_AUTH_CONNECT_V4`, `FWPS_FIELDS_ALE_AUTH_RECV_ACCEPT_V4`,
/// `FWPS_FIELDS_ALE_RESOURCE_ASSIGNMENT_V4`, `FWPS_FIELDS_ALE_RESOURCE_RELEASE_V4`, `FWPS_FIELDS_ALE_ENDPOINT_CLOSURE_V4`,
/// `FWPS_FIELDS_INBOUND_TRANSPORT_V4`, `FWPS_FIELDS_OUTBOUND_TRANSPORT_V4`, and of each one's `_V6` (fwpsk.h).
#[must_use]
pub const fn fields(layer: Layer) -> &'static [Field] {
    use Field as F;
    match layer {
        Layer::AuthConnect => &[
            F::AleAppId,
            F::AleUserId,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpProtocol,
            F::IpRemoteAddress,
            F::IpRemotePort,
            F::AleRemoteUserId,
            F::AleRemoteMachineId,
            F::IpDestinationAddressType,
            F::IpLocalInterface,
            F::Flags,
            F::InterfaceType,
            F::TunnelType,
            F::InterfaceIndex,
            F::SubInterfaceIndex,
            F::IpArrivalInterface,
            F::ArrivalInterfaceType,
            F::ArrivalTunnelType,
            F::ArrivalInterfaceIndex,
            F::NexthopSubInterfaceIndex,
            F::IpNexthopInterface,
            F::NexthopInterfaceType,
            F::NexthopTunnelType,
            F::NexthopInterfaceIndex,
            F::OriginalProfileId,
            F::CurrentProfileId,
            F::ReauthorizeReason,
            F::PeerName,
            F::OriginalIcmpType,
            F::InterfaceQuarantineEpoch,
        ],
        Layer::AuthRecvAccept => &[
            F::AleAppId,
            F::AleUserId,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpProtocol,
            F::IpRemoteAddress,
            F::IpRemotePort,
            F::AleRemoteUserId,
            F::AleRemoteMachineId,
            F::IpLocalInterface,
            F::Flags,
            F::SioFirewallSystemPort,
            F::NapContext,
            F::InterfaceType,
            F::TunnelType,
            F::InterfaceIndex,
            F::SubInterfaceIndex,
            F::IpArrivalInterface,
            F::ArrivalInterfaceType,
            F::ArrivalTunnelType,
            F::ArrivalInterfaceIndex,
            F::NexthopSubInterfaceIndex,
            F::IpNexthopInterface,
            F::NexthopInterfaceType,
            F::NexthopTunnelType,
            F::NexthopInterfaceIndex,
            F::OriginalProfileId,
            F::CurrentProfileId,
            F::ReauthorizeReason,
            F::OriginalIcmpType,
            F::InterfaceQuarantineEpoch,
        ],
        Layer::ResourceAssignment => &[
            F::AleAppId,
            F::AleUserId,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpProtocol,
            F::AlePromiscuousMode,
            F::IpLocalInterface,
            F::Flags,
            F::InterfaceType,
            F::TunnelType,
            F::LocalInterfaceProfileId,
            F::SioFirewallSocketProperty,
        ],
        Layer::ResourceRelease => &[
            F::AleAppId,
            F::AleUserId,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpProtocol,
            F::IpLocalInterface,
            F::Flags,
        ],
        Layer::EndpointClosure => &[
            F::AleAppId,
            F::AleUserId,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpProtocol,
            F::IpRemoteAddress,
            F::IpRemotePort,
            F::IpLocalInterface,
            F::Flags,
        ],
        Layer::InboundTransport => &[
            F::IpProtocol,
            F::IpLocalAddress,
            F::IpRemoteAddress,
            F::IpLocalAddressType,
            F::IpLocalPort,
            F::IpRemotePort,
            F::IpLocalInterface,
            F::InterfaceIndex,
            F::SubInterfaceIndex,
            F::Flags,
            F::InterfaceType,
            F::TunnelType,
            F::ProfileId,
        ],
        Layer::OutboundTransport => &[
            F::IpProtocol,
            F::IpLocalAddress,
            F::IpLocalAddressType,
            F::IpRemoteAddress,
            F::IpLocalPort,
            F::IpRemotePort,
            F::IpLocalInterface,
            F::InterfaceIndex,
            F::SubInterfaceIndex,
            F::IpDestinationAddressType,
            F::Flags,
            F::InterfaceType,
            F::TunnelType,
            F::ProfileId,
        ],
    }
}

/// The index of a field at a layer. `None` if the layer does not have it.
#[must_use]
pub fn index(layer: Layer, field: Field) -> Option<usize> {
    fields(layer).iter().position(|&other| other == field)
}

#[cfg(test)]
mod tests {
    use hone_api::callouts::CALLOUTS;

    use super::*;

    #[test]
    fn no_layer_has_a_field_twice_and_all_have_the_local_end() {
        for callout in CALLOUTS {
            let fields = fields(callout.layer);
            for field in fields {
                assert_eq!(fields.iter().filter(|other| *other == field).count(), 1, "{field:?}");
            }
            for field in [Field::IpProtocol, Field::IpLocalAddress, Field::Flags] {
                assert!(index(callout.layer, field).is_some());
            }
        }
    }
}
