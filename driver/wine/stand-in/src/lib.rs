//! For tests only: stands in for `fwpkclnt.sys` under Wine. It is an ordinary library that Wine loads into the process of
//! `hone.sys`, as one of its imports, before the driver's entry is called. There it
//!
//! * takes the driver's callouts and notify routines, and calls them on command ([`commands`]), over a TCP connection
//!   whose port it writes to `C:\hone\stand-in.port`;
//! * stands in for functions of the kernel that Wine lacks, or does otherwise, by entering its own into the driver's import
//!   table in memory ([`hooks`]): the file `hone.sys` is the one that is shipped;
//! * keeps account of the driver's memory ([`memory`]).
//!
//! Its structures are declared here once more, from the same sources as the driver's: so they check each other.

#![cfg(windows)]

mod classify;
mod commands;
mod hooks;
mod imports;
mod memory;
mod processes;
mod windows;

use std::ffi::c_void;

use windows::{DLL_PROCESS_ATTACH, DLL_PROCESS_DETACH, NtStatus, STATUS_SUCCESS};

/// Where the account is left when the driver has been unloaded.
const END_FILE: &str = r"C:\hone\stand-in.end";
/// Where a failure of the stand-in itself is told.
const LOG_FILE: &str = r"C:\hone\stand-in.log";

/// # Safety
/// The loader's.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DllMain(library: *mut c_void, reason: u32, _: *mut c_void) -> i32 {
    match reason {
        DLL_PROCESS_ATTACH => {
            // A driver's process has nowhere to write to.
            std::panic::set_hook(Box::new(|panic| {
                let _ = std::fs::write(LOG_FILE, panic.to_string());
            }));
            windows::pin(library);
            hooks::install();
            commands::listen();
        }
        // The process ends after the driver is unloaded: nobody could ask any more.
        DLL_PROCESS_DETACH => {
            let left = format!("callouts={} notify={}", classify::keys().len(), processes::registered());
            let _ = std::fs::write(END_FILE, format!("{left} {}", memory::report()));
        }
        _ => {}
    }
    1
}

/// # Safety
/// The driver's: `callout` is one, and `id` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpsCalloutRegister1(
    _: *mut c_void,
    callout: *const classify::Callout,
    id: *mut u32,
) -> NtStatus {
    // SAFETY: the driver passes a callout.
    let registered = classify::register(unsafe { *callout });
    // SAFETY: the driver has room for it.
    unsafe { *id = registered };
    STATUS_SUCCESS
}

/// The driver's.
// SAFETY: the name and the signature are those of fwpsk.h; the driver alone calls it.
#[unsafe(no_mangle)]
pub extern "system" fn FwpsCalloutUnregisterById0(id: u32) -> NtStatus {
    classify::unregister(id)
}
