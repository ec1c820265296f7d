//! What all threads share: the engine and who is attached, under the one lock of the service.
//!
//! # The lock
//!
//! [`Hub::lock`] guards the engine and everything that must agree with it. Taken by
//! * the sensor's thread, from the first record of a batch to its last (at most [`crate::sensor::BATCH`] records),
//! * each reader's thread while it copies what waits for its reader into a buffer of its own, and while it carries out a
//!   request.
//!
//! What takes time in proportion to what a client asks for (a ring buffer, lists, what a reader leaves) is made before the
//! lock is taken and freed after it, or done in steps between which it is let go of. So no client can hold up the sensor's
//! thread. No one waits for a socket, the sensor or another thread while holding it; so a reader that does not read holds up
//! nobody. parking_lot's mutex is used because it is fair now and then: the sensor's thread, which takes the lock again
//! at once under load, cannot keep the readers out.
//!
//! # Memory
//!
//! Blocks are kept once for all readers, and a reader that does not read keeps them in memory. So that it cannot use up
//! what others need, what may wait for readers is shared out evenly among the users who read, and each user's part among
//! the readers of that user, anew with each that comes or goes. What waits already stays; room that is not shared out makes up for that. A reader that does not read the beginning
//! of its section keeps what has ended since; where that fills the memory, it is given up ([`State::give_up_stuck`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hone_engine::{Engine, ReaderId, SnapLength};
use hone_linux::{Capture, Mechanism};
use parking_lot::{Mutex, MutexGuard};

use crate::log;
use crate::places::{Place, Places, Requests, Shares};
use crate::waker::Waker;

/// Most bytes of blocks that may wait for one reader.
const MAX_PINNED: usize = 64 << 20;
/// How long a reader may take for the beginning of a section where memory runs out.
const STUCK: Duration = Duration::from_secs(20);

/// An attached reader, as the others need to know it.
pub(crate) struct Attached {
    pub(crate) id: ReaderId,
    pub(crate) waker: Arc<Waker>,
    /// 0: unlimited.
    pub(crate) snap_length: SnapLength,
    pub(crate) place: Place,
    /// Since when it has had a section's beginning to read.
    pub(crate) beginning: Option<Instant>,
    /// Tells its thread to end the connection.
    pub(crate) given_up: Arc<AtomicBool>,
}

/// A connection, as the others need to know it.
pub(crate) struct Connected {
    pub(crate) waker: Arc<Waker>,
    pub(crate) user: u32,
}

/// What is under the lock.
pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) readers: Vec<Attached>,
    pub(crate) places: Places,
    /// `None` until the sensor runs.
    pub(crate) capture: Option<Capture>,
    /// The sensor could not be told how much of each packet is wanted. It is told again.
    pub(crate) untold: bool,
    /// Bytes of blocks that may wait for all readers together.
    pinnable: usize,
    /// How much of each packet the sensor was told to take last.
    taken: Option<SnapLength>,
}

impl State {
    /// How many bytes of blocks may wait for each reader of this user, if there are `more` of them: each user who reads has
    /// as much as another.
    pub(crate) fn share(&self, user: u32, more: usize) -> usize {
        let readers = self.readers_of_users();
        let own = readers.get(&user).copied().unwrap_or(0);
        let users = readers.len() + usize::from(own == 0);
        self.part(users, own + more)
    }

    /// Of so many users, the part of each reader of one who has so many.
    fn part(&self, users: usize, own: usize) -> usize {
        (self.pinnable / users.max(1) / own.max(1)).min(MAX_PINNED)
    }

    fn readers_of_users(&self) -> BTreeMap<u32, usize> {
        let mut readers = BTreeMap::new();
        for reader in &self.readers {
            *readers.entry(reader.place.user).or_default() += 1;
        }
        readers
    }

    pub(crate) fn reader(&mut self, id: ReaderId) -> Option<&mut Attached> {
        self.readers.iter_mut().find(|reader| reader.id == id)
    }

    /// Wakes the readers that the engine names. Called before the lock is let go of, wherever blocks may have come.
    pub(crate) fn wake(&mut self) {
        let readers = &self.readers;
        self.engine.take_signals(|id| {
            if let Some(reader) = readers.iter().find(|reader| reader.id == id) {
                reader.waker.wake();
            }
        });
    }

    /// After a reader has come, gone or changed: shares out the memory, and tells the sensor how much of each packet is
    /// wanted, which is the most that any reader wants.
    pub(crate) fn retarget(&mut self) {
        let of_users = self.readers_of_users();
        for reader in &self.readers {
            let own = of_users.get(&reader.place.user).copied().unwrap_or(0);
            // It is attached.
            let _ = self.engine.set_pinned_bytes(reader.id, self.part(of_users.len(), own));
        }
        let longest = self.readers.iter().map(|reader| reader.snap_length).max();
        let Some(capture) = self.capture.as_ref().filter(|_| self.taken != longest) else {
            self.untold = false;
            return;
        };
        match capture.set(longest) {
            Ok(()) => (self.taken, self.untold) = (longest, false),
            Err(error) => {
                if !std::mem::replace(&mut self.untold, true) {
                    tracing::error!("{error}; trying again");
                }
            }
        }
    }
}

impl State {
    /// Where memory for blocks runs out, gives up the readers that have not read the beginnings of their sections: these
    /// keep in memory what has ended since, as much as has begun and ended, and others would have no memory for what
    /// happens. To be called now and then.
    pub(crate) fn give_up_stuck(&mut self, max_block_bytes: usize, now: Instant) {
        let full = self.engine.statistics().block_bytes > max_block_bytes as u64 / 4 * 3;
        for reader in &mut self.readers {
            let keeps = self.engine.keeps_state(reader.id) == Some(true);
            reader.beginning = keeps.then(|| reader.beginning.unwrap_or(now));
            if full && reader.beginning.is_some_and(|since| now.duration_since(since) >= STUCK) {
                reader.given_up.store(true, Relaxed);
                reader.waker.wake();
            }
        }
    }
}

/// How long ago that was.
pub(crate) fn nanos(since: Instant) -> u64 {
    since.elapsed().as_nanos().try_into().unwrap_or(u64::MAX)
}

/// How the service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Phase {
    Running = 0,
    /// The sensor's thread takes in what has happened so far; nobody attaches any more.
    Stopping = 1,
    /// Readers' streams are brought to their end.
    Ending = 2,
}

/// What all threads share.
pub(crate) struct Hub {
    state: Mutex<State>,
    pub(crate) started: Instant,
    pub(crate) shares: Shares,
    pub(crate) requests: Arc<Requests>,
    pub(crate) sensor_bytes: u32,
    /// `None`: the best that the kernel permits.
    pub(crate) wanted_mechanism: Option<Mechanism>,
    /// The mechanism in use: [`hone_api::Statistics::mechanism`].
    pub(crate) mechanism: AtomicU64,
    pub(crate) max_block_bytes: usize,
    phase: AtomicUsize,
    /// Why it stops; set once, before the phase.
    reason: Mutex<String>,
    /// Wakes the sensor's thread.
    pub(crate) sensor: Waker,
    /// Wakes the main thread: a stop is asked for, or a connection has ended.
    pub(crate) main: Waker,
    pub(crate) stop_asked: AtomicBool,
    /// All connections, attached or not.
    pub(crate) connections: Mutex<Vec<Connected>>,
    /// Lists that connections have set, and their ids.
    pub(crate) id_lists: AtomicU64,
    pub(crate) ids: AtomicU64,
    pub(crate) buffer_bytes: AtomicU64,
}

impl Hub {
    pub(crate) fn new(
        engine: Engine,
        config: &crate::config::Config,
        wanted_mechanism: Option<Mechanism>,
    ) -> std::io::Result<Self> {
        let shares = Shares::new(config);
        let state = State {
            engine,
            readers: Vec::new(),
            places: Places::new(shares),
            taken: None,
            capture: None,
            untold: false,
            // The rest is left to tables, beginnings of sections, and readers that had more when they were fewer.
            pinnable: config.block_bytes / 8 * 5,
        };
        Ok(Self {
            state: Mutex::new(state),
            started: Instant::now(),
            shares,
            requests: Arc::default(),
            sensor_bytes: config.sensor_bytes,
            wanted_mechanism,
            mechanism: AtomicU64::new(0),
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
        })
    }

    /// Takes the lock; `who` is for the log.
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

    /// Begins the stop, once.
    pub(crate) fn stop(&self, reason: String) {
        let mut first = self.reason.lock();
        if first.is_empty() {
            *first = reason;
        }
        drop(first);
        self.advance(Phase::Stopping);
        self.sensor.wake();
    }

    /// Asks every connection to bring its stream to an end.
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

#[cfg(test)]
mod tests {
    use hone_engine::{Event, ProcessKey, ProcessStart, ReaderOptions, StartKind};

    use super::*;

    fn hub(max_block_bytes: usize) -> Hub {
        let config = hone_engine::Config { max_block_bytes, ..hone_engine::Config::default() };
        let engine = Engine::new(config).expect("there is memory");
        Hub::new(engine, &crate::config::defaults(), None).expect("there are descriptors")
    }

    fn attach(state: &mut State, user: u32) -> ReaderId {
        let id = state.engine.attach(&ReaderOptions::default(), 1).expect("there is memory");
        let place = state.places.take(user, 1024).expect("there is a place");
        let waker = Arc::new(Waker::new().expect("there are descriptors"));
        state.readers.push(Attached {
            id,
            waker,
            snap_length: SnapLength::ALL,
            place,
            beginning: None,
            given_up: Arc::default(),
        });
        id
    }

    #[test]
    fn many_readers_of_one_user_leave_others_their_part() {
        let hub = hub(1 << 20);
        let mut state = hub.lock("test");
        assert_eq!(state.share(7, 1), MAX_PINNED);
        for user in [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7] {
            attach(&mut state, user);
        }
        let part = state.pinnable / 2;
        assert_eq!(
            (state.share(0, 0), state.share(7, 0), state.share(7, 1)),
            (MAX_PINNED, part / 10, part / 11)
        );
        assert_eq!(state.share(8, 1), MAX_PINNED);
    }

    #[test]
    fn where_memory_runs_out_readers_that_keep_a_beginning_are_given_up() {
        const BYTES: usize = 1 << 20;
        let hub = hub(BYTES);
        let mut state = hub.lock("test");
        let start = |pid| {
            Event::ProcessStarted(ProcessStart::new(ProcessKey { pid, start: 1 }, 1, StartKind::Started))
        };
        state.engine.handle(&start(1)).expect("there is memory");
        let [_stuck, reads] = [0, 7].map(|user| attach(&mut state, user));
        let mut buffer = vec![0; BYTES];
        while state.engine.read(reads, &mut buffer, 1) != Ok(hone_engine::Read::Empty) {}
        let given_up = |state: &State| [0, 1].map(|at: usize| state.readers[at].given_up.load(Relaxed));
        let now = Instant::now();
        state.give_up_stuck(BYTES, now);
        state.give_up_stuck(BYTES, now + STUCK);
        assert_eq!(given_up(&state), [false; 2], "there is memory");
        let mut pid = 2;
        while state.engine.handle(&start(pid)).is_ok() {
            pid += 1;
        }
        state.give_up_stuck(BYTES, now + STUCK);
        assert_eq!(given_up(&state), [true, false]);
    }
}
