//! A timer that calls a function periodically at DISPATCH_LEVEL.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

use crate::sys::{self, KDPC, KTIMER};
use crate::time::MILLISECOND;

/// `SynchronizationTimer`.
const SYNCHRONIZATION: u32 = 1;

/// The function that a timer calls.
pub trait Tick {
    /// Called at DISPATCH_LEVEL.
    fn tick();
}

/// The memory of a timer. It must not move, so it is a static.
#[derive(Debug)]
pub struct Timer {
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
}

// SAFETY: only the kernel looks inside, with locks of its own, and `start`, which its caller calls once at a time.
unsafe impl Sync for Timer {}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// A running timer. It stops when dropped; drop at PASSIVE_LEVEL.
#[derive(Debug)]
pub struct Running(&'static Timer);

impl Timer {
    /// Makes the memory for a timer.
    #[must_use]
    pub const fn new() -> Self {
        Self { timer: UnsafeCell::new(MaybeUninit::uninit()), dpc: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Calls `T` every `period` milliseconds until the returned value is dropped. Only `DriverEntry` calls this, while
    /// the timer does not run.
    pub fn start<T: Tick>(&'static self, period: i32) -> Running {
        let (timer, dpc) = (self.timer.get().cast::<KTIMER>(), self.dpc.get().cast::<KDPC>());
        // SAFETY: the timer does not run, so its memory, which stays in place, may be initialized.
        unsafe { sys::KeInitializeTimerEx(timer, SYNCHRONIZATION) };
        // SAFETY: as above; the routine has the type of one.
        unsafe { sys::KeInitializeDpc(dpc, call::<T>, ptr::null_mut()) };
        // SAFETY: both are initialized, and stay in place until `Running` has stopped them.
        unsafe { sys::KeSetTimerEx(timer, -MILLISECOND * i64::from(period), period, dpc) };
        Running(self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: it was initialized by `start`.
        unsafe { sys::KeCancelTimer(self.0.timer.get().cast()) };
        // SAFETY: at PASSIVE_LEVEL. Afterwards no call that the timer has queued is under way on any processor.
        unsafe { sys::KeFlushQueuedDpcs() };
    }
}

// SAFETY: it looks at nothing that it is passed.
unsafe extern "system" fn call<T: Tick>(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    T::tick();
}
