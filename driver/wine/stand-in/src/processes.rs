//! The driver's notify routines for processes and images, and the calls of them.

use std::ffi::c_void;
use std::sync::Mutex;

use hone_documented::Irql;

use crate::windows::{
    NtStatus, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NOT_FOUND, STATUS_SUCCESS,
    Unicode,
};
use crate::{hooks, irql};

type ProcessRoutine = unsafe extern "system" fn(*mut c_void, usize, *mut CreateInfo);
type ImageRoutine = unsafe extern "system" fn(*const Unicode, usize, *mut c_void);

/// `PS_CREATE_NOTIFY_INFO`.
#[repr(C)]
pub(crate) struct CreateInfo {
    size: usize,
    flags: u32,
    parent: usize,
    creating_process: usize,
    creating_thread: usize,
    file: *mut c_void,
    path: *const Unicode,
    command_line: *const Unicode,
    status: NtStatus,
}

/// How the kernel describes a process that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With the full path.
    Full,
    /// With a part of the path.
    Partial,
    /// A process of another subsystem than Win32.
    Subsystem,
}

/// The routines for processes of Win32, and those for processes of every subsystem.
static PROCESSES: Mutex<Vec<ProcessRoutine>> = Mutex::new(Vec::new());
static SUBSYSTEMS: Mutex<Vec<ProcessRoutine>> = Mutex::new(Vec::new());
static IMAGES: Mutex<Vec<ImageRoutine>> = Mutex::new(Vec::new());

pub(crate) extern "system" fn set_process_routine(routine: ProcessRoutine, remove: u8) -> NtStatus {
    change(&PROCESSES, routine, remove != 0, std::ptr::fn_addr_eq)
}

/// `PsSetCreateProcessNotifyRoutineEx2`.
pub(crate) extern "system" fn set_process_routine2(
    kind: u32,
    routine: ProcessRoutine,
    remove: u8,
) -> NtStatus {
    /// `PsCreateProcessNotifySubsystems`, the only kind.
    const KIND: u32 = 0;
    if kind != KIND {
        return STATUS_INVALID_PARAMETER;
    }
    change(&SUBSYSTEMS, routine, remove != 0, std::ptr::fn_addr_eq)
}

pub(crate) extern "system" fn set_image_routine(routine: ImageRoutine) -> NtStatus {
    // Windows 7 has room for eight routines. Here, other drivers have taken them.
    if hooks::is_old() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    change(&IMAGES, routine, false, std::ptr::fn_addr_eq)
}

pub(crate) extern "system" fn remove_image_routine(routine: ImageRoutine) -> NtStatus {
    change(&IMAGES, routine, true, std::ptr::fn_addr_eq)
}

fn change<T: Copy>(
    routines: &Mutex<Vec<T>>,
    routine: T,
    remove: bool,
    same: impl Fn(T, T) -> bool,
) -> NtStatus {
    let mut routines = routines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = routines.len();
    if !remove {
        routines.push(routine);
        return STATUS_SUCCESS;
    }
    routines.retain(|&known| !same(known, routine));
    if routines.len() < before { STATUS_SUCCESS } else { STATUS_NOT_FOUND }
}

/// The number of routines that are still registered.
pub(crate) fn registered() -> usize {
    let images = IMAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len();
    routines(Kind::Full).len() + images
}

/// The routines that are called for such a process.
fn routines(kind: Kind) -> Vec<ProcessRoutine> {
    let of = |routines: &Mutex<Vec<ProcessRoutine>>| {
        routines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    };
    let mut called = of(&SUBSYSTEMS);
    if kind != Kind::Subsystem {
        called.extend(of(&PROCESSES));
    }
    called
}

/// Reports that a process starts. Empty texts are left out.
pub(crate) fn start(kind: Kind, pid: usize, parent: usize, path: &[u16], command_line: &[u16]) {
    const IS_FULL_PATH: u32 = 1;
    const IS_SUBSYSTEM: u32 = 2;
    let (path_text, command_text) = (Unicode::new(path), Unicode::new(command_line));
    let pointer =
        |text: &Unicode, units: &[u16]| if units.is_empty() { std::ptr::null() } else { &raw const *text };
    let mut info = CreateInfo {
        size: size_of::<CreateInfo>(),
        flags: match kind {
            Kind::Full if path.is_empty() => 0,
            Kind::Full => IS_FULL_PATH,
            Kind::Partial => 0,
            Kind::Subsystem => IS_SUBSYSTEM,
        },
        parent,
        creating_process: parent,
        creating_thread: 1,
        file: std::ptr::null_mut(),
        path: pointer(&path_text, path),
        command_line: pointer(&command_text, command_line),
        status: STATUS_SUCCESS,
    };
    for routine in routines(kind) {
        // SAFETY: it is registered, and the information there as long as the call.
        irql::at(Irql::Passive, || unsafe { routine(std::ptr::null_mut(), pid, &raw mut info) });
    }
}

/// Reports that a process ends.
pub(crate) fn end(pid: usize) {
    for routine in routines(Kind::Full) {
        // SAFETY: it is registered; null says that it is an end.
        irql::at(Irql::Passive, || unsafe { routine(std::ptr::null_mut(), pid, std::ptr::null_mut()) });
    }
}

/// Reports that a process loads an image.
pub(crate) fn load_image(pid: usize, path: &[u16]) {
    let path = Unicode::new(path);
    let routines = IMAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for routine in routines {
        // SAFETY: it is registered, and the text there as long as the call.
        irql::at(Irql::Passive, || unsafe { routine(&raw const path, pid, std::ptr::null_mut()) });
    }
}
