//! Being told of processes that start and end, and of images that are loaded. All at PASSIVE_LEVEL.

use core::ffi::c_void;
use core::marker::PhantomData;

use crate::sys::{self, HANDLE, NTSTATUS, PS_CREATE_NOTIFY_INFO, UNICODE_STRING};
use crate::unicode;

/// A process that starts.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// Its id.
    pub pid: u32,
    /// The parent's.
    pub parent: u32,
    /// The executable's full path, where the kernel has it.
    pub path: Option<&'a [u16]>,
    /// The command line, where the kernel has it.
    pub command_line: Option<&'a [u16]>,
}

/// Who is told.
pub trait Processes: 'static {
    /// A process starts; its first thread has not run yet.
    fn started(process: &Started<'_>);
    /// A process ends.
    fn ended(pid: u32);
    /// A process loads an image.
    fn image_loaded(pid: u32, path: &[u16]);
}

/// A registration, ended when dropped; afterwards nobody is told any more.
#[derive(Debug)]
pub struct ProcessNotify<P: Processes>(PhantomData<fn() -> P>);

/// A registration, ended when dropped; afterwards nobody is told any more.
#[derive(Debug)]
pub struct ImageNotify<P: Processes>(PhantomData<fn() -> P>);

impl<P: Processes> ProcessNotify<P> {
    /// Begins to tell `P` of starts and ends.
    ///
    /// # Errors
    /// The kernel refuses: most often because the driver was not linked with `/INTEGRITYCHECK`.
    pub fn register() -> Result<Self, NTSTATUS> {
        // SAFETY: the routine has the type of one, and stays until it is removed.
        let status = unsafe { sys::PsSetCreateProcessNotifyRoutineEx(process::<P>, 0) };
        crate::check(status).map(|()| Self(PhantomData))
    }
}

impl<P: Processes> Drop for ProcessNotify<P> {
    fn drop(&mut self) {
        // SAFETY: it was registered. The kernel waits for calls that are under way.
        unsafe { sys::PsSetCreateProcessNotifyRoutineEx(process::<P>, 1) };
    }
}

impl<P: Processes> ImageNotify<P> {
    /// Begins to tell `P` of images.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn register() -> Result<Self, NTSTATUS> {
        // SAFETY: the routine has the type of one, and stays until it is removed.
        let status = unsafe { sys::PsSetLoadImageNotifyRoutine(image::<P>) };
        crate::check(status).map(|()| Self(PhantomData))
    }
}

impl<P: Processes> Drop for ImageNotify<P> {
    fn drop(&mut self) {
        // SAFETY: it was registered. The kernel waits for calls that are under way.
        unsafe { sys::PsRemoveLoadImageNotifyRoutine(image::<P>) };
    }
}

/// `FileOpenNameAvailable`: the path is the one that the executable was opened by.
const IS_FULL_PATH: u32 = 1;

/// An id, which the kernel passes as a handle; ids have 32 bits.
fn id(handle: HANDLE) -> Option<u32> {
    u32::try_from(handle.addr()).ok()
}

// SAFETY: the kernel alone calls it, as `PsSetCreateProcessNotifyRoutineEx` says.
unsafe extern "system" fn process<P: Processes>(
    _: *mut c_void,
    pid: HANDLE,
    info: *mut PS_CREATE_NOTIFY_INFO,
) {
    let Some(pid) = id(pid) else { return };
    // SAFETY: the kernel passes null for an end, else what it knows of the start, which is there as long as the call.
    let Some(info) = (unsafe { info.as_ref() }) else { return P::ended(pid) };
    let is_full = info.Flags & IS_FULL_PATH != 0;
    // SAFETY: the text is the kernel's, as long as the call.
    let path = unsafe { unicode::units(info.ImageFileName) }.filter(|path| is_full && !path.is_empty());
    // SAFETY: as above.
    let command_line = unsafe { unicode::units(info.CommandLine) };
    P::started(&Started { pid, parent: id(info.ParentProcessId).unwrap_or(0), path, command_line });
}

// SAFETY: the kernel alone calls it, as `PsSetLoadImageNotifyRoutine` says.
unsafe extern "system" fn image<P: Processes>(path: *const UNICODE_STRING, pid: HANDLE, _: *mut c_void) {
    // SAFETY: the text is the kernel's, as long as the call; it may be null.
    let path = unsafe { unicode::units(path) };
    // Process 0: a driver is loaded.
    if let (Some(path), Some(pid @ 1..)) = (path, id(pid)) {
        P::image_loaded(pid, path);
    }
}
