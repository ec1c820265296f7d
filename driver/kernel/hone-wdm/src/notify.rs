//! Notifications about processes that start and end, and about images that are loaded. All at PASSIVE_LEVEL.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use crate::sys::{self, HANDLE, NTSTATUS, PROCESS_NOTIFY, PS_CREATE_NOTIFY_INFO, UNICODE_STRING};
use crate::{Passive, system, unicode, wide};

/// A process that starts.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent.
    pub parent: u32,
    /// The executable's path, if the kernel knows it. In the Windows Subsystem for Linux, it is the Linux path
    /// ("SUBSYSTEM_INFORMATION_TYPE").
    pub path: Option<&'a [u16]>,
    /// Whether it is the path with which the executable was opened. If not, it may be only a part of the path.
    pub is_full_path: bool,
    /// Whether it is a process of another subsystem than Win32. Path and command line are then often not known.
    pub is_subsystem: bool,
    /// The command line, if the kernel knows it. In the Windows Subsystem for Linux: the arguments, separated by NUL.
    pub command_line: Option<&'a [u16]>,
}

/// Receives the notifications.
pub trait Processes: 'static {
    /// A process starts; its first thread has not run yet.
    fn started(passive: Passive, process: &Started<'_>);
    /// A process ends.
    fn ended(passive: Passive, pid: u32);
    /// A process loads an image.
    fn image_loaded(passive: Passive, pid: u32, path: &[u16]);
}

/// `PsSetCreateProcessNotifyRoutineEx2`. Exists since Windows 10, version 1703.
type SetRoutine = unsafe extern "system" fn(u32, PROCESS_NOTIFY, u8) -> NTSTATUS;
/// `PsCreateProcessNotifySubsystems`: processes of all subsystems.
const SUBSYSTEMS: u32 = 0;

/// Registration for process starts and ends. It ends when dropped; after that there are no more notifications.
#[derive(Debug)]
pub struct ProcessNotify<P: Processes> {
    /// The function that it was registered with, if this Windows has it.
    newer: Option<SetRoutine>,
    routine: PhantomData<fn() -> P>,
}

/// Registration for images. It ends when dropped; after that there are no more notifications.
#[derive(Debug)]
pub struct ImageNotify<P: Processes>(PhantomData<fn() -> P>);

impl<P: Processes> ProcessNotify<P> {
    /// Registers `P` for starts and ends. Only the newer function reports processes of the Windows Subsystem for Linux 1
    /// ("Windows Kernel-Mode Process and Thread Manager"), so it is used if it exists and does not refuse.
    ///
    /// # Errors
    /// The kernel refuses, most often because the driver was not linked with `/INTEGRITYCHECK`.
    pub fn register(passive: Passive) -> Result<Self, NTSTATUS> {
        let newer =
            system::routine(passive, wide!("PsSetCreateProcessNotifyRoutineEx2")).map(NonNull::as_ptr);
        // SAFETY: the kernel returned the address for this function's name, so it has this function's type.
        let newer = newer.map(|address| unsafe { mem::transmute::<*mut c_void, SetRoutine>(address) });
        if newer.is_some() {
            match crate::check(set::<P>(newer, 0)) {
                Ok(()) => return Ok(Self { newer, routine: PhantomData }),
                Err(status) => {
                    let message = "processes of other subsystems are not seen";
                    crate::debug::show(1, format_args!("{message}: {status:#x}"));
                }
            }
        }
        crate::check(set::<P>(None, 0)).map(|()| Self { newer: None, routine: PhantomData })
    }
}

impl<P: Processes> Drop for ProcessNotify<P> {
    fn drop(&mut self) {
        // The kernel waits for calls that are under way.
        set::<P>(self.newer, 1);
    }
}

/// Registers `P`, or removes it, with the newer function if there is one.
fn set<P: Processes>(newer: Option<SetRoutine>, remove: u8) -> NTSTATUS {
    match newer {
        // SAFETY: the routine has the type of one, and stays until it is removed.
        Some(set) => unsafe { set(SUBSYSTEMS, process::<P>, remove) },
        // SAFETY: as above.
        None => unsafe { sys::PsSetCreateProcessNotifyRoutineEx(process::<P>, remove) },
    }
}

impl<P: Processes> ImageNotify<P> {
    /// Registers `P` for images.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn register(_: Passive) -> Result<Self, NTSTATUS> {
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

/// `FileOpenNameAvailable`: the path is the one with which the executable was opened.
const IS_FULL_PATH: u32 = 1;
/// `IsSubsystemProcess`.
const IS_SUBSYSTEM: u32 = 2;

/// A process id from the handle that the kernel passes. Ids have 32 bits.
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
    // SAFETY: the kernel calls this routine at PASSIVE_LEVEL ("PCREATE_PROCESS_NOTIFY_ROUTINE_EX").
    let passive = unsafe { Passive::new() };
    // SAFETY: the kernel passes null for an end, else what it knows of the start, which is there as long as the call.
    let Some(info) = (unsafe { info.as_ref() }) else { return P::ended(passive, pid) };
    // SAFETY: the text is the kernel's, as long as the call; it may be null.
    let path = unsafe { unicode::units(info.ImageFileName) }.filter(|path| !path.is_empty());
    // SAFETY: as above.
    let command_line = unsafe { unicode::units(info.CommandLine) };
    P::started(
        passive,
        &Started {
            pid,
            parent: id(info.ParentProcessId).unwrap_or(0),
            path,
            is_full_path: info.Flags & IS_FULL_PATH != 0,
            is_subsystem: info.Flags & IS_SUBSYSTEM != 0,
            command_line,
        },
    );
}

// SAFETY: the kernel alone calls it, as `PsSetLoadImageNotifyRoutine` says.
unsafe extern "system" fn image<P: Processes>(path: *const UNICODE_STRING, pid: HANDLE, _: *mut c_void) {
    // SAFETY: the text is the kernel's, as long as the call; it may be null.
    let path = unsafe { unicode::units(path) };
    // Process 0 means that a driver is loaded.
    if let (Some(path), Some(pid @ 1..)) = (path, id(pid)) {
        // SAFETY: the kernel calls this routine at PASSIVE_LEVEL ("PLOAD_IMAGE_NOTIFY_ROUTINE").
        P::image_loaded(unsafe { Passive::new() }, pid, path);
    }
}
