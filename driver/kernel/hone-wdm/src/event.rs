//! Event objects of programs.

use core::ffi::c_void;
use core::num::NonZeroU64;
use core::ptr::{self, NonNull};

use crate::Passive;
use crate::sys::{self, NTSTATUS};

const EVENT_MODIFY_STATE: u32 = 2;
const USER_MODE: i8 = 1;

/// A reference to a program's event, released when dropped. Drop it at PASSIVE_LEVEL, because it may be the last
/// reference.
#[derive(Debug)]
pub struct Event(NonNull<c_void>);

// SAFETY: an event object may be set and dereferenced by any thread; the reference keeps it there.
unsafe impl Send for Event {}

impl Event {
    /// Looks up a handle in the calling process, with that program's rights.
    ///
    /// # Errors
    /// There is no such handle, it is not an event, or the program must not set it.
    pub fn from_handle(_: Passive, handle: NonZeroU64) -> Result<Self, NTSTATUS> {
        let handle = usize::try_from(handle.get()).map_err(|_| sys::STATUS_INVALID_HANDLE)?;
        let mut object = ptr::null_mut();
        // SAFETY: the kernel's variable holds the type of events since long before any driver is loaded.
        let kind = unsafe { sys::ExEventObjectType };
        // SAFETY: a handle of a program is only a number, which is checked as such (`USER_MODE`), with its type; there is
        // room for the object's address.
        let status = unsafe {
            sys::ObReferenceObjectByHandle(
                ptr::without_provenance_mut(handle),
                EVENT_MODIFY_STATE,
                kind,
                USER_MODE,
                &raw mut object,
                ptr::null_mut(),
            )
        };
        crate::check(status)?;
        NonNull::new(object).map(Self).ok_or(sys::STATUS_INVALID_HANDLE)
    }

    /// Sets the event; at up to DISPATCH_LEVEL.
    pub fn set(&self) {
        // SAFETY: it is an event, and referred to. Without `wait` it may be called at DISPATCH_LEVEL.
        unsafe { sys::KeSetEvent(self.0.as_ptr(), 0, 0) };
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `from_handle` has referred to it, and this gives that up once.
        unsafe { sys::ObfDereferenceObject(self.0.as_ptr()) };
    }
}
