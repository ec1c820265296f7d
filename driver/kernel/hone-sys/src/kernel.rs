//! Implements the kernel interface of `hone-driver` with Windows' functions.

use core::fmt;
use core::num::NonZeroU64;

use hone_driver::{Kernel, Level, Lock, Purpose, Setting, Signal, Status};
use hone_wdm::pool::{self, Tag};
use hone_wdm::{Passive, debug, event, link, lock, time};

use crate::settings;

/// Memory of the driver itself.
pub(crate) const DRIVER: Tag = Tag::new(*b"Hone");
/// Memory of the process monitor, while it queries the kernel about a process.
pub(crate) const PROCESS_MONITOR: Tag = Tag::new(*b"HoPg");

/// The pool tag of each purpose, as in the document of the original Hone ("Viewing Pool Allocations"). Its tags for
/// lookaside lists are missing here, because this driver has none.
const fn tag(purpose: Purpose) -> Tag {
    match purpose {
        Purpose::Driver | Purpose::Tick => DRIVER,
        Purpose::Connection => Tag::new(*b"HoQc"),
        Purpose::Packet => Tag::new(*b"HoQk"),
        Purpose::Process => Tag::new(*b"HoQp"),
        Purpose::Reader => Tag::new(*b"HoQr"),
        Purpose::Section => Tag::new(*b"HoQs"),
        Purpose::Read => Tag::new(*b"HoQb"),
        Purpose::IdLists => Tag::new(*b"HoRi"),
        Purpose::OpenConnections => Tag::new(*b"HoQo"),
    }
}

pub(crate) struct Windows;

pub(crate) struct SpinLock<T>(lock::SpinLock<T>);

impl<T: Send> Lock<T> for SpinLock<T> {
    fn new(value: T) -> Self {
        Self(lock::SpinLock::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        self.0.with(work)
    }
}

pub(crate) struct Event(event::Event);

impl Signal for Event {
    fn set(&self) {
        self.0.set();
    }
}

impl Kernel for Windows {
    type Lock<T: Send> = SpinLock<T>;
    type Event = Event;
    type Passive = Passive;

    fn now() -> u64 {
        time::now()
    }

    fn event(passive: Passive, handle: NonZeroU64) -> Result<Event, Status> {
        event::Event::from_handle(passive, handle).map(Event).map_err(|status| Status(status.cast_unsigned()))
    }

    fn keep(passive: Passive, setting: Setting, value: u32) -> Result<(), Status> {
        settings::keep(passive, setting, value).map_err(|status| Status(status.cast_unsigned()))
    }

    fn link(passive: Passive, name: &[u16], target: &mut [u16]) -> Option<usize> {
        link::target(passive, name, target)
    }

    fn charge(purpose: Purpose) {
        pool::set_tag(tag(purpose));
    }

    fn shows(level: Level) -> bool {
        debug::shows(level as u32)
    }

    fn show(level: Level, message: fmt::Arguments<'_>) {
        debug::show(level as u32, message);
    }
}
