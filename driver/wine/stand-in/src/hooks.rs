//! Kernel functions that the stand-in replaces because Wine's are missing or different.

use std::ffi::{CStr, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use crate::windows::{self, NtStatus, STATUS_INVALID_HANDLE, STATUS_SUCCESS, Unicode, kernel};
use crate::{descriptors, entry, imports, irql, links, memory, opens, processes};

/// If this file exists, the kernel is like Windows 7: newer functions are missing.
const OLD_WINDOWS: &str = r"C:\hone\old-windows";

/// The time that `KeQuerySystemTimePrecise` returns: units of 100 nanoseconds since 1601.
static CLOCK: AtomicI64 = AtomicI64::new(133_444_736_000_000_000);
/// The security descriptor that the driver set last.
static SECURITY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Whether the kernel is like Windows 7. Looked up before the driver runs, because that takes much stack.
static IS_OLD: AtomicBool = AtomicBool::new(false);

/// Installs the hooks in the driver that is being loaded, and the checks of its calls.
pub(crate) fn install() {
    IS_OLD.store(std::path::Path::new(OLD_WINDOWS).exists(), Relaxed);
    let driver = windows::module(c"hone.sys").expect("the driver loads this");
    let replacements: [(&str, *const c_void); 16] = [
        // Wine does not have these functions, or they do nothing.
        ("PsSetCreateProcessNotifyRoutineEx", processes::set_process_routine as *const c_void),
        ("PsSetLoadImageNotifyRoutine", processes::set_image_routine as *const c_void),
        ("PsRemoveLoadImageNotifyRoutine", processes::remove_image_routine as *const c_void),
        // The test makes the links.
        ("ZwOpenSymbolicLinkObject", links::open as *const c_void),
        ("ZwQuerySymbolicLinkObject", links::query as *const c_void),
        // Wine looks the handle up in the driver's own process.
        ("ObReferenceObjectByHandle", reference as *const c_void),
        // Devices have no security descriptor under Wine.
        ("ObOpenObjectByPointer", open_device as *const c_void),
        ("ZwSetSecurityObject", set_security as *const c_void),
        // Functions that older versions do not have. One is a clock that the test sets, so that every time in a recording
        // is known.
        ("MmGetSystemRoutineAddress", routine as *const c_void),
        // The stand-in makes requests of its own.
        ("IofCompleteRequest", opens::complete as *const c_void),
        // A packet's memory is mapped for as long as the driver may read it, or not at all.
        ("MmMapLockedPagesSpecifyCache", descriptors::map as *const c_void),
        // They change the thread's level.
        ("KeAcquireInStackQueuedSpinLock", irql::acquire as *const c_void),
        ("KeReleaseInStackQueuedSpinLock", irql::release as *const c_void),
        ("KeInitializeDpc", irql::initialize_dpc as *const c_void),
        // For the report about the driver's memory.
        ("ExAllocatePoolWithTag", memory::allocate as *const c_void),
        ("ExFreePoolWithTag", memory::free as *const c_void),
    ];
    let mut found = Vec::new();
    // SAFETY: the loader has bound the driver's imports, and has not called its entry yet.
    unsafe {
        imports::replace(driver, |import, bound| {
            let replacement = replacements.iter().find(|(name, _)| *name == import);
            found.extend(replacement.map(|(name, _)| *name));
            irql::guard(import, replacement.map_or(bound, |&(_, function)| function))
        });
    }
    assert_eq!(found.len(), replacements.len(), "only {found:?} are imported");
    // SAFETY: as above.
    unsafe { entry::measure(driver) };
}

/// Whether the kernel is like Windows 7.
pub(crate) fn is_old() -> bool {
    IS_OLD.load(Relaxed)
}

/// Sets the clock.
pub(crate) fn set_clock(time: i64) {
    CLOCK.store(time, Relaxed);
}

/// The security descriptor that the driver set last.
pub(crate) fn security() -> Vec<u8> {
    SECURITY.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

extern "system" fn query_time(time: *mut i64) {
    // SAFETY: the driver has room for it.
    unsafe { *time = CLOCK.load(Relaxed) };
}

extern "system" fn routine(name: *const Unicode) -> *const c_void {
    // SAFETY: the driver passes a name.
    let name = unsafe { &*name };
    // SAFETY: as above.
    let name = unsafe { name.text() };
    let function = match name.as_str() {
        _ if is_old() => return std::ptr::null(),
        "KeQuerySystemTimePrecise" => query_time as *const c_void,
        "PsSetCreateProcessNotifyRoutineEx2" => processes::set_process_routine2 as *const c_void,
        _ => return std::ptr::null(),
    };
    irql::guard(&name, function)
}

/// The kernel's own function, as Wine has it.
///
/// # Safety
/// The kernel's function of this name has the type `F`, a function pointer.
unsafe fn original<F: Copy>(name: &CStr) -> Option<F> {
    let address = kernel(name)?;
    // SAFETY: the caller says that `F` is its type, so it is a pointer.
    Some(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

type Reference =
    unsafe extern "system" fn(*mut c_void, u32, *mut c_void, i8, *mut *mut c_void, *mut c_void) -> NtStatus;
type CurrentProcess = unsafe extern "system" fn() -> usize;

/// Windows looks a program's handle up in the program's own process.
extern "system" fn reference(
    handle: *mut c_void,
    access: u32,
    kind: *mut c_void,
    mode: i8,
    object: *mut *mut c_void,
    information: *mut c_void,
) -> NtStatus {
    const USER_MODE: i8 = 1;
    assert_eq!(mode, USER_MODE, "a handle of a program is looked up with the program's rights");
    // SAFETY: it has this type.
    let Some(current) = (unsafe { original::<CurrentProcess>(c"PsGetCurrentProcessId") }) else {
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: it has this type.
    let Some(reference) = (unsafe { original::<Reference>(c"ObReferenceObjectByHandle") }) else {
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: without arguments. Wine says who has asked the driver.
    let pid = u32::try_from(unsafe { current() }).unwrap_or(0);
    // The copy stays open, because Wine's event depends on it.
    let Some(copy) = windows::take_handle(pid, handle) else { return STATUS_INVALID_HANDLE };
    // SAFETY: with the driver's own arguments, and a handle of this process, which only kernel mode looks up here.
    unsafe { reference(copy, access, kind, 0, object, information) }
}

/// A handle that is valid only for [`set_security`] and `ZwClose`. Wine's `ZwClose` reports that there is no such
/// handle.
const DEVICE_HANDLE: usize = 0x0DE0_1CE0;

extern "system" fn open_device(
    _: *mut c_void,
    _: u32,
    _: *mut c_void,
    _: u32,
    _: *mut c_void,
    _: i8,
    handle: *mut *mut c_void,
) -> NtStatus {
    // SAFETY: the driver has room for it.
    unsafe { *handle = std::ptr::without_provenance_mut(DEVICE_HANDLE) };
    STATUS_SUCCESS
}

extern "system" fn set_security(handle: *mut c_void, which: u32, descriptor: *const u8) -> NtStatus {
    const DACL: u32 = 4;
    if handle.addr() != DEVICE_HANDLE || which != DACL {
        return STATUS_INVALID_HANDLE;
    }
    // SAFETY: a self-relative descriptor says where its list begins, and the list how long it is.
    let (list, length) = unsafe { descriptor_end(descriptor) };
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(descriptor, list + length) };
    *SECURITY.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = bytes.to_vec();
    STATUS_SUCCESS
}

/// The offset and the length of a descriptor's access list.
///
/// # Safety
/// `descriptor` is a self-relative descriptor with a list.
unsafe fn descriptor_end(descriptor: *const u8) -> (usize, usize) {
    // SAFETY: the caller says so.
    let list = unsafe { descriptor.wrapping_add(16).cast::<u32>().read_unaligned() } as usize;
    // SAFETY: as above.
    let length = unsafe { descriptor.wrapping_add(list + 2).cast::<u16>().read_unaligned() };
    (list, usize::from(length))
}
