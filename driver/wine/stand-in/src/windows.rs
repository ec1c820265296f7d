//! The few functions and types of Windows that the stand-in uses itself.

use std::ffi::{CStr, c_char, c_void};

pub(crate) type NtStatus = i32;
pub(crate) const STATUS_SUCCESS: NtStatus = 0;
pub(crate) const STATUS_INVALID_HANDLE: NtStatus = 0xC000_0008_u32.cast_signed();
pub(crate) const STATUS_NOT_FOUND: NtStatus = 0xC000_0225_u32.cast_signed();
pub(crate) const STATUS_INVALID_PARAMETER: NtStatus = 0xC000_000D_u32.cast_signed();
pub(crate) const STATUS_INSUFFICIENT_RESOURCES: NtStatus = 0xC000_009A_u32.cast_signed();
pub(crate) const STATUS_BUFFER_TOO_SMALL: NtStatus = 0xC000_0023_u32.cast_signed();
pub(crate) const DLL_PROCESS_ATTACH: u32 = 1;
pub(crate) const DLL_PROCESS_DETACH: u32 = 0;

const PIN_BY_ADDRESS: u32 = 1 | 4;
const PAGE_READWRITE: u32 = 4;
const PROCESS_DUP_HANDLE: u32 = 0x40;
const DUPLICATE_SAME_ACCESS: u32 = 2;

// SAFETY: the signatures are those of libloaderapi.h and of the other headers of Windows that declare them.
#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetModuleHandleA(name: *const c_char) -> *mut u8;
    fn GetModuleHandleExA(flags: u32, name: *const c_void, module: *mut *mut u8) -> i32;
    fn GetProcAddress(module: *mut u8, name: *const c_char) -> *mut c_void;
    fn VirtualProtect(start: *mut c_void, bytes: usize, protection: u32, former: *mut u32) -> i32;
    fn OpenProcess(access: u32, inherit: i32, pid: u32) -> *mut c_void;
    fn GetCurrentProcess() -> *mut c_void;
    fn GetCurrentProcessId() -> u32;
    fn CloseHandle(handle: *mut c_void) -> i32;
    fn DuplicateHandle(
        from: *mut c_void,
        handle: *mut c_void,
        to: *mut c_void,
        copy: *mut *mut c_void,
        access: u32,
        inherit: i32,
        options: u32,
    ) -> i32;
}

/// `UNICODE_STRING`.
#[repr(C)]
pub(crate) struct Unicode {
    length: u16,
    maximum: u16,
    units: *const u16,
}

impl Unicode {
    /// A view of a text. Valid as long as the text.
    pub(crate) fn new(text: &[u16]) -> Self {
        let length = u16::try_from(text.len() * 2).expect("a test's text is short");
        Self { length, maximum: length, units: text.as_ptr() }
    }

    /// Writes `text` to the buffer. Returns whether there is room for it.
    ///
    /// # Safety
    /// The buffer is writable as far as `maximum` says, and nobody else uses it.
    pub(crate) unsafe fn fill(&mut self, text: &[u16]) -> bool {
        if size_of_val(text) > usize::from(self.maximum) {
            return false;
        }
        self.length = u16::try_from(size_of_val(text)).expect("it is at most as long as the buffer");
        // SAFETY: the caller says that it is writable, and there is room.
        unsafe { self.units.cast_mut().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        true
    }

    /// The text.
    ///
    /// # Safety
    /// Its units are readable.
    pub(crate) unsafe fn text(&self) -> String {
        // SAFETY: the caller says so.
        String::from_utf16_lossy(unsafe {
            std::slice::from_raw_parts(self.units, usize::from(self.length / 2))
        })
    }
}

/// Keeps a library loaded until the process ends, even if all its users release it, because its threads still run.
pub(crate) fn pin(library: *mut c_void) {
    let mut module = std::ptr::null_mut();
    // SAFETY: the address is the library's own.
    unsafe { GetModuleHandleExA(PIN_BY_ADDRESS, library, &raw mut module) };
}

/// The address of a loaded module.
pub(crate) fn module(name: &CStr) -> Option<*mut u8> {
    // SAFETY: the name ends with NUL.
    let module = unsafe { GetModuleHandleA(name.as_ptr()) };
    (!module.is_null()).then_some(module)
}

/// A function that Wine's kernel exports.
pub(crate) fn kernel(name: &CStr) -> Option<*mut c_void> {
    let kernel = module(c"ntoskrnl.exe")?;
    // SAFETY: the module is loaded, and the name ends with NUL.
    let address = unsafe { GetProcAddress(kernel, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Overwrites a pointer in memory that is not writable.
///
/// # Safety
/// It is a pointer of a loaded module, and no thread uses it meanwhile.
pub(crate) unsafe fn overwrite(place: *mut *const c_void, value: *const c_void) {
    let mut former = 0;
    // SAFETY: the caller says that it is in a loaded module.
    unsafe { VirtualProtect(place.cast(), size_of::<usize>(), PAGE_READWRITE, &raw mut former) };
    // SAFETY: it is writable now.
    unsafe { *place = value };
    // SAFETY: as above.
    unsafe { VirtualProtect(place.cast(), size_of::<usize>(), former, &raw mut former) };
}

/// Duplicates a handle of another process into this process.
pub(crate) fn take_handle(pid: u32, handle: *mut c_void) -> Option<*mut c_void> {
    // SAFETY: without arguments.
    if pid == unsafe { GetCurrentProcessId() } {
        return Some(handle);
    }
    // SAFETY: any number may be asked for.
    let process = unsafe { OpenProcess(PROCESS_DUP_HANDLE, 0, pid) };
    if process.is_null() {
        return None;
    }
    // SAFETY: without arguments.
    let this = unsafe { GetCurrentProcess() };
    let mut copy = std::ptr::null_mut();
    // SAFETY: both processes are open, and any handle may be asked for.
    let done = unsafe { DuplicateHandle(process, handle, this, &raw mut copy, 0, 0, DUPLICATE_SAME_ACCESS) };
    // SAFETY: it is open, and closed once.
    unsafe { CloseHandle(process) };
    (done != 0).then_some(copy)
}
