//! The system's time.

use core::ffi::c_void;
use core::fmt::Display;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use crate::{NTSTATUS, Passive, check, sys, system, wide};

/// 1970-01-01 in units of 100 nanoseconds since 1601-01-01, both UTC.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;
/// Units of 100 nanoseconds in a millisecond.
pub(crate) const MILLISECOND: i64 = 10_000;

/// `KeQuerySystemTimePrecise`, which exists since Windows version 6.2. Null if it does not exist, or was not looked up.
static PRECISE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

type QueryTime = unsafe extern "system" fn(*mut i64);

/// Looks up the precise clock. Call it when the driver is loaded. Without that clock, time advances in
/// steps of the system's timer, up to 16 milliseconds.
pub fn find_precise(passive: Passive) {
    let address = system::routine(passive, wide!("KeQuerySystemTimePrecise"));
    PRECISE.store(address.map_or(ptr::null_mut(), NonNull::as_ptr), Relaxed);
}

/// How long to wait before something is tried again, milliseconds.
const FIRST_PAUSE: u32 = 1;
const LONGEST_PAUSE: u32 = 1000;

/// Unregisters what must not outlast the driver: tries again until it succeeds. At PASSIVE_LEVEL.
pub(crate) fn until_done(what: &(impl Display + ?Sized), mut unregister: impl FnMut() -> NTSTATUS) {
    let mut milliseconds = FIRST_PAUSE;
    while let Err(status) = check(unregister()) {
        crate::debug::show(1, format_args!("{what}: not unregistered yet: {status:#x}"));
        pause(milliseconds);
        milliseconds = (milliseconds * 2).min(LONGEST_PAUSE);
    }
}

/// Lets this thread wait. At PASSIVE_LEVEL.
fn pause(milliseconds: u32) {
    const KERNEL_MODE: i8 = 0;
    // Negative: from now on.
    let interval = -MILLISECOND * i64::from(milliseconds);
    // SAFETY: not alertable, in kernel mode, and the number lives until the call returns.
    unsafe { sys::KeDelayExecutionThread(KERNEL_MODE, 0, &raw const interval) };
}

/// Converts a time in units of 100 nanoseconds since 1601 to nanoseconds since 1970-01-01 UTC. An earlier time becomes
/// 0.
#[must_use]
pub const fn unix(time: i64) -> u64 {
    let since = time.saturating_sub(UNIX_EPOCH);
    if since < 0 { 0 } else { since.unsigned_abs().saturating_mul(100) }
}

/// The current time, nanoseconds since 1970-01-01 UTC. At any IRQL.
pub fn now() -> u64 {
    let address = PRECISE.load(Relaxed);
    if address.is_null() {
        return unix(shared::system_time());
    }
    // SAFETY: `find_precise` got the address from the kernel by this function's name, so it has this function's type.
    let query: QueryTime = unsafe { mem::transmute::<*mut c_void, QueryTime>(address) };
    let mut time = 0;
    // SAFETY: it writes the one number, at any IRQL.
    unsafe { query(&raw mut time) };
    unix(time)
}

/// `KUSER_SHARED_DATA`, which the kernel maps at the same address on every 64-bit Windows (wdm.h:
/// `KI_USER_SHARED_DATA`). `KeQuerySystemTime` reads it.
mod shared {
    use super::{AtomicU32, Relaxed, ptr};
    use core::sync::atomic::{Ordering::Acquire, fence};

    /// `KUSER_SHARED_DATA.SystemTime`, a `KSYSTEM_TIME`.
    const SYSTEM_TIME: usize = 0xFFFF_F780_0000_0014;

    #[repr(C)]
    struct KSystemTime {
        low: AtomicU32,
        high: AtomicU32,
        high_again: AtomicU32,
    }

    /// The writer writes `high_again`, `low`, `high` in this order. If both high parts are equal, the read saw one
    /// consistent time.
    pub(super) fn system_time() -> i64 {
        // SAFETY: the kernel keeps this page mapped and readable as long as it runs.
        let time = unsafe { &*ptr::with_exposed_provenance::<KSystemTime>(SYSTEM_TIME) };
        loop {
            let high = time.high.load(Acquire);
            let low = time.low.load(Relaxed);
            fence(Acquire);
            if high == time.high_again.load(Relaxed) {
                return (i64::from(high) << 32) | i64::from(low);
            }
            core::hint::spin_loop();
        }
    }
}
