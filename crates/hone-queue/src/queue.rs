//! The engine, and its readers as the system knows them. The shell's one lock protects all of [`Queue`].
//!
//! # Fair share of memory
//!
//! Blocks are kept once for all readers, and a reader that does not read keeps them in memory. So that it does not use
//! up what others need, five eighths of the memory are shared. Each user who reads gets an equal part, and each reader
//! of a user an equal part of that. The parts are computed again when a reader attaches or detaches; blocks that
//! already wait stay. The rest of the memory is for tables, for the beginnings of sections, and for readers that had a
//! larger part before.

use alloc::vec::Vec;
use core::fmt;

use hone_engine::{
    AttachError, Detached, Engine, Nanos, NewSelection, ProcessKey, ReaderId, ReaderOptions, RingBuffer,
    SnapLength, UnknownReader, fallible,
};
use hone_select::{NoTests, PacketTest, Selection, packet_tests};

/// A reader, as the system knows it.
pub trait Reader {
    /// Wakes the reading program, because there is something to read again. Must not wait.
    fn wake(&self);

    /// The user id of the reader; the readers of one user share that user's part of the memory. A system that does not
    /// distinguish users always returns the same.
    fn user(&self) -> u32;
}

/// What captures packets for the engine.
pub trait Capture {
    /// From now on, captures this many bytes of each packet; `None`: no packets.
    fn set(&mut self, snap_length: Option<SnapLength>);

    /// Whether it can leave out packets by tests. If not, none are made for it.
    const SELECTS: bool = false;

    /// From now on, leaves out packets that these tests reject; no tests reject none. With `None`, nothing is left out.
    fn select(&mut self, tests: Option<&[PacketTest]>) {
        let _ = tests;
    }

    /// Says whether packets of this process are left out, until it executes another program, or up to the next
    /// [`select`](Self::select).
    fn set_process(&mut self, process: ProcessKey, is_left_out: bool) {
        let _ = (process, is_left_out);
    }

    /// How many packets the tests have left out so far.
    fn left_out(&mut self) -> u64 {
        0
    }
}

struct Attached<R> {
    id: ReaderId,
    reader: R,
}

/// An engine, its readers, and what captures packets for it.
pub struct Queue<R, C> {
    /// The engine.
    pub engine: Engine,
    /// What captures packets.
    pub capture: C,
    /// The readers of one user are next to each other.
    readers: Vec<Attached<R>>,
    /// Most bytes of blocks that may wait for all readers together.
    shared: usize,
    /// Most bytes of blocks that may wait for one reader.
    most: usize,
}

impl<R: Reader, C: Capture> Queue<R, C> {
    /// A queue without readers. `max_block_bytes`: as in the engine's configuration. `max_pinned_bytes`: most bytes of
    /// blocks that may wait for one reader.
    pub const fn new(engine: Engine, capture: C, max_block_bytes: usize, max_pinned_bytes: usize) -> Self {
        let shared = max_block_bytes / 8 * 5;
        Self { engine, capture, readers: Vec::new(), shared, most: max_pinned_bytes }
    }

    /// How many readers are attached.
    #[must_use]
    pub const fn readers(&self) -> usize {
        self.readers.len()
    }

    /// The reader with this id; `None`: it is not attached.
    pub fn reader(&mut self, id: ReaderId) -> Option<&mut R> {
        self.readers.iter_mut().find(|attached| attached.id == id).map(|attached| &mut attached.reader)
    }

    /// Calls `look` for each reader.
    pub fn for_each(&mut self, mut look: impl FnMut(&Engine, ReaderId, &mut R)) {
        for attached in &mut self.readers {
            look(&self.engine, attached.id, &mut attached.reader);
        }
    }

    /// Attaches a reader with this ring buffer and snap length. Call it with the lock, and then call
    /// [`wake`](Self::wake).
    ///
    /// # Errors
    /// There are too many readers, or there is no memory. Returns also the ring buffer and the reader, so that they can
    /// be freed without the lock.
    pub fn attach(
        &mut self,
        reader: R,
        ring: RingBuffer,
        snap_length: SnapLength,
        now: Nanos,
    ) -> Result<ReaderId, (AttachError, RingBuffer, R)> {
        if self.readers.try_reserve(1).is_err() {
            return Err((AttachError::OutOfMemory, ring, reader));
        }
        // The new reader wants all packets, from here on.
        self.capture_all();
        let options = ReaderOptions { snap_length, ..ReaderOptions::default() };
        let id = match self.engine.attach_with(ring, &options, now) {
            Ok(id) => id,
            Err((error, ring)) => {
                self.select();
                return Err((error, ring, reader));
            }
        };
        let place = self.readers.partition_point(|attached| attached.reader.user() <= reader.user());
        fallible::insert_reserved(&mut self.readers, place, Attached { id, reader });
        self.retarget();
        Ok(id)
    }

    /// Detaches a reader. [Release](crate::release) the returned value, and free the reader, without the lock.
    pub fn detach(&mut self, id: ReaderId) -> Option<(R, Option<Detached>)> {
        let place = self.readers.iter().position(|attached| attached.id == id)?;
        let Attached { reader, .. } = self.readers.remove(place);
        self.count_left_out();
        let detached = self.engine.begin_detach(id);
        self.retarget();
        Some((reader, detached))
    }

    /// Wakes the readers that the engine names. Call it before unlocking, wherever blocks may have been added.
    pub fn wake(&mut self) {
        let readers = &self.readers;
        self.engine.take_signals(|id| {
            if let Some(attached) = readers.iter().find(|attached| attached.id == id) {
                attached.reader.wake();
            }
        });
    }

    /// Call it after a reader was attached, detached or changed. Divides the memory again, and sets the capture to the
    /// largest snap length of all readers.
    pub fn retarget(&mut self) {
        let users = self.users(None);
        for readers in self.readers.chunk_by(same_user) {
            let share = self.part(users, readers.len());
            for attached in readers {
                let is_attached = self.engine.set_pinned_bytes(attached.id, share);
                debug_assert!(is_attached.is_ok());
            }
        }
        let snap_length = self.engine.statistics().snap_length;
        self.capture.set((!self.readers.is_empty()).then_some(snap_length));
        self.select();
    }

    /// Replaces a reader's selection by a new one whose processes are [marked](crate::mark_processes); `new` then has the
    /// former one.
    ///
    /// # Errors
    /// The reader is not attached.
    pub fn exchange_selection(
        &mut self,
        reader: ReaderId,
        new: &mut NewSelection,
    ) -> Result<(), UnknownReader> {
        self.capture_all();
        let result = self.engine.exchange_selection(reader, new);
        self.select();
        result
    }

    /// Tells the engine how many packets were left out before they reached it. Call it before the statistics are read.
    pub fn count_left_out(&mut self) {
        if C::SELECTS {
            self.engine.report_filtered_by_source(self.capture.left_out());
        }
    }

    fn capture_all(&mut self) {
        if C::SELECTS {
            self.capture.select(None);
            self.count_left_out();
        }
    }

    /// Lets the capture leave out what no reader wants. If a reader wants all, or it cannot be told by tests, that is nothing.
    fn select(&mut self) {
        if C::SELECTS {
            let Self { engine, capture, .. } = self;
            let tests = wanted_tests(engine);
            let by_process = selects_processes(engine);
            capture.select(tests.as_deref().ok().or(by_process.then_some(&[])));
            if by_process {
                engine.for_each_process(|process| {
                    if !engine.may_want(process) {
                        capture.set_process(process, true);
                    }
                });
            }
        }
    }

    /// The engine has handled a start, a fork or an execution of this process: packets of it are left out if no reader wants
    /// them. Call it when the engine has all events that the sensor has handed on.
    pub fn look_at_process(&mut self, process: ProcessKey) {
        if C::SELECTS && selects_processes(&self.engine) {
            self.capture.set_process(process, !self.engine.may_want(process));
        }
    }

    /// How many bytes of blocks may wait for each reader of this user.
    #[must_use]
    pub fn share(&self, user: u32) -> usize {
        let own = self.readers.iter().filter(|attached| attached.reader.user() == user).count();
        self.part(self.users(Some(user)), own)
    }

    /// How many users read, `user` included.
    fn users(&self, user: Option<u32>) -> usize {
        let is_new = |user| !self.readers.iter().any(|attached| attached.reader.user() == user);
        self.readers.chunk_by(same_user).count() + usize::from(user.is_some_and(is_new))
    }

    /// The part of one reader, if there are so many users and this user has so many readers.
    fn part(&self, users: usize, own: usize) -> usize {
        (self.shared / users.max(1) / own.max(1)).min(self.most)
    }
}

/// The tests that all packets pass which some reader of the engine wants.
///
/// # Errors
/// There are none to make: all packets are needed.
pub fn wanted_tests(engine: &Engine) -> Result<Vec<PacketTest>, NoTests> {
    if engine.selections().any(|selection| selection.is_none()) {
        return Err(NoTests::Everything);
    }
    packet_tests(engine.selections().flatten())
}

/// Whether all readers select by processes: there may be processes of which none wants a packet.
#[must_use]
pub fn selects_processes(engine: &Engine) -> bool {
    let mut selections = engine.selections().peekable();
    selections.peek().is_some()
        && selections.all(|selection| selection.is_some_and(Selection::has_process_words))
}

fn same_user<R: Reader>(one: &Attached<R>, other: &Attached<R>) -> bool {
    one.reader.user() == other.reader.user()
}

impl<R, C> fmt::Debug for Queue<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("readers", &self.readers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hone_engine::Config;

    use super::*;

    struct User(u32);

    impl Reader for User {
        fn wake(&self) {}

        fn user(&self) -> u32 {
            self.0
        }
    }

    /// What was set last.
    struct Set(Option<SnapLength>);

    impl Capture for Set {
        fn set(&mut self, snap_length: Option<SnapLength>) {
            self.0 = snap_length;
        }
    }

    const MOST: usize = 64;

    fn queue() -> Queue<User, Set> {
        let engine = Engine::new(Config::default()).expect("there is memory");
        Queue::new(engine, Set(None), 160, MOST)
    }

    fn attach(queue: &mut Queue<User, Set>, user: u32, snap_length: u32) -> ReaderId {
        let ring = RingBuffer::new(1024).expect("there is memory");
        queue
            .attach(User(user), ring, SnapLength::lenient(snap_length), 1)
            .map_err(|(error, ..)| error)
            .expect("there is room")
    }

    #[test]
    fn many_readers_of_one_user_leave_others_their_part() {
        let mut queue = queue();
        assert_eq!(queue.share(7), MOST, "one reader has no more than the bound");
        for user in [7, 0, 7, 7, 7, 7] {
            attach(&mut queue, user, 0);
        }
        // 100 bytes for two users.
        assert_eq!((queue.share(0), queue.share(7), queue.share(8)), (50, 10, 33));
        let last = attach(&mut queue, 8, 0);
        assert_eq!((queue.share(0), queue.share(7), queue.share(8)), (33, 6, 33));
        assert!(queue.detach(last).is_some() && queue.detach(last).is_none());
        assert_eq!((queue.share(0), queue.readers()), (50, 6));
    }

    #[test]
    fn as_much_is_captured_as_any_reader_wants() {
        let mut queue = queue();
        let mut readers = [96, 64, 0].map(|snap_length| {
            let id = attach(&mut queue, 0, snap_length);
            (id, queue.capture.0)
        });
        assert_eq!(
            readers.map(|(_, captured)| captured),
            [96, 96, 0].map(|length| Some(SnapLength::lenient(length)))
        );
        readers.reverse();
        let left = readers.map(|(id, _)| queue.detach(id).and(queue.capture.0));
        let most = Some(SnapLength::lenient(96));
        assert_eq!(left, [most, most, None]);
    }
}
