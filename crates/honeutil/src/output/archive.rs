//! Handles finished files: removes the oldest when there are too many, and compresses the others.
//!
//! This runs in a thread of its own, so that the recording never waits for it. The thread owns the list of files and
//! does one thing at a time. It removes only files that this recording made and that are still at their original place.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::num::NonZeroU32;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::output::compress::compress;
use crate::platform::file::{FileId, lower_priority};
use crate::record::control::Control;
use crate::text::{shown_path, thousands};

/// Most files that a report names one by one. If there are more, it names the first and the last.
const MAX_NAMED: usize = 4;
/// How often the control is checked during a wait for the thread.
const TICK: Duration = Duration::from_millis(20);

/// What to do with finished files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Most files to keep, including the one that is being written.
    pub max_files: Option<NonZeroU32>,
    /// Whether to compress them.
    pub compress: bool,
    /// Of which part to keep them, if older ones are removed.
    pub newest: Option<Newest>,
}

/// The newest part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// At least this time: a file is removed when what came after it covers the time.
    pub last: Duration,
    /// At most so many bytes, even if that is less than the time.
    pub bytes: u64,
}

impl Keep {
    /// Whether all files are kept as they are.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// A finished file of this recording.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    /// Whether this recording made it. A file that existed before and was overwritten is never removed.
    pub(crate) made: bool,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was finished.
    pub(crate) ended: Instant,
}

impl Finished {
    /// A file that an earlier recorder of the same kind has made.
    #[cfg(target_os = "linux")]
    pub(crate) fn found(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let data = file.metadata()?;
        let age = data.modified()?.elapsed().unwrap_or_default();
        let now = Instant::now();
        // Of before the machine started: as old as can be said.
        let ended = now.checked_sub(age).unwrap_or(now);
        Ok(Self { path: path.to_owned(), id: FileId::of(&file)?, made: true, bytes: data.len(), ended })
    }
}

/// What was done with the finished files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The files that still exist, oldest first.
    pub kept: Vec<PathBuf>,
    /// How many files were removed.
    pub removed: u64,
    /// How many files other programs have removed, moved or replaced after they were finished.
    pub taken: u64,
    /// Total size of the compressed files, bytes.
    pub compressed_bytes: u64,
    /// How many files could not be compressed or removed.
    pub failures: u64,
}

impl Report {
    /// The files' names, made safe for display.
    #[must_use]
    pub fn names(&self) -> String {
        let mut text = match &self.kept[..] {
            [] => "no file".to_owned(),
            [one] => shown_path(one),
            few if few.len() <= MAX_NAMED => {
                few.iter().map(|path| shown_path(path)).collect::<Vec<_>>().join(", ")
            }
            [first, .., last] => {
                format!(
                    "{} files, {} to {}",
                    thousands(self.kept.len() as u64),
                    shown_path(first),
                    shown_path(last)
                )
            }
        };
        match self.removed {
            0 => {}
            1 => text.push_str("; 1 older one was removed"),
            count => text.push_str(&format!("; {} older ones were removed", thousands(count))),
        }
        if self.taken > 0 {
            text.push_str(&format!("; {} finished before are there no more", thousands(self.taken)));
        }
        text
    }
}

/// Whether an error says that the disk is full.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

enum Message {
    /// A file is finished, and another one is being written.
    Finished(Finished),
    /// The last file is finished.
    Last(Finished),
    /// The disk is full: the oldest file is to be removed. The answer is whether there was one.
    MakeRoom(Sender<bool>),
    /// What is too old or too much is to be removed before the next file grows. The answer comes when it is.
    #[cfg(target_os = "linux")]
    Settle(Sender<bool>),
}

/// The thread, as seen by the output.
#[derive(Debug)]
pub(crate) struct Archive {
    sender: Sender<Message>,
    thread: JoinHandle<Report>,
    /// Whether the oldest files may be removed.
    is_ring: bool,
}

impl Archive {
    pub(crate) fn start(keep: Keep) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let keeper = Keeper {
            keep,
            receiver,
            files: VecDeque::new(),
            next: 0,
            writing: true,
            ended: false,
            report: Report::default(),
        };
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            // Compression may wait when every processor is busy, but removal must not.
            if keep.compress {
                lower_priority();
            }
            keeper.work()
        })?;
        Ok(Self { sender, thread, is_ring: keep.max_files.is_some() || keep.newest.is_some() })
    }

    /// Hands over a file while the next one is being written.
    pub(crate) fn add(&self, file: Finished) {
        let _ = self.sender.send(Message::Finished(file));
    }

    /// Removes the oldest file, because the disk is full. Returns false if there is none that may be removed. The control
    /// is checked meanwhile, as in [`finish`](Self::finish).
    pub(crate) fn make_room(&self, control: &mut Control) -> bool {
        self.is_ring && self.ask(Message::MakeRoom, control)
    }

    /// Waits until all files are removed that are not of the newest part, so that no more than that is on the disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn settle(&self, control: &mut Control) {
        self.ask(Message::Settle, control);
    }

    fn ask(&self, message: impl FnOnce(Sender<bool>) -> Message, control: &mut Control) -> bool {
        let (answer, answered) = channel();
        if self.sender.send(message(answer)).is_err() {
            return false;
        }
        loop {
            match answered.recv_timeout(TICK) {
                Ok(removed) => return removed,
                Err(RecvTimeoutError::Timeout) => drop(control.stopping()),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Hands over the last file, if there is one, and waits until the thread has finished. The control is checked
    /// meanwhile, so that a second Ctrl-C ends the program.
    pub(crate) fn finish(self, last: Option<Finished>, control: &mut Control) -> Report {
        if let Some(last) = last {
            let _ = self.sender.send(Message::Last(last));
        }
        drop(self.sender);
        while !self.thread.is_finished() {
            control.stopping();
            std::thread::sleep(TICK);
        }
        self.thread.join().unwrap_or_default()
    }
}

/// A file, and how far it was handled.
struct Entry {
    number: u64,
    file: Finished,
    /// Nothing more will be done with it.
    done: bool,
}

/// The thread's own state.
struct Keeper {
    keep: Keep,
    receiver: Receiver<Message>,
    /// Oldest first.
    files: VecDeque<Entry>,
    next: u64,
    /// Whether another file is being written.
    writing: bool,
    /// Whether no more messages will come.
    ended: bool,
    report: Report,
}

impl Keeper {
    fn work(mut self) -> Report {
        loop {
            let next = self.files.iter().find(|entry| !entry.done).map(|entry| entry.number);
            match next {
                Some(number) => self.compress(number),
                None if self.ended => break,
                None => match self.receiver.recv() {
                    Ok(message) => self.take(message),
                    Err(_) => self.ended = true,
                },
            }
            self.look();
        }
        for Entry { file, .. } in self.files {
            if file.id.is_behind(&file.path).unwrap_or(false) {
                self.report.kept.push(file.path);
            } else {
                self.report.taken += 1;
            }
        }
        self.report
    }

    /// Handles the messages that have arrived, and removes surplus files.
    fn look(&mut self) {
        loop {
            match self.receiver.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    break;
                }
            }
        }
        self.remove_old();
        let Some(most) = self.keep.max_files else { return };
        let most = most.get() as usize - usize::from(self.writing);
        // A file that existed before and was overwritten is neither counted nor removed.
        let made = self.files.iter().filter(|entry| entry.file.made).count();
        for _ in most..made {
            self.remove_oldest();
        }
    }

    fn remove_old(&mut self) {
        while self.keep.newest.is_some_and(|newest| self.is_surplus(newest)) {
            self.remove_oldest();
        }
    }

    /// Whether the oldest file is not of the newest part.
    fn is_surplus(&self, newest: Newest) -> bool {
        let bytes: u64 = self.files.iter().map(|entry| entry.file.bytes).sum();
        let oldest = self.files.front();
        oldest.is_some_and(|oldest| bytes > newest.bytes || oldest.file.ended.elapsed() >= newest.last)
    }

    /// Removes the oldest file that this recording made. Returns whether there was one.
    fn remove_oldest(&mut self) -> bool {
        let oldest = self.files.iter().position(|entry| entry.file.made);
        let Some(entry) = oldest.and_then(|oldest| self.files.remove(oldest)) else { return false };
        self.remove(&entry.file);
        true
    }

    fn take(&mut self, message: Message) {
        let file = match message {
            Message::Finished(file) => file,
            Message::Last(file) => {
                self.writing = false;
                file
            }
            Message::MakeRoom(answer) => {
                // Nobody waits any more if the recording has ended meanwhile.
                let _ = answer.send(self.remove_oldest());
                return;
            }
            #[cfg(target_os = "linux")]
            Message::Settle(answer) => {
                self.remove_old();
                let _ = answer.send(true);
                return;
            }
        };
        self.files.push_back(Entry { number: self.next, file, done: !self.keep.compress });
        self.next += 1;
    }

    fn remove(&mut self, file: &Finished) {
        // It was moved, or another file has its name: this recording must not remove it.
        match file.id.remove_at(&file.path) {
            Ok(false) => self.report.taken += 1,
            Ok(true) => self.report.removed += 1,
            Err(error) => {
                self.report.failures += 1;
                tracing::warn!("cannot remove {}: {error}", file.path.display());
            }
        }
    }

    fn compress(&mut self, number: u64) {
        let Some(entry) = self.entry(number) else { return };
        entry.done = true;
        let (path, id) = (entry.file.path.clone(), entry.file.id);
        // During the compression, the file itself may become surplus.
        let compressed = compress(&path, id, &mut || {
            self.look();
            self.entry(number).is_some()
        });
        let compressed = compressed.and_then(|compressed| {
            let Some((name, length)) = compressed else { return Ok(None) };
            FileId::of(&std::fs::File::open(&name)?).map(|id| Some((name, id, length)))
        });
        match compressed {
            Ok(Some((name, id, length))) => {
                self.report.compressed_bytes += length;
                if let Some(entry) = self.entry(number) {
                    // The compressed file that replaces an overwritten one was made by this recording.
                    entry.file =
                        Finished { path: name, id, made: true, bytes: length, ended: entry.file.ended };
                }
            }
            Ok(None) => {}
            Err(error) if self.keep.max_files.is_some() && is_full(&error) && self.has_older(number) => {
                self.remove_oldest();
                if let Some(entry) = self.entry(number) {
                    entry.done = false;
                }
            }
            Err(error) => {
                self.report.failures += 1;
                tracing::warn!("cannot compress {}: {error}", path.display());
            }
        }
    }

    /// Whether this recording made an older file than that one.
    fn has_older(&self, number: u64) -> bool {
        self.files.iter().any(|entry| entry.file.made && entry.number < number)
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.files.iter_mut().find(|entry| entry.number == number)
    }
}
