//! The spool: what was received and is not delivered yet. Its folder is the truth; `Ledger` is what is known of it.
//!
//! ```text
//! id                       the spool's id
//! next                     the next number; numbers are never used twice
//! segments/0000000013.open      is being recorded
//!          0000000012.pcapng    is whole, or torn at its end: becomes a batch
//! batches/0000000011/           a batch
//!         0000000012.tmp/       is being made
//! damaged/                      what could not be read
//! ```
//!
//! A batch becomes visible by a rename; then its segment is removed. So each number is there once, as a segment or as a batch,
//! whenever this program is killed. All threads share the [`Spool`]; its lock is held for bookkeeping and renames only.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::batch::Batch;
use crate::config::{SpoolSettings, WhenFull};
use crate::counters::Counters;

/// What is known of the folder.
#[derive(Debug, Default)]
struct Ledger {
    id: String,
    next: u64,
    /// The segment that is being recorded.
    recording: Option<u64>,
    /// Bytes of it.
    open: u64,
    /// Bytes of the segments that are whole.
    segments: BTreeMap<u64, u64>,
    /// The segment that became whole last, and when; none before this program has recorded one.
    latest: Option<(u64, Instant)>,
    /// Bytes and rows of the batches.
    batches: BTreeMap<u64, (u64, u64)>,
    /// The segment that becomes a batch, and the batch that is being delivered: these are not dropped.
    making: Option<u64>,
    delivering: Option<u64>,
}

impl Ledger {
    fn bytes(&self) -> u64 {
        let batches: u64 = self.batches.values().map(|(bytes, _)| bytes).sum();
        self.open + self.segments.values().sum::<u64>() + batches
    }
}

/// A segment that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// The file of the segment that was recorded behind it, or is being recorded: it may change its name, or be dropped.
    pub following: Option<PathBuf>,
}

/// How much is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Bytes.
    pub bytes: u64,
    /// Most bytes.
    pub most: u64,
    /// Segments that are whole.
    pub segments: usize,
    /// Batches.
    pub batches: usize,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    most: u64,
    full: WhenFull,
    ledger: Mutex<Ledger>,
    changed: Condvar,
    /// Locked, so that no other program uses the folder.
    _lock: File,
}

impl Spool {
    /// Opens the spool, or makes it. What a program that was killed has left is put in order.
    ///
    /// # Errors
    /// The folder cannot be used, or another program uses it.
    pub fn open(settings: &SpoolSettings) -> io::Result<Self> {
        let folder = settings.folder.clone();
        for part in ["segments", "batches", "damaged"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let lock = File::create(folder.join("lock"))?;
        flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another hone-ship uses it; give each its own spool.folder"))?;
        let id = match fs::read_to_string(folder.join("id")) {
            Ok(id) if is_id(id.trim()) => id.trim().to_owned(),
            Ok(_) => {
                return Err(io::Error::other(
                    "its file id has no id of a spool: 16 hexadecimal digits. Without the file, it gets a new one",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = new_id()?;
                replace(&folder.join("id"), &format!("{id}\n"))?;
                id
            }
            Err(error) => return Err(error),
        };
        let next = fs::read_to_string(folder.join("next")).ok().and_then(|text| text.trim().parse().ok());
        let mut ledger = Ledger { id, next: next.unwrap_or(1), ..Ledger::default() };
        for entry in fs::read_dir(folder.join("batches"))? {
            let path = entry?.path();
            match (number(&path), path.extension()) {
                (Some(number), None) => match Batch::open(&path) {
                    Ok(batch) => _ = ledger.batches.insert(number, (batch.bytes(), batch.rows())),
                    Err(error) => {
                        tracing::warn!("the batch {} is damaged ({error}): it is set aside", path.display());
                        set_aside(&folder, &path)?;
                    }
                },
                _ => fs::remove_dir_all(&path)?,
            }
        }
        for entry in fs::read_dir(folder.join("segments"))? {
            let path = entry?.path();
            let Some(number) = number(&path) else { continue };
            let bytes = fs::metadata(&path)?.len();
            if bytes == 0 || ledger.batches.contains_key(&number) {
                fs::remove_file(&path)?;
                continue;
            }
            fs::rename(&path, path.with_extension("pcapng"))?;
            ledger.segments.insert(number, bytes);
        }
        let last = ledger.segments.keys().chain(ledger.batches.keys()).max().copied();
        ledger.next = ledger.next.max(last.map_or(1, |last| last + 1));
        Ok(Self {
            folder,
            most: settings.size << 20,
            full: settings.full,
            ledger: Mutex::new(ledger),
            changed: Condvar::new(),
            _lock: lock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed, or so long.
    pub fn wait(&self, most: Duration) {
        drop(self.changed.wait_timeout(self.lock(), most));
    }

    /// The spool's id.
    #[must_use]
    pub fn id(&self) -> String {
        self.lock().id.clone()
    }

    /// How much is in it.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let ledger = self.lock();
        Fill {
            bytes: ledger.bytes(),
            most: self.most,
            segments: ledger.segments.len(),
            batches: ledger.batches.len(),
        }
    }

    /// Begins a segment. Returns its number and its file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin_segment(&self) -> io::Result<(u64, File)> {
        let mut ledger = self.lock();
        let number = ledger.next;
        // The number counts as used before it is.
        replace(&self.folder.join("next"), &format!("{}\n", number + 1))?;
        ledger.next += 1;
        let file = File::create_new(self.segment(number, "open"))?;
        (ledger.recording, ledger.open) = (Some(number), 0);
        Ok((number, file))
    }

    /// Whether there is room for so many bytes more of the segment that is being recorded. If not, and the oldest is to be dropped,
    /// it is.
    pub fn make_room(&self, bytes: u64, counters: &Counters) -> bool {
        loop {
            if self.lock().bytes() + bytes <= self.most {
                return true;
            }
            if self.full == WhenFull::DropNewest || !self.drop_oldest(counters) {
                return false;
            }
        }
    }

    /// Drops the oldest batch or segment, if the spool is to drop the oldest. Returns whether it did.
    pub fn drop_oldest(&self, counters: &Counters) -> bool {
        if self.full == WhenFull::DropNewest {
            return false;
        }
        let mut ledger = self.lock();
        let (making, delivering) = (ledger.making, ledger.delivering);
        let batch = ledger.batches.keys().find(|number| Some(**number) != delivering).copied();
        if let Some(number) = batch {
            let (_, rows) = ledger.batches.remove(&number).unwrap_or_default();
            counters.dropped_batches.add(1);
            counters.dropped_rows.add(rows);
            return remove(&self.batch(number));
        }
        let segment = ledger.segments.keys().find(|number| Some(**number) != making).copied();
        let Some(number) = segment else { return false };
        let bytes = ledger.segments.remove(&number).unwrap_or_default();
        counters.dropped_segments.add(1);
        counters.dropped_bytes.add(bytes);
        fs::remove_file(self.segment(number, "pcapng")).is_ok()
    }

    /// So many bytes more are in the segment that is being recorded.
    pub fn grown(&self, bytes: u64) {
        self.lock().open += bytes;
    }

    /// The segment that is being recorded is whole. `bytes`: its length.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn end_segment(&self, number: u64, file: &File, bytes: u64) -> io::Result<()> {
        let path = self.segment(number, "open");
        let ended = match bytes {
            0 => fs::remove_file(&path),
            _ => file.sync_data().and_then(|()| fs::rename(&path, self.segment(number, "pcapng"))),
        };
        let mut ledger = self.lock();
        (ledger.recording, ledger.open) = (None, 0);
        if bytes > 0 && ended.is_ok() {
            ledger.segments.insert(number, bytes);
            ledger.latest = Some((number, Instant::now()));
        }
        self.changed.notify_all();
        ended
    }

    /// The oldest segment that is whole, to become a batch: it is not dropped from here on. `None`: there is none, or it is the latest
    /// one, and has been whole for less than `settle`.
    pub fn next_segment(&self, settle: Duration) -> Option<Segment> {
        let mut ledger = self.lock();
        let mut whole = ledger.segments.keys().copied();
        let (number, next) = (whole.next()?, whole.next());
        let is_settling = |(latest, since): (u64, Instant)| latest == number && since.elapsed() < settle;
        if ledger.latest.is_some_and(is_settling) {
            return None;
        }
        let recording = ledger.recording.map(|number| self.segment(number, "open"));
        let following = next.map(|number| self.segment(number, "pcapng")).or(recording);
        ledger.making = Some(number);
        Some(Segment { number, path: self.segment(number, "pcapng"), following })
    }

    /// An empty folder in which the batch of this number is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin_batch(&self, number: u64) -> io::Result<PathBuf> {
        let folder = self.batch(number).with_extension("tmp");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// The batch is made: takes its segment's place. `None`: it has no rows.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn end_batch(&self, number: u64, made: Option<(u64, u64)>) -> io::Result<()> {
        let folder = self.batch(number);
        let temporary = folder.with_extension("tmp");
        let mut ledger = self.lock();
        match made {
            Some(size) => {
                fs::rename(&temporary, &folder)?;
                File::open(self.folder.join("batches"))?.sync_all()?;
                ledger.batches.insert(number, size);
            }
            None => fs::remove_dir_all(&temporary)?,
        }
        fs::remove_file(self.segment(number, "pcapng"))?;
        ledger.segments.remove(&number);
        ledger.making = None;
        self.changed.notify_all();
        Ok(())
    }

    /// The batch was not made; it will be tried again.
    pub fn give_up_batch(&self, number: u64) {
        let _ = fs::remove_dir_all(self.batch(number).with_extension("tmp"));
        self.lock().making = None;
    }

    /// The oldest batch, to be delivered: it is not dropped from here on.
    pub fn next_batch(&self) -> Option<(u64, PathBuf)> {
        let mut ledger = self.lock();
        ledger.delivering = ledger.batches.keys().next().copied();
        let number = ledger.delivering?;
        Some((number, self.batch(number)))
    }

    /// The batch was not delivered: it may be dropped again.
    pub fn keep_batch(&self) {
        self.lock().delivering = None;
    }

    /// The batch was delivered.
    ///
    /// # Errors
    /// It cannot be removed; it will be delivered again when this program is started again.
    pub fn delivered(&self, number: u64) -> io::Result<()> {
        let mut ledger = self.lock();
        ledger.delivering = None;
        ledger.batches.remove(&number);
        // Its description goes first: what is left without one is no batch.
        let folder = self.batch(number);
        fs::rename(&folder, folder.with_extension("tmp"))?;
        fs::remove_dir_all(folder.with_extension("tmp"))
    }

    /// A batch cannot be read.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn damaged_batch(&self, number: u64) -> io::Result<()> {
        let mut ledger = self.lock();
        ledger.delivering = None;
        ledger.batches.remove(&number);
        set_aside(&self.folder, &self.batch(number))
    }

    /// Somebody else has this spool's id: the host was copied, or set back. From here on, it has another one, and so has this batch.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn rename(&self, batch: &mut Batch) -> io::Result<()> {
        let id = new_id()?;
        replace(&self.folder.join("id"), &format!("{id}\n"))?;
        batch.description.id = batch_id(&id, batch.description.number);
        let text = serde_json::to_string(&batch.description)?;
        replace(&batch.folder.join(crate::batch::DESCRIPTION), &text)?;
        self.lock().id = id;
        Ok(())
    }

    /// Whether anything is to become a batch.
    #[must_use]
    pub fn has_segments(&self) -> bool {
        !self.lock().segments.is_empty()
    }

    fn segment(&self, number: u64, extension: &str) -> PathBuf {
        self.folder.join("segments").join(format!("{number:010}.{extension}"))
    }

    fn batch(&self, number: u64) -> PathBuf {
        self.folder.join("batches").join(format!("{number:010}"))
    }
}

/// The name of a batch.
#[must_use]
pub fn batch_id(spool: &str, number: u64) -> String {
    format!("{spool}-{number:010}")
}

/// Writes a small file so that it is whole or as before.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The number that a file or folder of the spool has in its name.
fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn remove(folder: &Path) -> bool {
    let temporary = folder.with_extension("tmp");
    fs::rename(folder, &temporary).and_then(|()| fs::remove_dir_all(&temporary)).is_ok()
}

fn set_aside(folder: &Path, path: &Path) -> io::Result<()> {
    let target = folder.join("damaged").join(path.file_name().unwrap_or_default());
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::rename(path, target)
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// 64 random bits.
fn new_id() -> io::Result<String> {
    use io::Read as _;
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hone_rows::text::hexadecimal(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, full: WhenFull) -> Spool {
        Spool::open(&SpoolSettings { folder: folder.to_owned(), size: 1, full }).unwrap()
    }

    fn segment(spool: &Spool, bytes: usize) -> u64 {
        let (number, mut file) = spool.begin_segment().unwrap();
        file.write_all(&vec![0; bytes]).unwrap();
        spool.end_segment(number, &file, bytes as u64).unwrap();
        number
    }

    #[test]
    fn a_full_spool_drops_the_oldest_or_has_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let counters = Counters::default();
        let spool = open(folder.path(), WhenFull::DropOldest);
        (0..4).for_each(|_| _ = segment(&spool, 250_000));
        assert!(spool.make_room(100_000, &counters));
        assert_eq!(counters.dropped_segments.get(), 1);
        assert_eq!(spool.next_segment(Duration::ZERO).unwrap().number, 2);
        // What is being made is not dropped.
        assert!(spool.make_room(790_000, &counters));
        assert_eq!(counters.dropped_segments.get(), 3);
        assert!(!spool.make_room(900_000, &counters), "only what is being made is left");
        drop(spool);
        let spool = open(folder.path(), WhenFull::DropNewest);
        assert!(!spool.make_room(900_000, &counters) && spool.has_segments());
    }

    #[test]
    fn the_latest_segment_waits_for_what_the_next_one_says_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), WhenFull::DropOldest);
        let long = Duration::from_secs(3600);
        segment(&spool, 10);
        assert_eq!(spool.next_segment(long), None);
        let (number, mut file) = spool.begin_segment().unwrap();
        file.write_all(b"more").unwrap();
        let settled = spool.next_segment(Duration::ZERO).unwrap();
        assert_eq!(fs::read(settled.following.unwrap()).unwrap(), b"more");
        spool.end_segment(number, &file, 4).unwrap();
        let settled = spool.next_segment(long).unwrap();
        assert_eq!((settled.number, fs::read(settled.following.unwrap()).unwrap()), (1, b"more".to_vec()));
        // After a restart, nothing that comes says anything of it.
        drop((spool, file));
        assert_eq!(open(folder.path(), WhenFull::DropOldest).next_segment(long).unwrap().number, 1);
    }

    #[test]
    fn what_a_killed_program_left_is_there_once_and_numbers_are_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), WhenFull::DropOldest);
        let id = spool.id();
        assert_eq!(segment(&spool, 10), 1);
        let (number, mut file) = spool.begin_segment().unwrap();
        file.write_all(b"torn").unwrap();
        let temporary = spool.begin_batch(1).unwrap();
        fs::write(temporary.join("0.parquet"), "half").unwrap();
        assert!(
            Spool::open(&SpoolSettings { folder: folder.path().to_owned(), ..SpoolSettings::default() })
                .unwrap_err()
                .to_string()
                .contains("another hone-ship")
        );
        drop((spool, file));
        let spool = open(folder.path(), WhenFull::DropOldest);
        assert_eq!(spool.id(), id);
        let fill = spool.fill();
        assert_eq!((fill.segments, fill.batches, fill.bytes), (2, 0, 14));
        assert!(!temporary.exists());
        assert_eq!((number, segment(&spool, 1)), (2, 3));
        // All delivered, and started again: still another number.
        for number in 1..=3 {
            spool.next_segment(Duration::ZERO);
            spool.begin_batch(number).unwrap();
            spool.end_batch(number, None).unwrap();
        }
        drop(spool);
        assert_eq!(segment(&open(folder.path(), WhenFull::DropOldest), 1), 4);
    }
}
