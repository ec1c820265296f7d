//! The queue manager: the engine with its readers' events. All of [`State`] is under the driver's one lock.

use alloc::vec::Vec;

use hone_engine::{
    Engine, Event, EventError, MAX_PACKET_BYTES, Nanos, OutOfMemory, SnapLength, SourceDrops, fallible,
};
use hone_queue::{Capture, Queue, Reader};

use crate::kernel::Signal;
use crate::own::Own;
use crate::{Host, MAX_BLOCK_BYTES, config};

/// A reader's event: set when there is something to read again.
pub(crate) struct DataEvent<E>(pub(crate) Option<E>);

impl<E: Signal> Reader for DataEvent<E> {
    fn wake(&self) {
        if let Some(event) = &self.0 {
            event.set();
        }
    }

    /// All readers are alike.
    fn user(&self) -> u32 {
        0
    }
}

/// Most bytes of a packet that any reader wants.
pub(crate) struct Wanted(pub(crate) usize);

impl Capture for Wanted {
    fn set(&mut self, snap_length: Option<SnapLength>) {
        self.0 = snap_length.map_or(0, |length| length.bytes() as usize);
    }
}

pub(crate) type Readers<E> = Queue<DataEvent<E>, Wanted>;

/// What is under the lock.
pub(crate) struct State<E> {
    /// When the lock was taken. All events are reported with this time. So no processor reports an event with a time before
    /// that of one reported already, by which a held packet may have expired.
    pub(crate) now: Nanos,
    pub(crate) queue: Own<Readers<E>>,
    /// Where a packet is put together; has room for the longest.
    pub(crate) packet: Vec<u8>,
    /// What was lost before the engine saw it.
    pub(crate) lost: SourceDrops,
    /// Processes that started without a path, which the first image they load will tell.
    pub(crate) nameless: Vec<u32>,
}

/// The queue with its engine. Made in a stack frame of its own, as it is some kilobytes on the way.
#[inline(never)]
fn queue<E: Signal>(host: &Host, loaded: Nanos) -> Result<Own<Readers<E>>, OutOfMemory> {
    let engine = Engine::new(config::engine(host.section()?, loaded))?;
    Own::new(Queue::new(engine, Wanted(0), MAX_BLOCK_BYTES, config::MAX_PINNED_BYTES))
}

/// Most processes whose first image is waited for.
const MAX_NAMELESS: usize = 64;

impl<E: Signal> State<E> {
    pub(crate) fn new(host: &Host, loaded: Nanos) -> Result<Self, OutOfMemory> {
        Ok(Self {
            now: loaded,
            queue: queue(host, loaded)?,
            packet: fallible::vec(MAX_PACKET_BYTES as usize)?,
            lost: SourceDrops::default(),
            nameless: fallible::vec(MAX_NAMELESS)?,
        })
    }

    /// Takes in what happened. What could not be recorded the engine has counted.
    pub(crate) fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        let result = self.queue.engine.handle(event);
        self.queue.wake();
        result
    }

    /// Counts a packet that could not even be put together.
    pub(crate) fn lose_packet(&mut self) {
        self.lost.packets += 1;
        self.queue.engine.report_source_drops(self.lost);
    }

    /// Remembers that the first image which this process loads will tell its path.
    pub(crate) fn await_image(&mut self, process: u32) {
        if self.nameless.len() < MAX_NAMELESS {
            let reserved = fallible::push(&mut self.nameless, process);
            debug_assert!(reserved.is_ok());
        }
    }

    /// Whether this process's path is still to be told; no longer after this.
    pub(crate) fn take_nameless(&mut self, process: u32) -> bool {
        let place = self.nameless.iter().position(|&waiting| waiting == process);
        place.map(|place| self.nameless.swap_remove(place)).is_some()
    }
}
