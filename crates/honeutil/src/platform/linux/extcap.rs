//! What the interface of Wireshark asks of Linux: whether honed can be reached, what runs, and whether Wireshark still does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hone_client::protocol;
use rustix::fs::{Mode, OFlags};
use rustix::process::{geteuid, getppid};

use crate::platform::Access;

/// How long a window that has named a pipe may take to open it.
const OPEN_PATIENCE: Duration = Duration::from_secs(1);
/// The same for dumpcap and the pipe that packets go to. Where it never comes, nobody waits for it either.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often a pipe is tried, and Wireshark looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How this user can capture.
pub(crate) fn access() -> Access {
    let is_root = geteuid().is_root();
    match UnixStream::connect(protocol::SOCKET) {
        Ok(_) if is_root => Access::Both,
        Ok(_) => Access::Service,
        Err(_) if is_root => Access::Local,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Access::NoPermission,
        Err(_) => Access::NoService,
    }
}

/// The writing end of a pipe, if something reads it soon. Writing to it never blocks: if it is full, that is an error.
pub(crate) fn open_control(pipe: &Path) -> Option<File> {
    open_soon(pipe, OPEN_PATIENCE)
}

/// Ends the pipe that packets would have gone to, so that its reader sees the end. dumpcap starts after this program: one that
/// finds a pipe that was never written to waits for a writer, and Wireshark with it, for ever.
pub(crate) fn end_pipe(pipe: &Path) {
    drop(open_soon(pipe, START_PATIENCE));
}

fn open_soon(pipe: &Path, patience: Duration) -> Option<File> {
    let begun = Instant::now();
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        match rustix::fs::open(pipe, flags, Mode::empty()) {
            Ok(file) => return Some(file.into()),
            Err(rustix::io::Errno::NXIO) if begun.elapsed() < patience => thread::sleep(LOOK_EVERY),
            Err(_) => return None,
        }
    }
}

/// Raises the flag when the process that has started this one ends.
pub(crate) fn stop_with_parent(stop: Arc<AtomicBool>) {
    let parent = getppid();
    thread::spawn(move || {
        while getppid() == parent {
            thread::sleep(LOOK_EVERY);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// The other processes that run, and their names, in the order of the names.
pub(crate) fn processes() -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        // A thread of the kernel has no command line, and sends no packets of its own.
        if !fs::read(entry.path().join("cmdline")).unwrap_or_default().is_empty() {
            found.extend(name(&entry.path()).map(|name| (pid, name)));
        }
    }
    found.sort_by(|(pid, name), (other, other_name)| (name, pid).cmp(&(other_name, other)));
    found
}

/// The users who have processes, as a selection takes them, and how they are shown, in the order of the names.
pub(crate) fn users() -> Vec<(String, String)> {
    let ids: BTreeSet<u32> = processes()
        .into_iter()
        .filter_map(|(pid, _)| Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid()))
        .collect();
    let mut users: Vec<_> = ids
        .into_iter()
        .map(|id| match hone_linux::user_name(id) {
            Some(name) => (name.clone(), format!("{name} ({id})")),
            None => (id.to_string(), id.to_string()),
        })
        .collect();
    users.sort();
    users
}

/// The systemd units that have processes, in the order of the names.
pub(crate) fn units() -> Vec<String> {
    let units = processes().into_iter().filter_map(|(pid, _)| hone_linux::unit_of(pid));
    units.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The file name of a process's executable. Of another user's process, only the name that the kernel shows is known.
fn name(process: &Path) -> Option<String> {
    if let Ok(path) = fs::read_link(process.join("exe")) {
        let name = path.file_name()?.to_str()?;
        return Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned());
    }
    Some(fs::read_to_string(process.join("comm")).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_found() {
        use std::io::{Read as _, Write as _};
        use std::process::{Command, Stdio};
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it answers, it is surely what it is called.
        cat.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        cat.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let processes = processes();
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert!(processes.iter().any(|(pid, _)| *pid == cat.id()), "{processes:?}");
        assert!(processes.iter().all(|(pid, name)| *pid != std::process::id() && !name.is_empty()));
    }

    #[test]
    fn the_users_and_units_of_what_runs_are_found() {
        let id = rustix::process::getuid().as_raw();
        let users = users();
        let own = users
            .iter()
            .find(|(_, display)| *display == id.to_string() || display.ends_with(&format!(" ({id})")));
        let (value, _) = own.unwrap_or_else(|| panic!("{users:?}"));
        assert!(*value == id.to_string() || hone_linux::user_id(value) == Some(id), "{value}");
        if let Some(unit) = hone_linux::unit_of(std::process::id()) {
            assert!(units().contains(&unit), "{unit}");
        }
    }

    #[test]
    fn who_opens_a_pipe_late_sees_its_end() {
        use std::io::Read as _;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let ending = thread::spawn({
            let pipe = pipe.clone();
            move || end_pipe(&pipe)
        });
        thread::sleep(LOOK_EVERY * 2);
        // As dumpcap opens it. Without a writer, this would wait.
        assert_eq!(File::open(&pipe).unwrap().read(&mut [0]).unwrap(), 0);
        ending.join().unwrap();
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(open_control(&pipe).is_none());
        assert!(open_control(&directory.path().join("missing")).is_none());
    }
}
