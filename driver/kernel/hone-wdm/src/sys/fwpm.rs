//! The management functions of the Windows Filtering Platform (`fwpmk.h`), which the kernel has with the same meaning as
//! programs ("WFP user mode management functions", Windows driver documentation). The structures are those of
//! `fwpmtypes.h`, which mingw-w64 also has; `layout.c` compares them.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use super::{FWP_VALUE0, GUID};

#[repr(C)]
#[derive(Debug)]
pub struct FWPM_DISPLAY_DATA0 {
    /// Ends with NUL. A filter must have a name: `FWP_E_NULL_DISPLAY_NAME` ("WFP Error Codes").
    pub name: *const u16,
    pub description: *const u16,
}

#[repr(C)]
#[derive(Debug)]
pub struct FWP_BYTE_BLOB {
    pub size: u32,
    pub data: *const u8,
}

#[repr(C)]
#[derive(Debug)]
pub struct FWPM_SESSION0 {
    pub sessionKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    /// How long a transaction waits to begin, milliseconds.
    pub txnWaitTimeoutInMSec: u32,
    pub processId: u32,
    pub sid: *const c_void,
    pub username: *const u16,
    pub kernelMode: i32,
}

/// What is added in the session is removed when it ends.
pub const FWPM_SESSION_FLAG_DYNAMIC: u32 = 1;
/// One of the two authentication services that drivers may name (`FwpmEngineOpen0`).
pub const RPC_C_AUTHN_WINNT: u32 = 10;
/// `FWPM_SERVICE_STATE`: the base filtering engine runs.
pub const FWPM_SERVICE_RUNNING: u32 = 3;

#[repr(C)]
#[derive(Debug)]
pub struct FWPM_ACTION0 {
    pub r#type: u32,
    pub calloutKey: GUID,
}

/// Calls a callout that never decides.
pub const FWP_ACTION_CALLOUT_INSPECTION: u32 = 0x6004;

#[repr(C)]
pub struct FWPM_FILTER0 {
    /// Zero: the base filtering engine makes one ("Object Management").
    pub filterKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub providerKey: *const GUID,
    pub providerData: FWP_BYTE_BLOB,
    pub layerKey: GUID,
    pub subLayerKey: GUID,
    /// `FWP_EMPTY`, which is zero: the base filtering engine chooses.
    pub weight: FWP_VALUE0,
    pub numFilterConditions: u32,
    pub filterCondition: *const c_void,
    pub action: FWPM_ACTION0,
    /// `rawContext` or `providerContextKey`.
    pub context: [u64; 2],
    pub reserved: *const GUID,
    pub filterId: u64,
    pub effectiveWeight: FWP_VALUE0,
}

const fn key(data1: u32, data2: u16, data3: u16, data4: u64) -> GUID {
    GUID { Data1: data1, Data2: data2, Data3: data3, Data4: data4.to_be_bytes() }
}

// "Management filtering layer identifiers"; the values are those of fwpmu.h.
pub const FWPM_LAYER_ALE_AUTH_CONNECT_V4: GUID = key(0xc38d_57d1, 0x05a7, 0x4c33, 0x904f_7fbc_eee6_0e82);
pub const FWPM_LAYER_ALE_AUTH_CONNECT_V6: GUID = key(0x4a72_393b, 0x319f, 0x44bc, 0x84c3_ba54_dcb3_b6b4);
pub const FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4: GUID = key(0xe1cd_9fe7, 0xf4b5, 0x4273, 0x96c0_592e_487b_8650);
pub const FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6: GUID = key(0xa3b4_2c97, 0x9f04, 0x4672, 0xb87e_cee9_c483_257f);

pub type FWPM_SERVICE_STATE_CHANGE_CALLBACK0 = unsafe extern "system" fn(*mut c_void, u32);

const _: () = {
    assert!(size_of::<FWPM_SESSION0>() == 72);
    assert!(offset_of!(FWPM_SESSION0, flags) == 32);
    assert!(offset_of!(FWPM_SESSION0, sid) == 48);
    assert!(size_of::<FWPM_ACTION0>() == 20);
    assert!(size_of::<FWPM_FILTER0>() == 200);
    assert!(offset_of!(FWPM_FILTER0, layerKey) == 64);
    assert!(offset_of!(FWPM_FILTER0, weight) == 96);
    assert!(offset_of!(FWPM_FILTER0, filterCondition) == 120);
    assert!(offset_of!(FWPM_FILTER0, action) == 128);
    assert!(offset_of!(FWPM_FILTER0, context) == 152);
    assert!(offset_of!(FWPM_FILTER0, filterId) == 176);
};
