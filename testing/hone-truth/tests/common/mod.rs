//! Shared by the live tests: checks whether they can run here, and prints the reason if they cannot.

use std::io::Write as _;
use std::path::Path;

pub(crate) const TRUTH: &str = env!("CARGO_BIN_EXE_hone-truth");

/// CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF.
const CAPABILITIES: u64 = 1 << 12 | 1 << 21 | 1 << 38 | 1 << 39;

fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".into());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    let held = held.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or_default();
    if held & CAPABILITIES != CAPABILITIES {
        return Some("root without the capabilities of the sensor and of namespaces".into());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF".into());
    }
    if !std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| mounts.contains(" - cgroup2 ")) {
        return Some("no cgroup v2 hierarchy is mounted".into());
    }
    if !Path::new(TRUTH).with_file_name("honeutil").exists() {
        return Some("honeutil is not built: `cargo build -p honeutil`".into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = ["ip", "tcpdump"]
        .into_iter()
        .filter(|name| !std::env::split_paths(&path).any(|directory| directory.join(name).exists()))
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// Whether the bench can run here. If not, prints the reason.
///
/// # Panics
/// If it cannot and `HONE_LIVE=required` is set.
pub(crate) fn ready() -> bool {
    let Some(reason) = obstacle() else { return true };
    skip(&reason);
    false
}

/// Prints why something is skipped.
///
/// # Panics
/// If `HONE_LIVE=required` is set.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("HONE_LIVE").is_none_or(|value| value != "required"),
        "cannot be skipped: {reason}"
    );
    say(&format!("skipped: {reason}"));
}

/// Does not use a print macro, because the test harness hides such output of tests that pass.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("\n{text}\n").as_bytes());
}
