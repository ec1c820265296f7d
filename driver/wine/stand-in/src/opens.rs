//! Opens the device as the I/O manager does, with a name after the device's. Wine itself refuses such a name before it
//! asks the driver.

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use hone_documented::Irql;

use crate::irql;
use crate::windows::{NtStatus, Unicode, kernel};

type Dispatch = unsafe extern "system" fn(*mut c_void, *mut Request) -> NtStatus;

/// Offsets of wdm.h for 64-bit Windows.
const DRIVER_OF_DEVICE: usize = 8;
const DISPATCH_OF_DRIVER: usize = 112;

/// `IRP_MJ_MAXIMUM_FUNCTION` and one.
const MAJOR_FUNCTIONS: usize = 28;
const CREATE: u8 = 0;
const CLEANUP: u8 = 18;

/// `IRP`.
#[repr(C, align(16))]
struct Request {
    others: [usize; 23],
    location: *const Location,
    file: *const File,
}

/// `IO_STACK_LOCATION`.
#[repr(C)]
struct Location {
    major: u8,
    parameters: [usize; 5],
    file: *const File,
    others: [usize; 2],
}

/// `FILE_OBJECT`.
#[repr(C)]
struct File {
    others: [usize; 11],
    name: Unicode,
    rest: [usize; 14],
}

const _: () = {
    assert!(std::mem::offset_of!(Request, location) == 0xB8);
    assert!(std::mem::offset_of!(Location, file) == 0x30);
    assert!(std::mem::offset_of!(File, name) == 0x58);
};

/// The driver's function for all requests.
static SERVED_BY: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
/// The driver's device.
static DEVICE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
/// The request that the stand-in itself has made.
static OWN: AtomicPtr<Request> = AtomicPtr::new(std::ptr::null_mut());

/// Notes the device with which the driver registers its callouts, and measures what its requests use of the stack.
pub(crate) fn set_device(device: *mut c_void) {
    if !DEVICE.swap(device.cast(), Relaxed).is_null() {
        return;
    }
    // SAFETY: the device is the driver's, and names its driver object.
    let driver = unsafe { device.cast::<u8>().wrapping_add(DRIVER_OF_DEVICE).cast::<*mut u8>().read() };
    let table = driver.wrapping_add(DISPATCH_OF_DRIVER).cast::<*const c_void>();
    // SAFETY: the driver object has a table of functions, and the driver serves this request.
    let dispatch = unsafe { table.wrapping_add(usize::from(CREATE)).read() };
    SERVED_BY.store(dispatch.cast_mut(), Relaxed);
    for major in 0..MAJOR_FUNCTIONS {
        // SAFETY: as above. The driver is being loaded, so nobody else uses the table.
        let place = unsafe { &mut *table.wrapping_add(major) };
        if *place == dispatch {
            *place = measured_dispatch as *const c_void;
        }
    }
}

/// The driver's function for all requests, with a measurement of its stack.
// SAFETY: Wine and `request` alone call it, with what the driver's function expects.
unsafe extern "system" fn measured_dispatch(device: *mut c_void, request: *mut Request) -> NtStatus {
    // SAFETY: it was in the table, so it is such a function.
    let dispatch = unsafe { std::mem::transmute::<*mut c_void, Dispatch>(SERVED_BY.load(Relaxed)) };
    // SAFETY: with the caller's arguments.
    irql::at(Irql::Passive, || unsafe { dispatch(device, request) })
}

/// Opens the device with `name` after its own, and closes it again. Returns the driver's answer to the first request.
pub(crate) fn open(name: &[u16]) -> NtStatus {
    let file = File { others: [0; 11], name: Unicode::new(name), rest: [0; 14] };
    let status = request(CREATE, &raw const file);
    if status >= 0 {
        request(CLEANUP, &raw const file);
    }
    status
}

fn request(major: u8, file: *const File) -> NtStatus {
    let device = DEVICE.load(Relaxed);
    // SAFETY: the device is the driver's, which is loaded, and names its driver object.
    let driver = unsafe { device.wrapping_add(DRIVER_OF_DEVICE).cast::<*mut u8>().read() };
    let place = driver.wrapping_add(DISPATCH_OF_DRIVER + 8 * usize::from(major));
    // SAFETY: the driver object has a table of functions, and the driver serves this request.
    let dispatch = unsafe { place.cast::<Dispatch>().read() };
    let location = Location { major, parameters: [0; 5], file, others: [0; 2] };
    let mut request = Request { others: [0; 23], location: &raw const location, file };
    OWN.store(&raw mut request, Relaxed);
    // SAFETY: the request and all that it points to live until the call returns; the driver completes it meanwhile.
    unsafe { dispatch(device.cast(), &raw mut request) }
}

type Complete = unsafe extern "system" fn(*mut c_void, i8);

/// `IofCompleteRequest`: the stand-in's own request is only a structure, which Wine must not see.
pub(crate) extern "system" fn complete(request: *mut c_void, boost: i8) {
    if OWN.compare_exchange(request.cast(), std::ptr::null_mut(), Relaxed, Relaxed).is_ok() {
        return;
    }
    let address = kernel(c"IofCompleteRequest").expect("Wine's kernel has it");
    // SAFETY: the kernel's function of this name has this type.
    let complete: Complete = unsafe { std::mem::transmute(address) };
    // SAFETY: with the driver's own arguments.
    unsafe { complete(request, boost) };
}
