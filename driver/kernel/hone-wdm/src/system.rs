//! Information about the system.

use core::ffi::c_void;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;

use crate::Passive;
use crate::sys::{self, GUID, RTL_OSVERSIONINFOEXW};
use crate::unicode::Unicode;

/// Windows' version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Version {
    /// Major, minor, build.
    pub number: (u32, u32, u32),
    /// Service pack; 0 if there is none.
    pub service_pack: u16,
    /// Whether it is a server edition.
    pub is_server: bool,
}

/// Windows' version.
#[must_use]
pub fn version(_: Passive) -> Version {
    let mut version = MaybeUninit::<RTL_OSVERSIONINFOEXW>::zeroed();
    let size = u32::try_from(mem::size_of::<RTL_OSVERSIONINFOEXW>()).unwrap_or(0);
    // SAFETY: it is all numbers, of which zero is one.
    let version = unsafe { version.assume_init_mut() };
    version.dwOSVersionInfoSize = size;
    // SAFETY: the structure has the size that it says.
    let status = unsafe { sys::RtlGetVersion(version) };
    if crate::check(status).is_err() {
        return Version::default();
    }
    Version {
        number: (version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber),
        service_pack: version.wServicePackMajor,
        is_server: version.wProductType != sys::VER_NT_WORKSTATION,
    }
}

/// The address of a function that not every Windows version has. `None` if this one does not.
#[must_use]
pub(crate) fn routine(_: Passive, name: &[u16]) -> Option<NonNull<c_void>> {
    let name = Unicode::new(name);
    // SAFETY: the name lives until the call returns.
    NonNull::new(unsafe { sys::MmGetSystemRoutineAddress(name.as_ptr()) })
}

/// Makes a new identifier. All zeros if the system cannot make one now.
#[must_use]
pub fn new_id(_: Passive) -> [u8; 16] {
    let mut guid = GUID { Data1: 0, Data2: 0, Data3: 0, Data4: [0; 8] };
    // SAFETY: there is room for the identifier.
    let status = unsafe { sys::ExUuidCreate(&raw mut guid) };
    if crate::check(status).is_err() {
        return [0; 16];
    }
    let mut id = [0; 16];
    id[..4].copy_from_slice(&guid.Data1.to_be_bytes());
    id[4..6].copy_from_slice(&guid.Data2.to_be_bytes());
    id[6..8].copy_from_slice(&guid.Data3.to_be_bytes());
    id[8..].copy_from_slice(&guid.Data4);
    id
}
