//! BPF programs that tests write by hand.

use std::ffi::CStr;
use std::os::fd::{FromRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;

/// An instruction: opcode, registers (source and destination, 4 bits each), offset, immediate. RFC 9669; the opcodes are those
/// of `linux/bpf.h` and `linux/bpf_common.h`.
pub(crate) const fn code(opcode: u64, registers: u64, offset: i64, immediate: i64) -> u64 {
    opcode
        | registers << 8
        | (offset.cast_unsigned() & 0xFFFF) << 16
        | (immediate.cast_unsigned() & 0xFFFF_FFFF) << 32
}

/// Loads a program of a kind (`enum bpf_prog_type`).
pub(crate) fn load(kind: u32, name: &CStr, program: &[u64]) -> OwnedFd {
    // SAFETY: libbpf reads `program.len()` instructions of 8 bytes each, which are there, the two strings, which end with NUL,
    // and no options.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            kind,
            name.as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr().cast(),
            program.len() as libbpf_sys::size_t,
            std::ptr::null_mut(),
        )
    };
    assert!(fd >= 0, "the program is loaded: {}", std::io::Error::last_os_error());
    // SAFETY: the call has just returned this descriptor, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
