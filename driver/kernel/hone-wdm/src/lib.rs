//! The parts of the Windows kernel that Hone's driver uses. This is the only crate that declares kernel structures and
//! functions ([`sys`]). Everything else here is a safe wrapper around one of them; the type of a wrapper, or a comment,
//! covers what the kernel requires.
//!
//! For 64-bit Windows only (x86-64, ARM64). [`sys`] asserts its layouts at compile time; `layout.c` compares them with
//! the headers of mingw-w64.
//!
//! # Memory
//!
//! All memory comes from non-paged pool ([`pool`]). A failed allocation is a returned value. A panic is a bug check
//! ([`panic`]); it neither loops nor unwinds.
#![no_std]

extern crate alloc;

pub mod callout;
pub mod debug;
pub mod device;
pub mod event;
pub mod global;
pub mod irp;
pub mod link;
pub mod lock;
pub mod net_buffer;
pub mod notify;
mod panic;
mod passive;
pub mod pool;
pub mod process;
pub mod reauthorize;
pub mod registry;
mod runtime;
pub mod sys;
pub mod system;
pub mod time;
pub mod timer;
mod unicode;

pub use passive::Passive;
pub use sys::NTSTATUS;
pub use unicode::Wide;

/// Converts an error status of the kernel into an `Err`.
///
/// # Errors
/// `status` is an error: its highest bit is set (`NT_SUCCESS`).
pub const fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status < 0 { Err(status) } else { Ok(()) }
}
