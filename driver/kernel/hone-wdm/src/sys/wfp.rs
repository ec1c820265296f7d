//! The Windows Filtering Platform. Only Microsoft's kit has a kernel header for it, so the structures are those
//! documented on learn.microsoft.com (fwpsk.h: `FWPS_INCOMING_VALUES0`, `FWPS_INCOMING_METADATA_VALUES0`,
//! `FWPS_CLASSIFY_OUT0`, `FWPS_CALLOUT1`, `FWPS_PACKET_LIST_INFORMATION0`), and the offsets follow from the C rules for 64-bit Windows. `FWP_VALUE0` is
//! also in mingw-w64's `fwptypes.h`.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use super::{NET_BUFFER_LIST, NTSTATUS};

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_VALUE0 {
    pub r#type: u32,
    pub value: FWP_VALUE0_UNION,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union FWP_VALUE0_UNION {
    pub uint8: u8,
    pub uint16: u16,
    pub uint32: u32,
    pub byteArray16: *const [u8; 16],
    pub uint64: *const u64,
}

pub const FWP_UINT8: u32 = 1;
pub const FWP_UINT16: u32 = 2;
pub const FWP_UINT32: u32 = 3;
pub const FWP_BYTE_ARRAY16_TYPE: u32 = 11;

#[repr(C)]
#[derive(Debug)]
pub struct FWPS_INCOMING_VALUES0 {
    pub layerId: u16,
    pub valueCount: u32,
    /// An array of `valueCount` values. `FWPS_INCOMING_VALUE0` contains only an `FWP_VALUE0`.
    pub incomingValue: *const FWP_VALUE0,
}

#[repr(C)]
#[derive(Debug)]
pub struct FWPS_INCOMING_METADATA_VALUES0 {
    /// Bits that say which of the other fields are set.
    pub currentMetadataValues: u32,
    pub flags: u32,
    pub reserved: u64,
    pub discardModule: u32,
    pub discardReason: u32,
    pub discardFilterId: u64,
    pub flowHandle: u64,
    pub ipHeaderSize: u32,
    pub transportHeaderSize: u32,
    pub processPath: *const c_void,
    pub token: u64,
    pub processId: u64,
    pub sourceInterfaceIndex: u32,
    pub destinationInterfaceIndex: u32,
    pub compartmentId: u32,
    pub fragmentIdentification: u32,
    pub fragmentOffset: u16,
    pub fragmentLength: u32,
    pub pathMtu: u32,
    pub completionHandle: *mut c_void,
    pub transportEndpointHandle: u64,
    pub remoteScopeId: u32,
    pub controlData: *const c_void,
    pub controlDataLength: u32,
    pub packetDirection: u32,
    pub headerIncludeHeader: *const u8,
    pub headerIncludeHeaderLength: u32,
    // The driver does not read the fields that follow.
}

/// Bits of `currentMetadataValues` (fwpsk.h; the same numbers as in windows-sys, `FWPS_METADATA_FIELD_*`).
pub const FWPS_METADATA_FIELD_IP_HEADER_SIZE: u32 = 0x0000_0004;
pub const FWPS_METADATA_FIELD_PROCESS_ID: u32 = 0x0000_0020;
pub const FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE: u32 = 0x0000_0400;
pub const FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE: u32 = 0x0000_8000;
pub const FWPS_METADATA_FIELD_TRANSPORT_HEADER_INCLUDE_HEADER: u32 = 0x0080_0000;

#[repr(C)]
#[derive(Debug)]
pub struct FWPS_CLASSIFY_OUT0 {
    pub actionType: u32,
    pub outContext: u64,
    pub filterId: u64,
    pub rights: u32,
    pub flags: u32,
    pub reserved: u32,
}

/// Leaves the decision to the next filter. A callout that only inspects must return this.
pub const FWP_ACTION_CONTINUE: u32 = 0x2006;
pub const FWPS_RIGHT_ACTION_WRITE: u32 = 1;
/// There is no callout with this id (ntstatus.h).
pub const STATUS_FWP_CALLOUT_NOT_FOUND: NTSTATUS = 0xC022_0001_u32.cast_signed();

/// What is asked of `FwpsGetPacketListSecurityInformation0`.
pub const FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND: u32 = 1;
pub const FWPS_PACKET_LIST_INFORMATION_QUERY_IPSEC: u32 = 4;

/// `isTunnelMode` and `isDeTunneled` of `FWPS_PACKET_LIST_INBOUND_IPSEC_INFORMATION0`: the third and the sixth bit.
pub const IPSEC_IS_TUNNEL_MODE: u32 = 0x04;
pub const IPSEC_IS_DETUNNELED: u32 = 0x20;

#[repr(C)]
#[derive(Debug, Default)]
pub struct FWPS_PACKET_LIST_INFORMATION0 {
    /// `FWPS_PACKET_LIST_IPSEC_INFORMATION0`: a union of bits, whose meaning depends on the direction.
    pub ipsecInformation: u32,
    /// `FWPS_PACKET_LIST_FWP_INFORMATION0`: bits.
    pub fwpInformation: u32,
}

pub type FWPS_CALLOUT_CLASSIFY_FN1 = unsafe extern "system" fn(
    *const FWPS_INCOMING_VALUES0,
    *const FWPS_INCOMING_METADATA_VALUES0,
    *mut NET_BUFFER_LIST,
    *const c_void,
    *const c_void,
    u64,
    *mut FWPS_CLASSIFY_OUT0,
);
pub type FWPS_CALLOUT_NOTIFY_FN1 = unsafe extern "system" fn(u32, *const GUID, *mut c_void) -> NTSTATUS;

#[repr(C)]
#[derive(Debug)]
pub struct FWPS_CALLOUT1 {
    pub calloutKey: GUID,
    pub flags: u32,
    pub classifyFn: FWPS_CALLOUT_CLASSIFY_FN1,
    pub notifyFn: FWPS_CALLOUT_NOTIFY_FN1,
    pub flowDeleteFn: Option<unsafe extern "system" fn(u16, u32, u64)>,
}

const _: () = {
    assert!(size_of::<GUID>() == 16);
    assert!(size_of::<FWP_VALUE0>() == 16);
    assert!(offset_of!(FWP_VALUE0, value) == 8);
    assert!(offset_of!(FWPS_INCOMING_VALUES0, incomingValue) == 8);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, ipHeaderSize) == 40);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, transportHeaderSize) == 44);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, processId) == 64);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, pathMtu) == 96);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, transportEndpointHandle) == 112);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, headerIncludeHeader) == 144);
    assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, headerIncludeHeaderLength) == 152);
    assert!(size_of::<FWPS_CLASSIFY_OUT0>() == 40);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, rights) == 24);
    assert!(size_of::<FWPS_PACKET_LIST_INFORMATION0>() == 8);
    assert!(size_of::<FWPS_CALLOUT1>() == 48);
    assert!(offset_of!(FWPS_CALLOUT1, classifyFn) == 24);
};
