//! The queue manager: the engine, and the readers' events. All of [`State`] is under the driver's one lock.

use alloc::vec::Vec;

use hone_engine::{Engine, Event, EventError, MAX_PACKET_BYTES, Nanos, OutOfMemory, ReaderId, SourceDrops};

use crate::grow::{self, Own};
use crate::kernel::Signal;
use crate::{Host, Status, config};

/// An attached reader.
pub(crate) struct Attached<E> {
    pub(crate) id: ReaderId,
    /// Set when there is something to read again.
    pub(crate) event: Option<E>,
}

/// What is under the lock.
pub(crate) struct State<E> {
    /// When the lock was taken. All that happens is told with this time: so no processor tells of anything with a time
    /// before that of something told already, for whose sake a packet may have been given up.
    pub(crate) now: Nanos,
    pub(crate) engine: Own<Engine>,
    pub(crate) readers: Vec<Attached<E>>,
    /// Where a packet is put together; has room for the longest.
    pub(crate) packet: Vec<u8>,
    /// Most bytes of a packet that any reader wants.
    pub(crate) wanted: usize,
    /// What was lost before the engine saw it.
    pub(crate) lost: SourceDrops,
    /// Processes that started without a path, which the first image they load will tell.
    pub(crate) nameless: Vec<u32>,
}

/// The engine. Made in a stack frame of its own, as it is some kilobytes on the way.
#[inline(never)]
fn engine(host: &Host, loaded: Nanos) -> Result<Own<Engine>, OutOfMemory> {
    Own::new(Engine::new(config::engine(host.section()?, loaded))?)
}

/// Most processes whose first image is waited for.
const MAX_NAMELESS: usize = 64;

impl<E: Signal> State<E> {
    pub(crate) fn new(host: &Host, loaded: Nanos) -> Result<Self, OutOfMemory> {
        Ok(Self {
            now: loaded,
            engine: engine(host, loaded)?,
            readers: Vec::new(),
            packet: grow::vec(MAX_PACKET_BYTES as usize)?,
            wanted: 0,
            lost: SourceDrops::default(),
            nameless: grow::vec(MAX_NAMELESS)?,
        })
    }

    /// The reader with this number.
    pub(crate) fn reader(&mut self, number: u64) -> Result<&mut Attached<E>, Status> {
        self.readers.iter_mut().find(|reader| reader.id.get() == number).ok_or(Status::INVALID_HANDLE)
    }

    /// Takes in what happened. What could not be recorded the engine has counted.
    pub(crate) fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        let result = self.engine.handle(event);
        self.wake();
        result
    }

    /// Wakes the readers that the engine names. Called before the lock is let go of, wherever blocks may have come.
    pub(crate) fn wake(&mut self) {
        let readers = &self.readers;
        self.engine.take_signals(|id| {
            let reader = readers.iter().find(|reader| reader.id == id);
            if let Some(event) = reader.and_then(|reader| reader.event.as_ref()) {
                event.set();
            }
        });
    }

    /// After a reader has come, gone or changed: shares out the memory, and notes how much of a packet is wanted.
    pub(crate) fn retarget(&mut self) {
        let share = config::pinned_bytes(self.readers.len());
        for reader in &self.readers {
            let attached = self.engine.set_pinned_bytes(reader.id, share);
            debug_assert!(attached.is_ok());
        }
        self.wanted =
            if self.readers.is_empty() { 0 } else { self.engine.statistics().snap_length.bytes() as usize };
    }

    /// Counts a packet that could not even be put together.
    pub(crate) fn lose_packet(&mut self) {
        self.lost.packets += 1;
        self.engine.report_source_drops(self.lost);
    }

    /// Remembers that the first image which this process loads will tell its path.
    pub(crate) fn await_image(&mut self, process: u32) {
        if self.nameless.len() < MAX_NAMELESS {
            let reserved = grow::push(&mut self.nameless, process);
            debug_assert!(reserved.is_ok());
        }
    }

    /// Whether this process's path is still to be told; no longer after this.
    pub(crate) fn take_nameless(&mut self, process: u32) -> bool {
        let place = self.nameless.iter().position(|&waiting| waiting == process);
        place.map(|place| self.nameless.swap_remove(place)).is_some()
    }
}
