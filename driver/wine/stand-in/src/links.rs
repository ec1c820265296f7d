//! Symbolic links of the object manager: only those that the test has set exist.

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::windows::{NtStatus, STATUS_BUFFER_TOO_SMALL, STATUS_NOT_FOUND, STATUS_SUCCESS, Unicode};

/// Names and targets.
static LINKS: Mutex<Vec<(String, Vec<u16>)>> = Mutex::new(Vec::new());

/// The first link's handle; the others follow. Wine's `ZwClose` reports that there is no such handle.
const FIRST: usize = 0x114B_0000;

/// `OBJECT_ATTRIBUTES`.
#[repr(C)]
pub(crate) struct Attributes {
    length: u32,
    root: *mut c_void,
    name: *const Unicode,
    attributes: u32,
}

fn links() -> MutexGuard<'static, Vec<(String, Vec<u16>)>> {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a link.
pub(crate) fn set(name: &[u16], target: Vec<u16>) {
    links().push((String::from_utf16_lossy(name), target));
}

pub(crate) extern "system" fn open(handle: *mut usize, _: u32, attributes: *const Attributes) -> NtStatus {
    /// So that the program in whose context the driver runs cannot use the handle.
    const KERNEL_HANDLE: u32 = 0x200;
    // SAFETY: the driver passes attributes.
    let attributes = unsafe { &*attributes };
    assert!(attributes.attributes & KERNEL_HANDLE != 0, "the handle is the kernel's own");
    // SAFETY: the attributes have a name.
    let name = unsafe { &*attributes.name };
    // SAFETY: as above.
    let name = unsafe { name.text() };
    let Some(place) = links().iter().position(|(link, _)| link.eq_ignore_ascii_case(&name)) else {
        return STATUS_NOT_FOUND;
    };
    // SAFETY: the driver has room for it.
    unsafe { *handle = FIRST + place };
    STATUS_SUCCESS
}

pub(crate) extern "system" fn query(handle: usize, target: *mut Unicode, needed: *mut u32) -> NtStatus {
    assert!(needed.is_null(), "the driver does not want the length");
    let links = links();
    let (_, text) = &links[handle - FIRST];
    // SAFETY: the driver passes a text with a buffer.
    let target = unsafe { &mut *target };
    // SAFETY: as above.
    if unsafe { target.fill(text) } { STATUS_SUCCESS } else { STATUS_BUFFER_TOO_SMALL }
}
