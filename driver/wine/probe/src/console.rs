//! What a console tells its programs, told by a test: Wine's own consoles send Ctrl-C and nothing else.

use std::ffi::CStr;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::{
    CreateRemoteThread, LPTHREAD_START_ROUTINE, OpenProcess, PROCESS_ALL_ACCESS,
};

/// The library that has the consoles' side of a program.
const LIBRARY: &str = "kernelbase.dll\0";
/// Where it takes a console's event: Windows, and Wine of Ctrl-C, has a new thread of the program begin there.
const ROUTINE: &CStr = c"CtrlRoutine";

/// Tells a program a console's event, by the number that its handlers are called with.
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
