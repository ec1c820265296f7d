//! For tests only: replaces `fwpkclnt.sys` under Wine. It is an ordinary library. Wine loads it into the process of
//! `hone.sys`, as one of its imports, before the driver's entry function runs. There it
//!
//! * receives the driver's callouts and notify routines, and calls them on command ([`commands`]). The commands come
//!   over a TCP connection; its port is in the file `C:\hone\stand-in.port`;
//! * replaces kernel functions that Wine lacks or implements differently. It writes its own functions into the driver's
//!   import table in memory ([`hooks`]), so the file `hone.sys` is the one that users get;
//! * counts the driver's allocations ([`memory`]);
//! * checks at which IRQL the driver calls its imports ([`irql`]).
//!
//! Its structures are declared here a second time, from the same sources as the driver's. So the two declarations check
//! each other.

#![cfg(windows)]

mod classify;
mod commands;
mod descriptors;
mod engine;
mod entry;
mod hooks;
mod imports;
mod irql;
mod links;
mod memory;
mod misuse;
mod opens;
mod packets;
mod processes;
mod rules;
mod stack;
mod storm;
mod windows;

use std::ffi::c_void;
use std::io::Write;

use windows::{DLL_PROCESS_ATTACH, DLL_PROCESS_DETACH, NtStatus, STATUS_SUCCESS};

/// The file to which the report is written when the driver is unloaded.
const END_FILE: &str = r"C:\hone\stand-in.end";
/// The file to which the stand-in writes its own failures and the driver's forbidden calls.
const LOG_FILE: &str = r"C:\hone\stand-in.log";

/// Makes the test fail: the harness reads this file.
fn fail(message: &str) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(LOG_FILE);
    let _ = log.and_then(|mut log| writeln!(log, "{message}"));
}

/// # Safety
/// The loader's.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DllMain(library: *mut c_void, reason: u32, _: *mut c_void) -> i32 {
    match reason {
        DLL_PROCESS_ATTACH => {
            // A driver's process has no output to write to.
            std::panic::set_hook(Box::new(|panic| fail(&panic.to_string())));
            windows::pin(library);
            hooks::install();
            commands::listen();
        }
        // The process ends after the driver is unloaded, so the test can no longer ask.
        DLL_PROCESS_DETACH => {
            let (callouts, notify) = (classify::keys().len(), processes::registered());
            let left = format!("callouts={callouts} notify={notify} engine={}", engine::open());
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
    device: *mut c_void,
    callout: *const classify::Callout,
    id: *mut u32,
) -> NtStatus {
    opens::set_device(device);
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

/// The driver's.
///
/// # Safety
/// `information` has room for `FWPS_PACKET_LIST_INFORMATION0`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn FwpsGetPacketListSecurityInformation0(
    list: *mut c_void,
    query: u32,
    information: *mut [u32; 2],
) -> NtStatus {
    const INBOUND_IPSEC: u32 = 1 | 4;
    assert!(!list.is_null() && query == INBOUND_IPSEC, "only this is asked, about a list: {query:#x}");
    // SAFETY: the driver has room for it.
    unsafe { *information = [classify::ipsec(), 0] };
    STATUS_SUCCESS
}
