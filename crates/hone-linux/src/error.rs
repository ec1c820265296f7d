//! Why the sensor cannot start or go on, each with what to do about it.

use std::io;
use std::path::PathBuf;

use crate::preflight;

/// Why the sensor cannot start or go on. The text says what is missing and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SensorError {
    /// The process lacks capabilities.
    #[error(
        "missing {}: run it as root, or give the program the capabilities \
         (setcap cap_bpf,cap_perfmon,cap_net_admin+ep FILE)", missing.join(", ")
    )]
    Capabilities {
        /// Their names, as in capabilities(7).
        missing: Vec<&'static str>,
    },
    /// The kernel lacks what the programs call or are attached to.
    #[error("this kernel ({found}) lacks what the sensor needs: {}. Linux 6.1 and newer have all of it", missing.join(", "))]
    Lacks {
        /// `uname -r`.
        found: String,
        /// Each helper and tracepoint, with the version that has it first, where that is known.
        missing: Vec<String>,
    },
    /// The kernel has no type information.
    #[error(
        "the kernel has no BTF type information ({} is missing): boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, \
         as the kernels of Debian, Ubuntu, Fedora and SUSE are", path.display()
    )]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No cgroup v2 hierarchy is mounted.
    #[error(
        "no cgroup v2 hierarchy is mounted: mount one with \
         `mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    NoCgroup2,
    /// The kernel refuses BPF programs, or a needed kind of them.
    #[error("the kernel refuses the BPF programs ({step}): {cause:#}{}", remedy(cause))]
    Refused {
        /// What was being done.
        step: String,
        /// The kernel's answer, which the text has in it.
        cause: libbpf_rs::Error,
    },
    /// Another program, of somebody else's, is attached where it permits no second one.
    #[error(
        "another BPF program is attached to {} so that it permits no other there ({kind}): {}. \
         Attach that one with BPF_F_ALLOW_MULTI (`bpftool cgroup attach ... multi`), or detach it \
         (`bpftool cgroup detach {} {kind} id ID`)", cgroup.display(), programs.join(", "), cgroup.display()
    )]
    Exclusive {
        /// Where.
        cgroup: PathBuf,
        /// What kind of program, as bpftool calls it.
        kind: &'static str,
        /// Name and id of each.
        programs: Vec<String>,
    },
    /// The kernel has no tracepoints that report who uses a socket.
    #[error("this kernel has no tracepoints that report who uses a socket (6.3 has them): use trampolines")]
    TooFewTracepoints,
    /// Callouts are asked for, which only Windows has.
    #[error("callouts are the mechanism of Windows; Linux has trampolines and tracepoints")]
    Callouts,
    /// A file or system call failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer, which the text has in it.
        cause: io::Error,
    },
    /// A setting is out of range.
    #[error("{what} is {found}; it must be {range}")]
    Setting {
        /// Which.
        what: &'static str,
        /// The value given.
        found: u64,
        /// The values allowed.
        range: &'static str,
    },
    /// Most records of the programs are not as this build expects: a fault in Hone. A few are only counted as lost.
    #[error(
        "most of what the BPF programs send cannot be read ({records} records so far): please report this, \
         with the messages about such records before this one"
    )]
    Records {
        /// How many could not be read since the sensor started.
        records: u64,
    },
}

/// What can be the cause, where the kernel's answer leaves that open.
fn remedy(refused: &libbpf_rs::Error) -> &'static str {
    match refused.kind() {
        libbpf_rs::ErrorKind::OutOfMemory => ": free some memory, or take a smaller kernel buffer",
        _ if preflight::running_kernel().is_some_and(|version| version < (6, 1)) => {
            ". This kernel is older than Linux 6.1, the oldest on which Hone was tried"
        }
        _ => {
            ". Security policy (lockdown, seccomp, a container) can be the cause; `dmesg` and `bpftool feature` tell more"
        }
    }
}

impl SensorError {
    pub(crate) fn io(what: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), cause: cause.into() }
    }

    /// Whether the kernel has looked at the programs and found something wrong: no policy, and no lack of memory.
    pub(crate) fn is_verdict(&self) -> bool {
        use libbpf_rs::ErrorKind::{OutOfMemory, PermissionDenied};
        matches!(self, Self::Refused { cause, .. } if ![OutOfMemory, PermissionDenied].contains(&cause.kind()))
    }

    pub(crate) fn refused(step: impl Into<String>, cause: libbpf_rs::Error) -> Self {
        Self::Refused { step: step.into(), cause }
    }
}
