//! The kernel functions that the driver needs. `hone-sys` provides Windows' own, the tests a fake.

use core::fmt;
use core::num::NonZeroU64;

use hone_api::LogLevels;
use hone_engine::Nanos;

use crate::Status;

/// Severity of a message. Its number is the bit that shows it: in the kernel's mask ("Viewing Debugging Output") and in
/// [`LogLevels`]. A message is shown if both have the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something was lost or does not work. Always among the log levels.
    Error = 0,
    /// Something went wrong, but the driver has made up for it.
    Warning = 1,
    /// Something that seldom happens.
    Information = 2,
    /// Every event.
    Verbose = 3,
    /// The lock was taken or released.
    LockStatus = 4,
}

impl Level {
    /// The level's bit.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

const _: () = {
    assert!(Level::Error.bit() == LogLevels::ERROR && Level::Warning.bit() == LogLevels::WARNING);
    assert!(Level::Information.bit() == LogLevels::INFORMATION && Level::Verbose.bit() == LogLevels::VERBOSE);
    assert!(Level::LockStatus.bit() == LogLevels::LOCK_STATUS);
};

/// A setting that is kept in the registry, so that it outlasts the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Ring buffer of readers that attach from now on, bytes. Read whenever a reader attaches.
    RingBytes,
    /// The mask of the [`LogLevels`]. Read when the driver is loaded.
    LogLevels,
}

/// The work that is being done. Memory that is allocated meanwhile gets this purpose's pool tag ("Viewing Pool
/// Allocations").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The driver itself.
    Driver,
    /// A connection opens or closes.
    Connection,
    /// A packet is queued.
    Packet,
    /// A process starts or ends.
    Process,
    /// A reader attaches or detaches: its ring buffer.
    Reader,
    /// A section begins or ends.
    Section,
    /// A reader reads, or asks something.
    Read,
    /// A reader's lists of ids are set.
    IdLists,
    /// The list of open connections is replaced.
    OpenConnections,
    /// The timer has expired.
    Tick,
}

/// A lock that may be taken at any IRQL up to DISPATCH_LEVEL.
pub trait Lock<T>: Send + Sync {
    /// Makes an unlocked lock around `value`.
    fn new(value: T) -> Self;
    /// Runs `work` with the lock held. `work` must not take the same lock again. It is [`Send`], which a
    /// [`Kernel::Passive`] is not.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R;
}

/// A reference to a reader's event object, released when dropped. Drop it at PASSIVE_LEVEL only.
pub trait Signal: Send {
    /// Sets the event; at any IRQL up to DISPATCH_LEVEL.
    fn set(&self);
}

/// The kernel that the driver runs in.
pub trait Kernel: 'static {
    /// The kernel's lock.
    type Lock<T: Send>: Lock<T>;
    /// The kernel's event object.
    type Event: Signal;
    /// A token that only code at PASSIVE_LEVEL has. What takes it is called at that level. It must not be [`Send`]: then
    /// the compiler refuses it under the lock, which raises the level.
    ///
    /// ```
    /// # use hone_driver::{Kernel, Lock, Setting};
    /// fn before_the_lock<K: Kernel>(lock: &K::Lock<u32>, passive: K::Passive) {
    ///     let kept = K::keep(passive, Setting::RingBytes, 1024);
    ///     lock.with(|failures| *failures += u32::from(kept.is_err()));
    /// }
    /// ```
    /// ```compile_fail,E0277
    /// # use hone_driver::{Kernel, Lock, Setting};
    /// fn under_the_lock<K: Kernel>(lock: &K::Lock<u32>, passive: K::Passive) {
    ///     lock.with(|failures| {
    ///         let kept = K::keep(passive, Setting::RingBytes, 1024);
    ///         *failures += u32::from(kept.is_err())
    ///     });
    /// }
    /// ```
    type Passive: Copy;

    /// The time, nanoseconds since 1970-01-01 UTC; at any IRQL.
    fn now() -> Nanos;

    /// Looks up a handle to an event in the calling process, with that process's rights.
    ///
    /// # Errors
    /// There is no such handle, or it is not an event, or the process may not set it.
    fn event(passive: Self::Passive, handle: NonZeroU64) -> Result<Self::Event, Status>;

    /// Keeps the value of a setting.
    ///
    /// # Errors
    /// The registry cannot be written.
    fn keep(passive: Self::Passive, setting: Setting, value: u32) -> Result<(), Status>;

    /// Reads where a symbolic link of the object manager leads. Writes the target to the start of `target` and returns
    /// its length in UTF-16 units. `None` if there is no such link, or if its target does not fit.
    fn link(passive: Self::Passive, name: &[u16], target: &mut [u16]) -> Option<usize>;

    /// Sets the purpose of memory that is allocated from now on. Called after the lock is taken, or before a list is
    /// allocated for a request; called with [`Purpose::Driver`] when the work is done.
    fn charge(purpose: Purpose);

    /// Whether the kernel's mask shows messages of this level; at any IRQL.
    fn shows(level: Level) -> bool;

    /// Writes a message to the kernel debugger; at any IRQL.
    fn show(level: Level, message: fmt::Arguments<'_>);
}

/// Writes a message of a [`Driver`](crate::Driver), but formats it only if messages of its level are shown.
macro_rules! log {
    ($driver:expr, $level:ident, $($message:tt)+) => {
        if $driver.shows($crate::Level::$level) {
            $driver.show($crate::Level::$level, format_args!($($message)+));
        }
    };
}
pub(crate) use log;
