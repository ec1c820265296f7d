//! Sends a console's events to programs. Wine's own consoles send only Ctrl-C, so tests need this for the other events.

use std::ffi::CStr;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::{
    CreateRemoteThread, LPTHREAD_START_ROUTINE, OpenProcess, PROCESS_ALL_ACCESS,
};

/// The library with the program's side of a console.
const LIBRARY: &str = "kernelbase.dll\0";
/// The function that handles a console's event. Windows, and Wine for Ctrl-C, runs it in a new thread of the program.
const ROUTINE: &CStr = c"CtrlRoutine";

/// Sends a console's event to a program. `event` is the number that the program's handlers receive.
pub(crate) fn signal(pid: u32, event: usize) -> io::Result<()> {
    let name: Vec<u16> = LIBRARY.encode_utf16().collect();
    // SAFETY: the name ends with NUL.
    let library = unsafe { GetModuleHandleW(name.as_ptr()) };
    // SAFETY: the library stays loaded, and the name ends with NUL.
    let Some(routine) = (unsafe { GetProcAddress(library, ROUTINE.as_ptr().cast()) }) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: it takes numbers.
    let process = handle(unsafe { OpenProcess(PROCESS_ALL_ACCESS, 0, pid) })?;
    // SAFETY: both are pointers to functions; this one takes a number as wide as a pointer, as a thread's does.
    let routine: LPTHREAD_START_ROUTINE = Some(unsafe {
        std::mem::transmute::<
            unsafe extern "system" fn() -> isize,
            unsafe extern "system" fn(*mut std::ffi::c_void) -> u32,
        >(routine)
    });
    let event = std::ptr::without_provenance(event);
    // SAFETY: the library is at the same address in every program, and its routine takes any number.
    handle(unsafe { CreateRemoteThread(process.as_raw_handle(), null(), 0, routine, event, 0, null_mut()) })
        .map(drop)
}

fn handle(handle: *mut std::ffi::c_void) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
