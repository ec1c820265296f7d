//! Processes: other ones' names, and what this one is.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{ERROR_NO_MORE_FILES, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
    TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::Threading::{
    CREATE_SUSPENDED, GetCurrentProcess, GetCurrentThread, OpenProcessToken, OpenThread, ResumeThread,
    SetThreadPriority, THREAD_PRIORITY_BELOW_NORMAL, THREAD_SUSPEND_RESUME,
};

use crate::check;
use crate::text::narrow;

/// Names of the executables of all running processes, without their folders, by process id
/// (`CreateToolhelp32Snapshot`). Anybody may ask.
///
/// # Errors
/// Windows can't list them.
pub fn names() -> io::Result<HashMap<u32, String>> {
    // SAFETY: it takes numbers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry = PROCESSENTRY32W::default();
    entry.dwSize = u32::try_from(size_of_val(&entry)).expect("it is small");
    // SAFETY: the snapshot is open, and the entry says how large it is.
    let mut more = check(unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) });
    let mut names = HashMap::new();
    while more.is_ok() {
        names.insert(entry.th32ProcessID, narrow(&entry.szExeFile));
        // SAFETY: as above.
        more = check(unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) });
    }
    match more {
        Err(error) if error.raw_os_error() != Some(ERROR_NO_MORE_FILES.cast_signed()) => Err(error),
        _ => Ok(names),
    }
}

/// Starts a program, of which nothing runs until [`resume`] (`CREATE_SUSPENDED`).
///
/// # Errors
/// Windows does not find or start it.
pub fn suspended(command: &mut Command) -> io::Result<Child> {
    command.creation_flags(CREATE_SUSPENDED).spawn()
}

/// Lets the threads of a process go on (`ResumeThread`): of one that was started [`suspended`], the first.
///
/// # Errors
/// There is no such process, or Windows refuses.
pub fn resume(pid: u32) -> io::Result<()> {
    // SAFETY: it takes numbers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry = THREADENTRY32::default();
    entry.dwSize = u32::try_from(size_of_val(&entry)).expect("it is small");
    // SAFETY: the snapshot is open, and the entry says how large it is.
    let mut more = check(unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) });
    let mut found = Err(io::Error::from(io::ErrorKind::NotFound));
    while more.is_ok() {
        if entry.th32OwnerProcessID == pid {
            found = resume_thread(entry.th32ThreadID);
        }
        // SAFETY: as above.
        more = check(unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) });
    }
    found
}

fn resume_thread(id: u32) -> io::Result<()> {
    // SAFETY: it takes numbers.
    let thread = unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, id) };
    if thread.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    let thread = unsafe { OwnedHandle::from_raw_handle(thread) };
    // SAFETY: the thread is open, with the right that this takes.
    match unsafe { ResumeThread(thread.as_raw_handle()) } {
        u32::MAX => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether this process may do what administrators do: its token is elevated (`TOKEN_ELEVATION`). An administrator's program
/// is not unless it was started so.
#[must_use]
pub fn is_elevated() -> bool {
    elevation().unwrap_or(false)
}

fn elevation() -> io::Result<bool> {
    // SAFETY: it takes nothing, and gives a handle that need not be closed.
    let process = unsafe { GetCurrentProcess() };
    let mut token = null_mut();
    // SAFETY: the process is the own one, and there is room for a handle.
    check(unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: it is open, and nobody else's.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut elevation = TOKEN_ELEVATION::default();
    let size = u32::try_from(size_of_val(&elevation)).expect("it is small");
    let (room, mut filled) = ((&raw mut elevation).cast(), 0);
    // SAFETY: the token is open, and there is room for that structure.
    check(unsafe {
        GetTokenInformation(token.as_raw_handle(), TokenElevation, room, size, &raw mut filled)
    })?;
    Ok(elevation.TokenIsElevated != 0)
}

/// Lowers the priority of the calling thread to below normal (`SetThreadPriority`).
///
/// It does not use background mode, in which the thread's disk accesses would also wait behind all others, and the
/// recorder's unwritten data would pile up.
///
/// # Errors
/// Windows refuses.
pub fn lower_priority() -> io::Result<()> {
    // SAFETY: it takes nothing, and gives a handle that need not be closed.
    let thread = unsafe { GetCurrentThread() };
    // SAFETY: the thread is the own one.
    check(unsafe { SetThreadPriority(thread, THREAD_PRIORITY_BELOW_NORMAL) })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use windows_sys::Win32::System::Services::SC_MANAGER_CREATE_SERVICE;
    use windows_sys::Win32::System::Threading::GetThreadPriority;

    use super::*;
    use crate::service::manager::Manager;

    #[test]
    fn the_own_name_is_among_them() {
        let path = std::env::current_exe().expect("it has a path");
        let own = path.file_name().expect("it is a file").to_str().expect("it is ASCII");
        let names = names().expect("Windows lists them");
        assert_eq!(names.get(&std::process::id()).map(String::as_str), Some(own));
        assert!(names.len() > 1, "{names:?}");
    }

    #[test]
    fn a_suspended_program_runs_once_it_is_resumed() {
        let mut command = Command::new("cmd");
        let mut child = suspended(command.args(["/c", "exit 3"])).expect("there is one");
        // Long enough for an exit, if it ran.
        thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(child.try_wait().expect("it is a child"), None);
        resume(child.id()).expect("it is there");
        assert_eq!(child.wait().expect("it is a child").code(), Some(3));
        assert!(resume(child.id()).is_err(), "it is gone");
    }

    #[test]
    fn who_is_elevated_may_make_services() {
        assert_eq!(is_elevated(), Manager::open(SC_MANAGER_CREATE_SERVICE).is_ok());
    }

    #[test]
    fn only_the_calling_thread_has_lower_priority() {
        let priority = || {
            // SAFETY: it takes nothing.
            let thread = unsafe { GetCurrentThread() };
            // SAFETY: the thread is the own one.
            unsafe { GetThreadPriority(thread) }
        };
        let lowered = thread::spawn(move || lower_priority().map(|()| priority())).join().expect("it ends");
        assert_eq!(lowered.expect("Windows lets it"), THREAD_PRIORITY_BELOW_NORMAL);
        assert_eq!(priority(), 0);
    }
}
