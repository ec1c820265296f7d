//! Attaches programs to the tracepoints of system calls.
//!
//! A system call's tracepoint is found by a number that only tracefs has. Where tracefs is not mounted it is opened
//! through the mount API without being mounted anywhere, so that nothing on the machine changes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use libbpf_rs::{Link, ProgramMut};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::SensorError;

/// `PERF_TYPE_TRACEPOINT` and the flag that closes the descriptor on exec, from `linux/perf_event.h`.
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// The directory of tracefs, mounted or not.
pub(crate) struct TraceFs(OwnedFd);

impl TraceFs {
    pub(crate) fn open() -> Result<Self, SensorError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for place in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            if let Ok(directory) = openat(CWD, place, flags, Mode::empty())
                && openat(&directory, "events", flags, Mode::empty()).is_ok()
            {
                return Ok(Self(directory));
            }
        }
        let open = || {
            let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        open().map(Self).map_err(|error| SensorError::io("cannot open tracefs", error))
    }

    /// Attaches a program to a tracepoint, for example `syscalls/sys_exit_accept`.
    pub(crate) fn attach(&self, program: &ProgramMut<'_>, name: &str) -> Result<Link, SensorError> {
        let what = || format!("cannot attach to the tracepoint {name}");
        let id = self.id(&format!("events/{name}/id")).map_err(|e| SensorError::io(what(), e))?;
        let event = open_event(id).map_err(|e| SensorError::io(what(), e))?;
        let link =
            program.attach_perf_event(event.as_raw_fd()).map_err(|e| SensorError::refused(what(), e))?;
        // libbpf's link owns the descriptor from here on and closes it with the link.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(event);
        Ok(link)
    }

    fn id(&self, path: &str) -> io::Result<u64> {
        let file = openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let text = io::read_to_string(std::fs::File::from(file))?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{path} holds {text:?}")))
    }
}

/// Opens a tracepoint as perf_event_open(2) has it: for every process, on every processor (a BPF program attached to
/// it runs wherever the tracepoint is hit).
fn open_event(id: u64) -> io::Result<OwnedFd> {
    /// The first fields of `struct perf_event_attr`; the kernel takes what is left out as zero.
    #[repr(C)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        rest: [u64; 6],
    }
    /// `PERF_ATTR_SIZE_VER0`.
    const SIZE: u32 = 64;
    const _: () = assert!(std::mem::size_of::<Attributes>() == SIZE as usize);
    let attributes = Attributes { kind: PERF_TYPE_TRACEPOINT, size: SIZE, config: id, rest: [0; 6] };
    // SAFETY: the kernel reads `size` bytes from the pointer, which are there (asserted above) for the whole call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            -1 as libc::pid_t,
            0 as libc::c_int,
            -1 as libc::c_int,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
