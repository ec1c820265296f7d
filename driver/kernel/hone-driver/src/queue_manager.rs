//! The queue manager: the engine together with its readers. All of [`State`] is protected by the driver's one
//! lock.

use alloc::vec::Vec;

use hone_engine::{
    Engine, Event, EventError, MAX_PACKET_BYTES, Nanos, OutOfMemory, SnapLength, SourceDrops, fallible,
};
use hone_queue::{Capture, Queue, Reader};

use crate::kernel::Signal;
use crate::own::Own;
use crate::{Host, MAX_BLOCK_BYTES, config};

/// What the driver knows of one reader.
pub(crate) struct Attached<E> {
    /// Its event. It is set when there is new data to read.
    pub(crate) event: Option<E>,
    /// How many bytes of text its selection has, or the one that it gets.
    pub(crate) selection_bytes: usize,
    /// Whether its selection is being set.
    pub(crate) is_selecting: bool,
}

impl<E> Attached<E> {
    /// A reader without an event and a selection.
    pub(crate) const NEW: Self = Self { event: None, selection_bytes: 0, is_selecting: false };
}

impl<E: Signal> Reader for Attached<E> {
    fn wake(&self) {
        if let Some(event) = &self.event {
            event.set();
        }
    }

    /// The driver does not divide memory between users: all readers count as one user's.
    fn user(&self) -> u32 {
        0
    }
}

/// The longest snap length of all readers: no more bytes of a packet are needed.
pub(crate) struct Wanted(pub(crate) usize);

impl Capture for Wanted {
    fn set(&mut self, snap_length: Option<SnapLength>) {
        self.0 = snap_length.map_or(0, |length| length.bytes() as usize);
    }
}

pub(crate) type Readers<E> = Queue<Attached<E>, Wanted>;

/// Everything that the lock protects.
pub(crate) struct State<E> {
    /// When the lock was taken. All events are reported with this time. So no processor reports an event with an
    /// earlier time than one that is already reported; a held packet may have expired at that later time.
    pub(crate) now: Nanos,
    pub(crate) queue: Own<Readers<E>>,
    /// Buffer in which a packet is put together. It has room for the longest packet.
    pub(crate) packet: Vec<u8>,
    /// Losses that happened before the engine saw the event.
    pub(crate) lost: SourceDrops,
    /// Processes that started without a known path, in the order of their starts. The first image that they load shows
    /// it. They leave then, or when they end.
    pub(crate) nameless: Vec<u32>,
}

/// Makes the queue with its engine. This has a stack frame of its own, because the value takes some kilobytes of stack
/// until it is moved.
#[inline(never)]
fn queue<E: Signal>(host: &Host, loaded: Nanos) -> Result<Own<Readers<E>>, OutOfMemory> {
    let engine = Engine::new(config::engine(host.section()?, loaded))?;
    Own::new(Queue::new(engine, Wanted(0), MAX_BLOCK_BYTES, config::MAX_PINNED_BYTES))
}

/// Most processes that can wait for their first image at once.
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

    /// Passes an event to the engine. The engine counts what it could not record.
    pub(crate) fn handle(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        let result = self.queue.engine.handle(event);
        self.queue.wake();
        result
    }

    /// Like [`handle`](Self::handle), for a process or connection that existed before the event: what is known is newer.
    pub(crate) fn restate(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        let result = self.queue.engine.restate(event);
        self.queue.wake();
        result
    }

    /// Counts a packet that was lost before it could be put together.
    pub(crate) fn lose_packet(&mut self) {
        self.lost.packets += 1;
        self.queue.engine.report_source_drops(self.lost);
    }

    /// Notes that the first image which this process loads will show its path. If there is no room, the process that has
    /// waited longest is forgotten: some processes never load an image, and others do so soon after their start.
    pub(crate) fn await_image(&mut self, process: u32) {
        self.take_nameless(process);
        if self.nameless.len() >= MAX_NAMELESS {
            self.nameless.remove(0);
        }
        fallible::push_reserved(&mut self.nameless, process);
    }

    /// Whether the path of this process is still missing. Also removes the process from the list, so the next call
    /// returns false.
    pub(crate) fn take_nameless(&mut self, process: u32) -> bool {
        let place = self.nameless.iter().position(|&waiting| waiting == process);
        place.map(|place| self.nameless.remove(place)).is_some()
    }
}
