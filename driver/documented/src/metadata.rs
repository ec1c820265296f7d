//! Which metadata fields exist at which layer.

use hone_api::callouts::Layer;

/// A field of `FWPS_INCOMING_METADATA_VALUES0` (page "Metadata field identifiers"; `FWPS_METADATA_FIELD_*`). Its number
/// is its bit in `currentMetadataValues` (fwpstypes.h; also in the crate windows-sys, which Microsoft makes from its
/// headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the page describes them under these names")]
pub enum Metadata {
    FlowHandle = 0x2,
    IpHeaderSize = 0x4,
    ProcessPath = 0x8,
    Token = 0x10,
    ProcessId = 0x20,
    SystemFlags = 0x40,
    Reserved = 0x80,
    TransportHeaderSize = 0x400,
    CompartmentId = 0x800,
    CompletionHandle = 0x4000,
    TransportEndpointHandle = 0x8000,
    TransportControlData = 0x1_0000,
    RemoteScopeId = 0x2_0000,
    PacketDirection = 0x4_0000,
    AleClassifyRequired = 0x40_0000,
    TransportHeaderIncludeHeader = 0x80_0000,
    ParentEndpointHandle = 0x400_0000,
    IcmpIdAndSequence = 0x800_0000,
    SubProcessTag = 0x8000_0000,
}

impl Metadata {
    /// The field's bit in `currentMetadataValues`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        self as u32
    }
}

/// The metadata fields that can exist at a layer, for both IP versions. Windows may leave out any of them.
///
/// Source: page "Metadata fields at each filtering layer". It lists no layer for
/// [`Metadata::TransportHeaderIncludeHeader`]. Page `FwpsConstructIpHeaderForTransportPacket0` says that callouts at the
/// outbound transport layers get it for packets from raw sockets whose program made the IP header.
#[must_use]
pub const fn metadata(layer: Layer) -> &'static [Metadata] {
    use Metadata as M;
    match layer {
        Layer::AuthConnect => &[
            M::FlowHandle,
            M::ProcessPath,
            M::Token,
            M::ProcessId,
            M::Reserved,
            M::TransportHeaderSize,
            M::CompartmentId,
            M::CompletionHandle,
            M::TransportEndpointHandle,
            M::RemoteScopeId,
            M::PacketDirection,
            M::ParentEndpointHandle,
            M::IcmpIdAndSequence,
            M::SubProcessTag,
        ],
        Layer::AuthRecvAccept => &[
            M::FlowHandle,
            M::IpHeaderSize,
            M::ProcessPath,
            M::Token,
            M::ProcessId,
            M::Reserved,
            M::TransportHeaderSize,
            M::CompartmentId,
            M::CompletionHandle,
            M::TransportEndpointHandle,
            M::PacketDirection,
            M::ParentEndpointHandle,
            M::IcmpIdAndSequence,
            M::SubProcessTag,
        ],
        Layer::ResourceAssignment => &[
            M::ProcessPath,
            M::Token,
            M::ProcessId,
            M::Reserved,
            M::CompletionHandle,
            M::TransportEndpointHandle,
            M::SubProcessTag,
        ],
        Layer::ResourceRelease => {
            &[M::Token, M::ProcessId, M::CompartmentId, M::TransportEndpointHandle, M::SubProcessTag]
        }
        Layer::EndpointClosure => &[
            M::Token,
            M::ProcessId,
            M::CompartmentId,
            M::TransportEndpointHandle,
            M::ParentEndpointHandle,
            M::SubProcessTag,
        ],
        Layer::InboundTransport => &[
            M::FlowHandle,
            M::IpHeaderSize,
            M::SystemFlags,
            M::Reserved,
            M::TransportHeaderSize,
            M::CompartmentId,
            M::TransportEndpointHandle,
            M::AleClassifyRequired,
            M::IcmpIdAndSequence,
        ],
        Layer::OutboundTransport => &[
            M::FlowHandle,
            M::SystemFlags,
            M::Reserved,
            M::TransportHeaderSize,
            M::CompartmentId,
            M::TransportEndpointHandle,
            M::TransportControlData,
            M::RemoteScopeId,
            M::IcmpIdAndSequence,
            M::TransportHeaderIncludeHeader,
        ],
    }
}

/// Whether a metadata field can exist at a layer.
#[must_use]
pub fn has(layer: Layer, field: Metadata) -> bool {
    metadata(layer).contains(&field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_never_names_its_process() {
        for layer in [Layer::InboundTransport, Layer::OutboundTransport] {
            assert!(!has(layer, Metadata::ProcessId));
            assert!(has(layer, Metadata::TransportEndpointHandle));
        }
        assert!(!has(Layer::OutboundTransport, Metadata::IpHeaderSize));
    }
}
