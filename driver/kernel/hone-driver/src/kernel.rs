//! What the driver asks of a kernel: Windows' own in `hone-sys`, a fake one in the tests.

use core::fmt;
use core::num::NonZeroU64;

use hone_engine::Nanos;

use crate::Status;

/// How much a message matters. The number is the bit of the kernel's mask that shows it ("Viewing Debugging Output").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something is lost or does not work; always shown.
    Error = 0,
    /// Something is wrong that is made up for.
    Warning = 1,
    /// Something seldom happens.
    Information = 2,
    /// Every event.
    Verbose = 3,
    /// The lock is taken and released.
    LockStatus = 4,
}

/// What work is done for, and so what the memory taken meanwhile is for ("Viewing Pool Allocations").
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
    /// Time passes.
    Tick,
}

/// A lock that may be taken at any IRQL up to DISPATCH_LEVEL.
pub trait Lock<T>: Send + Sync {
    /// A free lock around `value`.
    fn new(value: T) -> Self;
    /// Takes the lock for the length of `work`. Not to be called again within `work`.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

/// A reader's event object, referred to until dropped. Dropped at PASSIVE_LEVEL only.
pub trait Signal: Send {
    /// Sets the event; at any IRQL up to DISPATCH_LEVEL.
    fn set(&self);
}

/// A kernel.
pub trait Kernel: 'static {
    /// Its lock.
    type Lock<T: Send>: Lock<T>;
    /// Its event object.
    type Event: Signal;

    /// The time, nanoseconds since 1970-01-01 UTC; at any IRQL.
    fn now() -> Nanos;

    /// Looks up a handle to an event in the calling process, with that process's rights. At PASSIVE_LEVEL.
    ///
    /// # Errors
    /// There is no such handle, it is not an event, or may not be set.
    fn event(handle: NonZeroU64) -> Result<Self::Event, Status>;

    /// Notes what memory is taken for from now on. Called with the lock, or before a list is made for it; and with
    /// [`Purpose::Driver`] afterwards.
    fn charge(purpose: Purpose);

    /// Whether messages of this level are shown; at any IRQL.
    fn shows(level: Level) -> bool;

    /// Shows a message to whoever debugs; at any IRQL.
    fn show(level: Level, message: fmt::Arguments<'_>);
}

/// Shows a message if its level is shown at all.
macro_rules! log {
    ($kernel:ty, $level:ident, $($message:tt)+) => {
        if <$kernel>::shows($crate::Level::$level) {
            <$kernel>::show($crate::Level::$level, format_args!($($message)+));
        }
    };
}
pub(crate) use log;
