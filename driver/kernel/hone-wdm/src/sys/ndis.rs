//! Network buffers as documented on learn.microsoft.com (ndis/nbl.h: `NET_BUFFER_LIST`, `NET_BUFFER_HEADER`,
//! `NET_BUFFER_DATA`). mingw-w64 has no such header, so the offsets follow from the C rules for 64-bit Windows. The
//! driver does not call NDIS: NDIS' own macros read these fields too.

use core::mem::offset_of;

use super::MDL;

#[repr(C)]
#[derive(Debug)]
pub struct NET_BUFFER_LIST {
    pub Next: *mut NET_BUFFER_LIST,
    pub FirstNetBuffer: *mut NET_BUFFER,
    // The driver does not read the fields that follow.
}

#[repr(C)]
#[derive(Debug)]
pub struct NET_BUFFER {
    pub Next: *mut NET_BUFFER,
    pub CurrentMdl: *mut MDL,
    pub CurrentMdlOffset: u32,
    /// `NbDataLength` is a union with a `SIZE_T`, and aligned as one.
    pub Padding: u32,
    pub DataLength: u32,
    pub DataLengthHigh: u32,
    pub MdlChain: *mut MDL,
    /// Counts from the beginning of the chain.
    pub DataOffset: u32,
    // The driver does not read the fields that follow.
}

const _: () = {
    assert!(offset_of!(NET_BUFFER_LIST, FirstNetBuffer) == 8);
    assert!(offset_of!(NET_BUFFER, DataLength) == 0x18);
    assert!(offset_of!(NET_BUFFER, MdlChain) == 0x20);
    assert!(offset_of!(NET_BUFFER, DataOffset) == 0x28);
};
