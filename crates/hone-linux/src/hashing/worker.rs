//! The thread that reads files and hashes them, at a bounded rate. It reads a part of a file at a time,
//! of that with the least left: so a small file does not wait for a large one.
//!
//! A file is opened as soon as the thread learns of it: a process may end soon, and an open file can be read also when it
//! has been removed.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use hone_engine::{ExecutableHash, NoHash};
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use sha2::{Digest as _, Sha256};

use super::file::{Changes, FileId, Opened};
use super::known::Known;

/// Most bytes that are read in a second.
const BYTES_A_SECOND: u64 = 64 << 20;
/// Bytes that are read at once. The thread looks for new files in between.
const PART: usize = 256 << 10;
/// Most files that are open and wait to be read.
const MAX_OPEN: usize = 256;
/// Most files of running programs that wait to be opened.
const MAX_LATER: usize = 16_384;
/// Most files that the thread has not looked at yet.
const MAX_UNSEEN: usize = 1024;

/// A file to hash.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) file: FileId,
    pub(super) process: u32,
    pub(super) parent: u32,
    pub(super) path: Vec<u8>,
    /// It can wait: its process has been running for a while.
    pub(super) is_later: bool,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) hash: ExecutableHash,
}

/// The thread's other end. When it is dropped, the thread ends, after the part that it reads.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
}

impl Worker {
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, taken) = sync_channel(MAX_UNSEEN);
        let (finished, done) = channel();
        let thread = Thread {
            jobs: taken,
            done: finished,
            open: Vec::new(),
            later: VecDeque::new(),
            known: Known::default(),
        };
        // Nobody waits for its end: a file system can keep it waiting.
        let (restricted, is_restricted) = sync_channel(1);
        let run = move || {
            restrict();
            let _ = restricted.send(());
            thread.run();
        };
        std::thread::Builder::new().name("hashing".into()).spawn(run)?;
        // Whoever drops capabilities once the sensor has started is to find that this thread has dropped its own.
        let _ = is_restricted.recv();
        Ok(Self { jobs, done })
    }

    /// Whether there is room for the job. There is none either if the thread has ended.
    pub(super) fn take(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    pub(super) fn done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

/// Nobody wants to know any more.
struct Over;

struct Thread {
    jobs: Receiver<Job>,
    done: Sender<Done>,
    open: Vec<Open>,
    /// Files of programs that run already.
    later: VecDeque<Job>,
    /// The hashes of files that have to be opened each time.
    known: Known,
}

/// A file that is open, and what was read of it so far.
struct Open {
    number: u64,
    id: FileId,
    opened: Opened,
    /// When it may be read.
    from: Instant,
    hash: Sha256,
    read: u64,
}

impl Open {
    fn is_ready(&self, now: Instant) -> bool {
        self.from <= now
    }

    const fn left(&self) -> u64 {
        self.id.size.saturating_sub(self.read)
    }

    /// Reads at most one part. Returns the result after the last one: a hash only if the file is the same before and after.
    fn read(&mut self, part: &mut [u8]) -> Option<ExecutableHash> {
        match self.opened.file.read(part) {
            // A file that grows meanwhile is not read on for ever.
            Ok(length) if length > 0 && self.read <= self.id.size => {
                self.hash.update(&part[..length]);
                self.read += length as u64;
                return None;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return None,
            Err(_) => return Some(Err(NoHash::Unreadable)),
        }
        let is_whole = self.read == self.id.size;
        let checked =
            self.opened.check(&self.id).and_then(|()| is_whole.then_some(()).ok_or(NoHash::Changed));
        Some(checked.map(|()| self.hash.finalize_reset().into()))
    }
}

impl Thread {
    fn run(mut self) {
        let mut part = vec![0; PART];
        while let Ok(()) = self.step(&mut part) {}
    }

    /// Waits for something to do, and does it: of the files that are open, a part of that with the least left.
    fn step(&mut self, part: &mut [u8]) -> Result<(), Over> {
        if self.open.is_empty() && self.later.is_empty() {
            let job = self.jobs.recv().map_err(|_| Over)?;
            self.accept(job)?;
        }
        self.accept_all()?;
        let begun = Instant::now();
        let ready = self.open.iter().enumerate().filter(|(_, open)| open.is_ready(begun));
        if let Some((index, _)) = ready.min_by_key(|(_, open)| open.left()) {
            let open = &mut self.open[index];
            let before = open.read;
            let looks = open.id.changes() == Changes::ShowWhenOpened;
            // It was opened as what it was when it was hashed, and has settled.
            let known = if before == 0 && looks { self.known.get(&open.id) } else { None };
            if let Some(hash) = known.map(Ok).or_else(|| open.read(part)) {
                let Open { number, id, .. } = self.open.swap_remove(index);
                if let Ok(hash) = hash
                    && looks
                {
                    self.known.add(id, hash);
                }
                return self.finish(number, hash);
            }
            let nanos = (open.read - before) * 1_000_000_000 / BYTES_A_SECOND;
            return self.pause(begun + Duration::from_nanos(nanos));
        }
        if self.open.len() < MAX_OPEN
            && let Some(job) = self.later.pop_front()
        {
            return self.open(&job);
        }
        match self.open.iter().map(|open| open.from).min() {
            Some(from) => self.pause(from),
            None => Ok(()),
        }
    }

    fn accept_all(&mut self) -> Result<(), Over> {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.accept(job)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Over),
            }
        }
    }

    fn accept(&mut self, job: Job) -> Result<(), Over> {
        if job.is_later && self.later.len() < MAX_LATER {
            self.later.push_back(job);
            Ok(())
        } else if !job.is_later && self.open.len() < MAX_OPEN {
            self.open(&job)
        } else {
            self.finish(job.number, Err(NoHash::Busy))
        }
    }

    fn open(&mut self, job: &Job) -> Result<(), Over> {
        match job.file.open(job.process, job.parent, &job.path) {
            Ok(opened) => {
                let from = Instant::now() + job.file.settles_in(SystemTime::now());
                let (number, id, hash) = (job.number, job.file, Sha256::new());
                self.open.push(Open { number, id, opened, from, hash, read: 0 });
                Ok(())
            }
            Err(reason) => self.finish(job.number, Err(reason)),
        }
    }

    fn finish(&self, number: u64, hash: ExecutableHash) -> Result<(), Over> {
        self.done.send(Done { number, hash }).map_err(|_| Over)
    }

    /// Does nothing but accept new files until then.
    fn pause(&mut self, until: Instant) -> Result<(), Over> {
        loop {
            match self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => self.accept(job)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Over),
            }
        }
    }
}

/// Gives up a raised priority, and keeps two capabilities at most: to follow /proc/PID/exe of others' processes, and to read
/// their files.
fn restrict() {
    if getpriority_process(None).is_ok_and(|nice| nice < 0) {
        let _ = setpriority_process(None, 0);
    }
    let wanted = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    let Ok(held) = capabilities(None) else { return };
    let kept = held.permitted & wanted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    let restricted = set_capabilities(None, sets);
    if kept != wanted {
        tracing::warn!(
            "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, the programs of some processes cannot be read: these have no hash"
        );
    }
    if let Err(error) = restricted {
        tracing::warn!("the thread that hashes keeps its capabilities: {error}");
    }
}
