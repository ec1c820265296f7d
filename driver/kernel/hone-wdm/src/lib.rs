//! The Windows kernel as far as Hone's driver uses it. The only crate with declarations of kernel structures and
//! functions ([`sys`]); everything else is a safe wrapper around one of them, with what the kernel demands in its type or
//! in a comment where it is met.
//!
//! For 64-bit Windows only (x86-64, ARM64): [`sys`] asserts its layouts at compile time, and `layout.c` compares them with
//! the headers of mingw-w64.
//!
//! # Memory
//!
//! All memory comes from non-paged pool ([`pool`]); an allocation that fails is a value. A panic is a bug check
//! ([`panic`]): never a loop, never an unwinding.
#![no_std]

extern crate alloc;

pub mod callout;
pub mod debug;
pub mod device;
pub mod event;
pub mod global;
pub mod irp;
pub mod lock;
pub mod net_buffer;
pub mod notify;
mod panic;
pub mod pool;
pub mod process;
pub mod registry;
mod runtime;
pub mod sys;
pub mod system;
pub mod time;
pub mod timer;
mod unicode;

pub use sys::NTSTATUS;
pub use unicode::Wide;

/// An error of the kernel as a value.
///
/// # Errors
/// `status` says one: its highest bit is set (`NT_SUCCESS`).
pub const fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status < 0 { Err(status) } else { Ok(()) }
}
