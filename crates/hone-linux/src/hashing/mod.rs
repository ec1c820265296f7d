//! The hashes of the programs that processes run: which are known, and which processes wait for one.
//!
//! A file is known by what the kernel saw when it executed it ([`FileId`]). Where that is enough ([`Changes`]), a hash is
//! calculated once, and comes with the event of the process.
//! The sensor's thread owns what is here; a thread of its own reads the files (`worker`), no faster than it may.

mod file;
mod known;
mod worker;

use std::collections::HashMap;

use hone_engine::{ExecutableHash, NoHash, ProcessKey};

use self::file::Changes;
pub(crate) use self::file::FileId;
use self::known::Known;
use self::worker::{Done, Job, Worker};

/// Larger files are not hashed: that would take more than eight seconds.
pub(crate) const MAX_SIZE: u64 = 512 << 20;
/// Most processes that wait for a hash.
const MAX_WAITING: usize = 65_536;

/// A process that executes a file, or was found running one.
pub(crate) struct Executed<'a> {
    pub(crate) process: ProcessKey,
    pub(crate) parent: u32,
    /// `None`: the kernel did not say which file it is.
    pub(crate) file: Option<FileId>,
    pub(crate) path: &'a [u8],
}

/// What is known and what is waited for.
#[derive(Debug)]
pub(crate) struct Hashing {
    worker: Worker,
    known: Known,
    /// The files that the thread has, by the numbers of its jobs, and the processes that wait for each.
    waiting: HashMap<u64, (FileId, Vec<ProcessKey>)>,
    /// The job that each of them waits for.
    waits: HashMap<u32, (ProcessKey, u64)>,
    /// The jobs of files that others can wait for, too.
    shared: HashMap<FileId, u64>,
    next_job: u64,
    /// How many processes are in the lists of `waiting`: those that wait, and those that run something else by now.
    listed: usize,
    /// What runs already is hashed after what is executed from now on.
    is_later: bool,
    /// How many processes have no hash because too much waited.
    left_out: u64,
}

impl Hashing {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        Ok(Self {
            worker: Worker::start()?,
            known: Known::default(),
            waiting: HashMap::new(),
            waits: HashMap::new(),
            shared: HashMap::new(),
            next_job: 0,
            listed: 0,
            is_later: false,
            left_out: 0,
        })
    }

    /// Whether the processes that are reported from now on were there already.
    pub(crate) const fn set_later(&mut self, is_later: bool) {
        self.is_later = is_later;
    }

    /// The hash of the file that a process executes, as far as it is known by now.
    pub(crate) fn executed(&mut self, executed: &Executed<'_>) -> ExecutableHash {
        // It runs another program than the one whose hash it waited for.
        self.waits.remove(&executed.process.pid);
        let Some(file) = executed.file else { return Err(NoHash::Unreadable) };
        let is_shared = match file.changes() {
            Changes::Foreign => return Err(NoHash::Unreadable),
            Changes::ShowAtExec => true,
            // What the kernel saw does not say whether the file is still the same.
            Changes::ShowWhenOpened | Changes::Hidden => false,
        };
        if let Some(hash) = self.known.get(&file) {
            return Ok(hash);
        }
        if file.size > MAX_SIZE {
            return Err(NoHash::TooLarge);
        }
        if self.listed >= MAX_WAITING {
            return Err(self.leave_out());
        }
        if let Some(&number) = self.shared.get(&file) {
            self.wait(executed.process, number);
            return Err(NoHash::Pending);
        }
        let number = self.next_job;
        let job = Job {
            number,
            file,
            process: executed.process.pid,
            parent: executed.parent,
            path: executed.path.to_vec(),
            is_later: self.is_later,
        };
        if !self.worker.take(job) {
            return Err(self.leave_out());
        }
        self.next_job += 1;
        if is_shared {
            self.shared.insert(file, number);
        }
        self.waiting.insert(number, (file, Vec::new()));
        self.wait(executed.process, number);
        Err(NoHash::Pending)
    }

    /// A child runs its parent's program, and so waits for the same hash. Its event has what its parent's has.
    pub(crate) fn forked(&mut self, process: ProcessKey, parent: u32) {
        self.waits.remove(&process.pid);
        if let Some(&(_, number)) = self.waits.get(&parent)
            && self.listed < MAX_WAITING
        {
            self.wait(process, number);
        }
    }

    /// Hands each process whose hash has become known, or will not, to `sink`.
    pub(crate) fn deliver(&mut self, sink: &mut dyn FnMut(ProcessKey, ExecutableHash)) {
        while let Some(Done { number, hash }) = self.worker.done() {
            let Some((file, waiting)) = self.waiting.remove(&number) else { continue };
            if self.shared.remove(&file).is_some()
                && let Ok(hash) = hash
            {
                self.known.add(file, hash);
            }
            self.listed -= waiting.len();
            for process in waiting {
                if self.waits.get(&process.pid) == Some(&(process, number)) {
                    self.waits.remove(&process.pid);
                    if hash == Err(NoHash::Busy) {
                        self.leave_out();
                    }
                    sink(process, hash);
                }
            }
        }
    }

    fn wait(&mut self, process: ProcessKey, number: u64) {
        let Some((_, waiting)) = self.waiting.get_mut(&number) else { return };
        waiting.push(process);
        self.waits.insert(process.pid, (process, number));
        self.listed += 1;
    }

    fn leave_out(&mut self) -> NoHash {
        self.left_out += 1;
        if self.left_out == 1 {
            tracing::warn!(
                "more programs are executed than can be hashed in time: some processes have no hash"
            );
        }
        NoHash::Busy
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if self.left_out > 0 {
            tracing::warn!("{} processes have no hash, because too many files waited", self.left_out);
        }
    }
}

#[cfg(test)]
mod tests;
