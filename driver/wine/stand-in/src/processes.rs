//! The driver's notify routines for processes and images, and the calls of them.

use std::ffi::c_void;
use std::sync::Mutex;

use crate::windows::{NtStatus, STATUS_NOT_FOUND, STATUS_SUCCESS, Unicode};

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

static PROCESSES: Mutex<Vec<ProcessRoutine>> = Mutex::new(Vec::new());
static IMAGES: Mutex<Vec<ImageRoutine>> = Mutex::new(Vec::new());

pub(crate) extern "system" fn set_process_routine(routine: ProcessRoutine, remove: u8) -> NtStatus {
    change(&PROCESSES, routine, remove != 0, std::ptr::fn_addr_eq)
}

pub(crate) extern "system" fn set_image_routine(routine: ImageRoutine) -> NtStatus {
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
    let processes = PROCESSES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len();
    processes + IMAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
}

fn processes() -> Vec<ProcessRoutine> {
    PROCESSES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// Reports that a process starts. Empty texts are left out.
pub(crate) fn start(pid: usize, parent: usize, path: &[u16], command_line: &[u16]) {
    let (path_text, command_text) = (Unicode::new(path), Unicode::new(command_line));
    let pointer =
        |text: &Unicode, units: &[u16]| if units.is_empty() { std::ptr::null() } else { &raw const *text };
    let mut info = CreateInfo {
        size: size_of::<CreateInfo>(),
        flags: u32::from(!path.is_empty()),
        parent,
        creating_process: parent,
        creating_thread: 1,
        file: std::ptr::null_mut(),
        path: pointer(&path_text, path),
        command_line: pointer(&command_text, command_line),
        status: STATUS_SUCCESS,
    };
    for routine in processes() {
        // SAFETY: it is registered, and the information there as long as the call.
        unsafe { routine(std::ptr::null_mut(), pid, &raw mut info) };
    }
}

/// Reports that a process ends.
pub(crate) fn end(pid: usize) {
    for routine in processes() {
        // SAFETY: it is registered; null says that it is an end.
        unsafe { routine(std::ptr::null_mut(), pid, std::ptr::null_mut()) };
    }
}

/// Reports that a process loads an image.
pub(crate) fn load_image(pid: usize, path: &[u16]) {
    let path = Unicode::new(path);
    let routines = IMAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for routine in routines {
        // SAFETY: it is registered, and the text there as long as the call.
        unsafe { routine(&raw const path, pid, std::ptr::null_mut()) };
    }
}
