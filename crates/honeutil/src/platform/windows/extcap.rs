//! What the interface of Wireshark asks of Windows.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::platform::Access;

/// How this user can capture: a capture says what is wrong.
pub(crate) const fn access() -> Access {
    Access::Service
}

/// The writing end of a pipe that Wireshark has made.
pub(crate) fn open_control(pipe: &Path) -> Option<File> {
    OpenOptions::new().write(true).open(pipe).ok()
}

/// Ends the pipe that packets would have gone to, so that its reader sees the end.
pub(crate) fn end_pipe(pipe: &Path) {
    drop(open_control(pipe));
}

/// Wireshark ends what it has started: with its pipe, which is closed when it ends itself.
pub(crate) fn stop_with_parent(_stop: Arc<AtomicBool>) {}

/// The other processes that run, and their names, in the order of the names.
pub(crate) fn processes() -> Vec<(u32, String)> {
    let names = hone_windows::process::names().unwrap_or_default().into_iter();
    // 0 is what runs while nothing else does.
    let mut found: Vec<_> = names.filter(|(pid, _)| ![0, std::process::id()].contains(pid)).collect();
    found.sort_by(|(pid, name), (other, other_name)| (name, pid).cmp(&(other_name, other)));
    found
}

/// The users who have processes, for a setting that is no list on Windows.
pub(crate) const fn users() -> Vec<(String, String)> {
    Vec::new()
}

/// Windows has no units of systemd.
pub(crate) const fn units() -> Vec<String> {
    Vec::new()
}
