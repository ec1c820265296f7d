//! PASSIVE_LEVEL, visible to the compiler.

use core::marker::PhantomData;

/// Says that the code runs at PASSIVE_LEVEL. Only functions that the kernel calls at this level make one: the driver's
/// entry and unload functions, its dispatch function, and its notify routines. They pass it on to what needs this level.
/// So the compiler refuses such a call from classify or from the timer's DPC, which have none.
///
/// It has no size, so passing it costs nothing. It is neither `Send` nor `Sync`, so nothing can keep it for another
/// caller. [`SpinLock::with`](crate::lock::SpinLock::with) takes only work that is `Send`, so nothing can use it under a lock
/// either.
///
/// [`Drop`] takes no token. So the compiler does not check where a registration, the device, a session, a handle or an event is
/// dropped, which also needs this level.
#[derive(Debug, Clone, Copy)]
pub struct Passive(PhantomData<*const ()>);

impl Passive {
    /// Makes the token.
    ///
    /// # Safety
    /// The caller is a function that the kernel calls at PASSIVE_LEVEL.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}
