//! Who else's BPF program keeps a program from being attached to a cgroup.
//!
//! A program that is attached without `BPF_F_ALLOW_MULTI` (`linux/bpf.h`) is to be the only one of its kind there: the kernel
//! refuses every other one with EPERM, which looks like a policy.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use libbpf_rs::libbpf_sys;
use libbpf_rs::query::ProgInfoIter;

/// `BPF_F_ALLOW_MULTI`.
const ALLOW_MULTI: u32 = 1 << 1;
/// Most programs that are asked for; an exclusive one is alone.
const MOST: usize = 8;

/// The exclusive programs of a kind (`enum bpf_attach_type`) on a cgroup, as people know them; `None`: there are none, or the
/// kernel does not say.
pub(crate) fn on(cgroup: &File, kind: u32) -> Option<Vec<String>> {
    let (mut flags, mut ids, mut count) = (0, [0; MOST], u32::try_from(MOST).ok()?);
    // SAFETY: the kernel writes at most `count` ids of 4 bytes, for which `ids` has room, and the two numbers; all of them live
    // through the call.
    let result = unsafe {
        libbpf_sys::bpf_prog_query(
            cgroup.as_raw_fd(),
            kind,
            0,
            &raw mut flags,
            ids.as_mut_ptr(),
            &raw mut count,
        )
    };
    let ids = ids.get(..usize::try_from(count).ok()?)?;
    if result != 0 || ids.is_empty() || flags & ALLOW_MULTI != 0 {
        return None;
    }
    Some(ids.iter().map(|&id| named(id)).collect())
}

/// The kernel permits no other characters in a name than letters, digits, `_` and `.`; and only root gets to see it.
fn named(id: u32) -> String {
    match ProgInfoIter::default().find(|program| program.id == id) {
        Some(program) if !program.name.is_empty() => {
            format!("{:?} (id {id})", program.name.to_string_lossy())
        }
        _ => format!("id {id}"),
    }
}
