//! `hone.sys`: connects the driver's logic (`hone-driver`) to the kernel (`hone-wdm`). `hone-driver` documents which
//! code runs at which IRQL and under which lock; this crate only passes calls on.
#![no_std]
#![no_main]

mod glue;
mod kernel;
mod load;
mod settings;

use hone_wdm::device::Driver;
use hone_wdm::sys::{DRIVER_OBJECT, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, UNICODE_STRING};
use hone_wdm::{NTSTATUS, Passive};

/// Called by the I/O manager to load the driver, at PASSIVE_LEVEL.
///
/// # Safety
/// The I/O manager's: `driver` is the driver's object.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DriverEntry(driver: *mut DRIVER_OBJECT, _: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: it is the driver's object, and not used after the driver is unloaded.
    let Some(driver) = (unsafe { Driver::new(driver) }) else { return STATUS_INVALID_DEVICE_REQUEST };
    // SAFETY: the I/O manager calls this at PASSIVE_LEVEL.
    match load::load(unsafe { Passive::new() }, driver, unload) {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => {
            hone_wdm::debug::show(0, format_args!("cannot be loaded: {status:#x}"));
            status
        }
    }
}

/// Called by the I/O manager to unload the driver, at PASSIVE_LEVEL, while no file is open.
///
/// # Safety
/// The I/O manager guarantees that it no longer calls the driver.
unsafe extern "system" fn unload(_: *mut DRIVER_OBJECT) {
    // SAFETY: the I/O manager calls this at PASSIVE_LEVEL.
    let passive = unsafe { Passive::new() };
    // SAFETY: no file is open and none can be opened, so no request is under way.
    unsafe { load::unload(passive) };
}
