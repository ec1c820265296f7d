//! What must be true before the programs are loaded, checked one by one so that each gap can be named.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::thread::{CapabilitySet, capabilities};

use crate::error::SensorError;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What the kernel allows, in the order in which a person would mend it. Returns where cgroup v2 is mounted.
pub(crate) fn check() -> Result<PathBuf, SensorError> {
    check_capabilities()?;
    if !Path::new(BTF).exists() {
        return Err(SensorError::NoBtf { path: BTF.into() });
    }
    let mounts = fs::read("/proc/self/mountinfo")
        .map_err(|error| SensorError::io("cannot read /proc/self/mountinfo (is /proc mounted?)", error))?;
    cgroup2_mount(&mounts).ok_or(SensorError::NoCgroup2)
}

fn check_capabilities() -> Result<(), SensorError> {
    let held = capabilities(None).map_err(|error| SensorError::io("cannot read own capabilities", error))?;
    let needed = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    ];
    let missing: Vec<_> = needed
        .into_iter()
        // CAP_SYS_ADMIN stands in for the first two in the kernel (capabilities(7)), not for the third.
        .filter(|(capability, _)| !held.effective.contains(*capability))
        .filter(|(capability, _)| {
            *capability == CapabilitySet::NET_ADMIN || !held.effective.contains(CapabilitySet::SYS_ADMIN)
        })
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(SensorError::Capabilities { missing }) }
}

/// `uname -r`.
pub(crate) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor number of the running kernel.
pub(crate) fn running_kernel() -> Option<(u32, u32)> {
    kernel_version(&release())
}

/// Major and minor number of `uname -r`; `None` where it does not begin with them.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The mount point of a cgroup v2 hierarchy in `/proc/self/mountinfo` (proc(5)): of several, one that shows the root.
fn cgroup2_mount(mounts: &[u8]) -> Option<PathBuf> {
    let mut found = None;
    for line in mounts.split(|&byte| byte == b'\n') {
        // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG ...] - TYPE SOURCE OPTIONS
        let mut fields = line.split(|&byte| byte == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else { continue };
        if fields.by_ref().find(|field| *field == b"-").is_none() || fields.next() != Some(b"cgroup2") {
            continue;
        }
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        if root == b"/" {
            return Some(point);
        }
        found.get_or_insert(point);
    }
    found
}

/// Undoes the octal escapes of `/proc/self/mountinfo` (space, tab, newline, backslash).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\')
            .then(|| {
                std::str::from_utf8(tail.get(..3)?).ok().and_then(|octal| u8::from_str_radix(octal, 8).ok())
            })
            .flatten();
        out.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_real_kernels() {
        assert_eq!(kernel_version("6.1.0-28-cloud-amd64"), Some((6, 1)));
        assert_eq!(kernel_version("5.10.0"), Some((5, 10)));
        assert_eq!(kernel_version("6.18.44"), Some((6, 18)));
        assert_eq!(kernel_version("unknown"), None);
    }

    #[test]
    fn the_root_of_the_hierarchy_is_preferred_and_names_are_unescaped() {
        let mounts = b"28 1 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            30 28 0:27 /system.slice /mnt/part rw,relatime - cgroup2 cgroup2 rw\n\
            31 28 0:27 / /mnt/a\\040b rw,relatime shared:9 master:3 - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mount(mounts), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(cgroup2_mount(b"28 1 0:25 / / rw - ext4 /dev/sda rw\n"), None);
    }
}
