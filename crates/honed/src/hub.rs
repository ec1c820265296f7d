//! The state that all threads share: the engine and the attached readers, under the service's one lock.
//!
//! # The lock
//!
//! [`Hub::lock`] guards the engine and everything that must agree with it. Taken by
//! * the sensor's thread, from the first record of a batch to its last (at most [`BATCH`](hone_queue::pace::BATCH) records),
//! * each reader's thread while it copies what waits for its reader into a buffer of its own, and while it carries out a
//!   request.
//!
//! Work that takes longer the more a client requests (making a ring buffer, reading lists, freeing what a reader
//! leaves) is done before the lock is taken or after it is unlocked, or in steps between which it is unlocked. Only a
//! selection marks the processes under the lock: the engine bounds how many comparisons that takes, and `selections`
//! how often it is done. So no client can delay the sensor's thread. No thread waits for a socket, the sensor or
//! another thread while it holds the lock. So a reader that does not read delays no other reader. parking_lot's mutex
//! is used because it is fair from time to time: under load the sensor's thread takes the lock again at once, and yet
//! it cannot keep the readers out.
//!
//! # Memory
//!
//! [`Queue`] divides the memory for waiting blocks among the users who read. A reader that does not read the beginning
//! of its section keeps ended processes and connections in memory. If the memory becomes full because of that, the
//! reader's stream is ended ([`State::give_up_stuck`]).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hone_api::LogLevels;
use hone_api::limits::MAX_FILTER_IDS;
use hone_engine::{Engine, Nanos, ProcessKey, SnapLength};
use hone_linux::{Mechanism, SensorError};
use hone_queue::{Capture, Purpose, Queue, Reader, Service, Shell};
use hone_select::PacketTest;
use parking_lot::{Mutex, MutexGuard};

use crate::log;
use crate::places::{Place, Places, Requests, Shares};
use crate::recent::Recent;
use crate::selections::Selections;
use crate::waker::Waker;

/// Most bytes of blocks that may wait for one reader.
const MAX_PINNED: usize = 64 << 20;
/// How long a reader may take to read the beginning of a section when memory runs out.
const STUCK: Duration = Duration::from_secs(20);

/// Version of the service.
pub(crate) const VERSION: [u16; 4] = hone_queue::version([
    env!("CARGO_PKG_VERSION_MAJOR"),
    env!("CARGO_PKG_VERSION_MINOR"),
    env!("CARGO_PKG_VERSION_PATCH"),
]);

/// An attached reader, as the other threads see it.
pub(crate) struct Attached {
    pub(crate) waker: Arc<Waker>,
    pub(crate) place: Place,
    /// Since when the beginning of a section has been waiting to be read.
    pub(crate) beginning: Option<Instant>,
    /// Set to request the end of its connection.
    pub(crate) given_up: Arc<AtomicBool>,
}

impl Reader for Attached {
    fn wake(&self) {
        self.waker.wake();
    }

    fn user(&self) -> u32 {
        self.place.user
    }
}

/// How much of each packet the sensor captures.
#[derive(Default)]
pub(crate) struct Captured {
    /// `None` until the sensor runs.
    pub(crate) programs: Option<hone_linux::Capture>,
    set: Option<SnapLength>,
    /// Whether the programs leave out packets.
    selects: bool,
    left_out: u64,
    /// The kernel refused the last change. It must be tried again.
    pub(crate) failed: bool,
}

impl Captured {
    fn note(&mut self, result: Result<(), SensorError>) {
        match result {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!("{error}; trying again");
                }
            }
        }
    }
}

impl Capture for Captured {
    fn set(&mut self, snap_length: Option<SnapLength>) {
        let Some(programs) = self.programs.as_ref().filter(|_| self.set != snap_length) else {
            self.failed = false;
            return;
        };
        let result = programs.set(snap_length);
        if result.is_ok() {
            self.set = snap_length;
        }
        self.note(result);
    }

    const SELECTS: bool = true;

    fn select(&mut self, tests: Option<&[PacketTest]>) {
        let Some(programs) = self.programs.as_ref().filter(|_| self.selects || tests.is_some()) else {
            return;
        };
        let result = programs.select(tests);
        if result.is_ok() {
            self.selects = tests.is_some();
        }
        if result.is_err() {
            self.note(result);
        }
    }

    fn set_process(&mut self, process: ProcessKey, is_left_out: bool) {
        if let Some(programs) = &self.programs {
            programs.set_process(process, is_left_out);
        }
    }

    fn left_out(&mut self) -> u64 {
        // That the kernel has no memory for a moment is no reason to forget what was counted.
        if let Some(Ok(left_out)) = self.programs.as_ref().map(hone_linux::Capture::left_out) {
            self.left_out = left_out;
        }
        self.left_out
    }
}

/// A connection, as the other threads see it.
pub(crate) struct Connected {
    pub(crate) waker: Arc<Waker>,
    pub(crate) user: u32,
}

/// The data under the lock.
pub(crate) struct State {
    pub(crate) queue: Queue<Attached, Captured>,
    pub(crate) places: Places,
}

impl State {
    /// When memory for blocks runs out, ends the streams of readers that have not read the beginnings of their
    /// sections. Such a reader keeps ended processes and connections in memory without bound, and the other readers
    /// would have no memory for new events. Call it from time to time.
    pub(crate) fn give_up_stuck(&mut self, max_block_bytes: usize, now: Instant) {
        let full = self.queue.engine.statistics().block_bytes > max_block_bytes as u64 / 4 * 3;
        self.queue.for_each(|engine, id, reader| {
            let keeps = engine.keeps_state(id) == Some(true);
            reader.beginning = keeps.then(|| reader.beginning.unwrap_or(now));
            if full && reader.beginning.is_some_and(|since| now.duration_since(since) >= STUCK) {
                reader.given_up.store(true, Relaxed);
                reader.waker.wake();
            }
        });
    }
}

/// The phases of the service's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Phase {
    Running = 0,
    /// The sensor's thread collects the events up to now. No new reader can attach.
    Stopping = 1,
    /// The readers' streams are ended.
    Ending = 2,
}

/// The state that all threads share.
pub(crate) struct Hub {
    state: Mutex<State>,
    pub(crate) started: Instant,
    pub(crate) shares: Shares,
    pub(crate) requests: Arc<Requests>,
    /// What users' selections cost.
    pub(crate) selections: Selections,
    pub(crate) sensor_bytes: u32,
    pub(crate) hash_executables: bool,
    /// The requested mechanism; `None`: the best that the kernel permits.
    pub(crate) wanted_mechanism: Option<Mechanism>,
    /// The mechanism in use, once the sensor runs.
    pub(crate) mechanism: OnceLock<Mechanism>,
    pub(crate) max_block_bytes: usize,
    phase: AtomicUsize,
    /// Why the service stops. It is set once, before the phase changes.
    reason: Mutex<String>,
    /// Wakes the sensor's thread.
    pub(crate) sensor: Waker,
    /// Wakes the main thread: a stop was requested, or a connection has ended.
    pub(crate) main: Waker,
    pub(crate) stop_asked: AtomicBool,
    /// All connections, attached or not.
    pub(crate) connections: Mutex<Vec<Connected>>,
    /// The filter lists that connections have set, and their ids, for the memory report.
    pub(crate) id_lists: AtomicU64,
    pub(crate) ids: AtomicU64,
    pub(crate) buffer_bytes: AtomicU64,
    /// The flight recorder, if there is one.
    pub(crate) recent: Option<Arc<Recent>>,
}

impl Hub {
    pub(crate) fn new(
        engine: Engine,
        config: &crate::config::Config,
        wanted_mechanism: Option<Mechanism>,
    ) -> std::io::Result<Self> {
        let shares = Shares::new(config);
        let queue = Queue::new(engine, Captured::default(), config.block_bytes, MAX_PINNED);
        let state = State { queue, places: Places::new(shares) };
        Ok(Self {
            state: Mutex::new(state),
            started: Instant::now(),
            shares,
            requests: Arc::default(),
            selections: Selections::default(),
            sensor_bytes: config.sensor_bytes,
            hash_executables: config.hash_executables,
            wanted_mechanism,
            mechanism: OnceLock::new(),
            max_block_bytes: config.block_bytes,
            phase: AtomicUsize::new(Phase::Running as usize),
            reason: Mutex::default(),
            sensor: Waker::new()?,
            main: Waker::new()?,
            stop_asked: AtomicBool::new(false),
            connections: Mutex::default(),
            id_lists: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(0),
            recent: config.recent.clone().map(|settings| Arc::new(Recent::new(settings))),
        })
    }

    /// Takes the lock. `who` is the name of the thread, for the log.
    pub(crate) fn lock(&self, who: &str) -> MutexGuard<'_, State> {
        if !log::shows_lock_status() {
            return self.state.lock();
        }
        let asked = Instant::now();
        let state = self.state.lock();
        tracing::trace!("{who} waited {:?}", asked.elapsed());
        state
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(std::sync::atomic::Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Stopping,
            _ => Phase::Ending,
        }
    }

    /// Begins the stop. Only the first call has an effect.
    pub(crate) fn stop(&self, reason: String) {
        let mut first = self.reason.lock();
        if first.is_empty() {
            *first = reason;
        }
        drop(first);
        self.advance(Phase::Stopping);
        self.sensor.wake();
    }

    /// Requests every connection to end its stream.
    pub(crate) fn end(&self) {
        self.advance(Phase::Ending);
        for connected in self.connections.lock().iter() {
            connected.waker.wake();
        }
    }

    pub(crate) fn reason(&self) -> String {
        self.reason.lock().clone()
    }

    pub(crate) fn ask_stop(&self) {
        self.stop_asked.store(true, Relaxed);
        self.main.wake();
    }

    fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as usize, std::sync::atomic::Ordering::AcqRel);
    }
}

impl Shell for Hub {
    type Reader = Attached;
    type Capture = Captured;
    const MAX_FILTER_IDS: usize = MAX_FILTER_IDS;

    fn locked<T>(
        &self,
        _: Purpose,
        work: impl FnOnce(&mut Queue<Attached, Captured>, Nanos) -> T + Send,
    ) -> T {
        work(&mut self.lock("a request").queue, hone_linux::now())
    }

    fn service(&self, _: Nanos) -> Service {
        Service {
            version: VERSION,
            loaded: self.started.elapsed().as_nanos().try_into().unwrap_or(u64::MAX),
            max_block_bytes: self.max_block_bytes,
            mechanism: self.mechanism.get().copied(),
        }
    }

    fn log_levels(&self) -> LogLevels {
        log::levels()
    }

    fn set_log_levels(&self, levels: LogLevels) {
        log::set_levels(levels);
    }
}

#[cfg(test)]
mod tests {
    use hone_engine::{Event, ProcessKey, ProcessStart, ReaderId, RingBuffer, StartKind};

    use super::*;

    fn hub(max_block_bytes: usize) -> Hub {
        let config = hone_engine::Config { max_block_bytes, ..hone_engine::Config::default() };
        let engine = Engine::new(config).expect("there is memory");
        Hub::new(engine, &crate::config::defaults(), None).expect("there are descriptors")
    }

    fn attach(state: &mut State, user: u32) -> ReaderId {
        let place = state.places.take(user, 1024).expect("there is a place");
        let waker = Arc::new(Waker::new().expect("there are descriptors"));
        let attached = Attached { waker, place, beginning: None, given_up: Arc::default() };
        let ring = RingBuffer::new(1024).expect("there is memory");
        state
            .queue
            .attach(attached, ring, SnapLength::ALL, 1)
            .map_err(|(error, ..)| error)
            .expect("there is memory")
    }

    #[test]
    fn where_memory_runs_out_readers_that_keep_a_beginning_are_given_up() {
        const BYTES: usize = 1 << 20;
        let hub = hub(BYTES);
        let mut state = hub.lock("test");
        let start = |pid| {
            Event::ProcessStarted(ProcessStart::new(ProcessKey { pid, start: 1 }, 1, StartKind::Started))
        };
        state.queue.engine.handle(&start(1)).expect("there is memory");
        let [stuck, reads] = [0, 7].map(|user| attach(&mut state, user));
        let mut buffer = vec![0; BYTES];
        while state.queue.engine.read(reads, &mut buffer, 1) != Ok(hone_engine::Read::Empty) {}
        let given_up = |state: &mut State| {
            [stuck, reads]
                .map(|id| state.queue.reader(id).is_some_and(|reader| reader.given_up.load(Relaxed)))
        };
        let now = Instant::now();
        state.give_up_stuck(BYTES, now);
        state.give_up_stuck(BYTES, now + STUCK);
        assert_eq!(given_up(&mut state), [false; 2], "there is memory");
        let mut pid = 2;
        while state.queue.engine.handle(&start(pid)).is_ok() {
            pid += 1;
        }
        state.give_up_stuck(BYTES, now + STUCK);
        assert_eq!(given_up(&mut state), [true, false]);
    }
}
