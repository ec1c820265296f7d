//! The flight recorder that honed keeps by configuration: the newest part of everything, on disk.
//!
//! What records is `honeutil read --last`, a program of its own and an ordinary reader, so that a full disk or a fault there
//! costs the other readers nothing. `recorder` keeps it running; `saving` sends what it keeps to a client that asks for it.

mod recorder;
mod saving;
mod settings;

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use recorder::{check, start};
pub(crate) use saving::{Saving, Step};
pub(crate) use settings::{File, Settings};

/// The recorder, as the other threads see it.
#[derive(Debug)]
pub(crate) struct Recent {
    settings: Settings,
    child: Mutex<Option<Child>>,
    /// How many readers the recorder has: one, but for a moment.
    pub(crate) readers: AtomicU64,
    /// Whether a save is being sent to root, and to another user.
    saves: [AtomicBool; 2],
}

impl Recent {
    pub(crate) fn new(settings: Settings) -> Self {
        let (child, readers) = (Mutex::default(), AtomicU64::new(0));
        Self { settings, child, readers, saves: Default::default() }
    }

    /// Whether this process is the recorder.
    pub(crate) fn is_recorder(&self, process: Option<u32>) -> bool {
        let child = self.child.lock();
        child.as_ref().is_some_and(|child| Some(child.id()) == process)
    }

    /// Asks the recorder to end.
    pub(crate) fn stop(&self) {
        let child = self.child.lock();
        // It has not been waited for, so the id is still its own.
        let pid = child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.child.lock().is_none()
    }

    /// Counts a reader of the recorder.
    pub(crate) fn attached(&self) {
        self.readers.fetch_add(1, Relaxed);
    }

    /// Counts that it has left.
    pub(crate) fn detached(&self) {
        self.readers.fetch_sub(1, Relaxed);
    }
}
