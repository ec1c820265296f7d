//! The output of a recording: files in a directory, one named file and its successors, or a stream.
//!
//! Owns the open file. Every regular file ends with a complete block, whatever happens. New files are readable by their
//! owner only, because they contain everyone's traffic.

pub mod archive;
mod compress;
mod error;
pub mod file_names;
mod interference;
pub(crate) mod part_file;
pub(crate) mod regular_file;
mod sink;
mod stream;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::archive::{Archive, Finished, Keep, Report, is_full};
use self::compress::plain_name;
pub use self::error::OutputError;
use self::interference::Interference;
#[cfg(unix)]
pub use self::regular_file::Owner;
use self::regular_file::Place;
use self::sink::{Sink, create_numbered, open_file, standard_output};
use self::stream::StreamError;
use crate::record::control::Control;
use crate::text::{bytes, shown_path};

/// How often to check that the file still has its name.
/// How long it takes for removed files to be closed.
const AGAIN: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To files in this directory, named by host and time.
    Directory(PathBuf),
    /// To this file; further ones are numbered.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// The files of a recording. There are none for standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// How many were written.
    pub count: u64,
    /// How many of them are not where they were written any more: removed as surplus, or moved or removed by others.
    pub gone: u64,
    /// The path of the oldest one that is kept.
    pub first: Option<String>,
    /// The path of the newest one that is kept.
    pub last: Option<String>,
}

impl Paths {
    /// Counts another file, the newest one.
    #[cfg(target_os = "linux")]
    pub(crate) fn add(&mut self, path: &Path) {
        let path = path.to_string_lossy().into_owned();
        self.count += 1;
        self.first.get_or_insert_with(|| path.clone());
        self.last = Some(path);
    }
}

/// The open output.
#[derive(Debug)]
pub struct Output {
    target: Target,
    host: String,
    sink: Sink,
    name: String,
    first_name: String,
    /// The paths of the first file and of the current one; empty for standard output.
    first_path: PathBuf,
    path: PathBuf,
    /// How many files are finished and not empty.
    files: u64,
    /// The current file's name without its number, and the number. The number only grows, so that no name is used twice, and
    /// the order of the names is the order of time.
    base: PathBuf,
    number: u32,
    /// Bytes in the files before this one.
    earlier: u64,
    archive: Option<Archive>,
    report: Option<Report>,
    interference: Interference,
    looked: Instant,
    /// Whether a warning has reported that the current file is gone.
    is_gone: bool,
    /// Whether a warning has reported that the disk is full.
    is_full: bool,
    /// To whom files are given.
    #[cfg(unix)]
    owner: Option<Owner>,
}

impl Output {
    /// Opens the output. `host` and `now` (nanoseconds since 1970) are used in file names.
    /// A file that already exists is not changed before the first write.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn open(target: Target, host: &str, now: u64, control: &mut Control) -> Result<Self, OutputError> {
        let (mut base, mut number) = (PathBuf::new(), 0);
        let path;
        let (sink, name) = match &target {
            Target::Directory(directory) => {
                base = directory.join(file_names::by_time(host, now));
                let created = create_numbered(&base, &mut number)?;
                path = file_names::numbered(&base, number);
                created
            }
            Target::File(file) => {
                (base, path) = (file.clone(), file.clone());
                (open_file(file, control)?, shown_path(file))
            }
            Target::Stdout => {
                path = PathBuf::new();
                standard_output()?
            }
        };
        if let Sink::Stream(stream) = &sink
            && stream.is_terminal()
        {
            return Err(OutputError::Terminal { name });
        }
        Ok(Self {
            target,
            host: host.to_owned(),
            sink,
            first_name: name.clone(),
            name,
            first_path: path.clone(),
            path,
            files: 0,
            base,
            number,
            earlier: 0,
            archive: None,
            report: None,
            interference: Interference::default(),
            looked: Instant::now(),
            is_gone: false,
            is_full: false,
            #[cfg(unix)]
            owner: None,
        })
    }

    /// # Errors
    /// [`OutputError::NotAFile`] if there is no next file to be started.
    pub fn require_files(&self) -> Result<(), OutputError> {
        match (&self.target, &self.sink) {
            (Target::Directory(_) | Target::File(_), Sink::File(_)) => Ok(()),
            _ => Err(OutputError::NotAFile { name: self.name.clone() }),
        }
    }

    /// Gives the current file and all later ones to another user. If that is not possible, they stay this user's, and a
    /// warning says so.
    #[cfg(unix)]
    pub fn give_to(&mut self, owner: Owner) {
        self.owner = Some(owner);
        self.give();
    }

    #[cfg(unix)]
    fn give(&self) {
        if let (Sink::File(file), Some(owner)) = (&self.sink, self.owner)
            && let Err(error) = file.give_to(owner)
        {
            tracing::warn!("{} stays this user's: {error}", self.name);
        }
    }

    /// From now on, finished files are removed or compressed.
    ///
    /// # Errors
    /// [`OutputError::NotAFile`], [`OutputError::Thread`].
    pub fn keep(&mut self, keep: Keep) -> Result<(), OutputError> {
        self.require_files()?;
        if keep.compress {
            self.remove_left_behind();
        }
        self.archive = Some(Archive::start(keep).map_err(OutputError::Thread)?);
        Ok(())
    }

    /// Treats files of an earlier recorder, oldest first, as finished files of this recording.
    #[cfg(target_os = "linux")]
    pub(crate) fn adopt(&mut self, files: Vec<Finished>) {
        if let Some(archive) = &self.archive {
            files.into_iter().for_each(|file| archive.add(file));
        }
    }

    /// The path of the current file; empty for standard output.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes half-compressed files that killed recorders with the same names left behind, if the plain file still
    /// exists.
    fn remove_left_behind(&self) {
        let (directory, is_ours): (_, &dyn Fn(&str) -> bool) = match &self.target {
            Target::Directory(directory) => {
                (directory.as_path(), &|name| file_names::is_by_time(&self.host, name))
            }
            Target::File(path) => {
                (path.parent().unwrap_or(Path::new("")), &|name| file_names::is_numbered(path, name))
            }
            Target::Stdout => return,
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(plain) = name.to_str().and_then(plain_name) else { continue };
            if !is_ours(plain) || !directory.join(plain).exists() {
                continue;
            }
            match part_file::remove_left_behind(&entry.path()) {
                Ok(()) => {
                    tracing::info!("removed {}, which a killed recorder has left", shown_path(&entry.path()));
                }
                // Most likely it belongs to another recorder.
                Err(error) => tracing::info!("{error}"),
            }
        }
    }

    /// Closes the output, and waits until the finished files are removed or compressed.
    ///
    /// # Errors
    /// [`OutputError::Gone`]: other programs deleted or replaced files while they were written.
    pub fn finish(&mut self, control: &mut Control) -> Result<(), OutputError> {
        self.earlier += self.sink.written();
        let last = std::mem::replace(&mut self.sink, Sink::Ended);
        let last = self.finished(last);
        if let Some(archive) = self.archive.take() {
            self.report = Some(archive.finish(last, control));
        }
        self.interference.result()
    }

    /// Hands a finished file to the archive; `None` if it is empty or no longer where it was made.
    fn finished(&mut self, sink: Sink) -> Option<Finished> {
        self.files += u64::from(self.target != Target::Stdout && sink.written() > 0);
        let Sink::File(file) = sink else { return None };
        self.is_gone = false;
        let (name, written) = (&self.name, file.written());
        match file.place() {
            _ if written == 0 => return None,
            Place::Same => return file.finish(),
            Place::Moved(to) => {
                let to = shown_path(&to);
                tracing::warn!("{name} was moved while recording: it is {to} now");
                self.interference.add_moved(to);
            }
            Place::Nowhere => {
                self.interference.add_gone(name, written);
                // The error reports the last one.
                if !matches!(self.sink, Sink::Ended) {
                    tracing::warn!(
                        "{name} was deleted or replaced while recording: its {} are lost",
                        bytes(written)
                    );
                }
            }
        }
        None
    }

    /// What was done with finished files; `None` before the end, and if nothing was to be done.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// What the system knows of the output, if it is a stream.
    #[must_use]
    pub fn stream(&self) -> Option<std::fs::Metadata> {
        match &self.sink {
            Sink::Stream(stream) => stream.metadata(),
            _ => None,
        }
    }

    /// Bytes in the current file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.sink.written()
    }

    /// Writes whole blocks.
    ///
    /// # Errors
    /// [`OutputError`]; [`written`](Self::written) then returns how much was written before it.
    pub fn write(&mut self, blocks: &[u8], control: &mut Control) -> Result<(), OutputError> {
        let name = || self.name.clone();
        match &mut self.sink {
            Sink::File(file) => {
                let before = file.written();
                let mut is_second = false;
                loop {
                    let done = usize::try_from(file.written() - before).unwrap_or(blocks.len());
                    let Err(source) = file.write(&blocks[done..]) else { return Ok(()) };
                    if !make_room(&source, self.archive.as_ref(), &mut self.is_full, control) {
                        return Err(OutputError::Write { name: name(), offset: file.written(), source });
                    }
                    // The first removal made no room: a save may have the removed file open still, and is about to fail.
                    if std::mem::replace(&mut is_second, true) {
                        std::thread::sleep(AGAIN);
                    }
                }
            }
            Sink::Stream(stream) => stream.write(blocks, control).map_err(|error| match error {
                StreamError::Closed => OutputError::Closed { name: name() },
                StreamError::Stuck => OutputError::Stuck { name: name() },
                StreamError::Io(source) => {
                    OutputError::Stream { name: name(), offset: stream.written(), source }
                }
            }),
            Sink::Ended => Err(OutputError::Closed { name: name() }),
        }
    }

    /// Starts the next file; a stream and an inherited file go on.
    ///
    /// # Errors
    /// [`OutputError::Open`].
    pub fn rotate(&mut self, now: u64, control: &mut Control) -> Result<(), OutputError> {
        let base = match (&self.target, &self.sink) {
            (Target::Stdout, _) | (_, Sink::Stream(_)) => return Ok(()),
            (Target::Directory(directory), _) => directory.join(file_names::by_time(&self.host, now)),
            (Target::File(path), _) => path.clone(),
        };
        let mut number = if base == self.base { self.number + 1 } else { 0 };
        let (sink, name) = loop {
            match create_numbered(&base, &mut number) {
                Ok(created) => break created,
                Err(OutputError::Open { source, .. })
                    if make_room(&source, self.archive.as_ref(), &mut self.is_full, control) => {}
                Err(error) => return Err(error),
            }
        };
        (self.base, self.number) = (base, number);
        self.earlier += self.sink.written();
        let before = std::mem::replace(&mut self.sink, sink);
        let finished = self.finished(before);
        if let (Some(finished), Some(archive)) = (finished, &self.archive) {
            archive.add(finished);
            #[cfg(target_os = "linux")]
            archive.settle(control);
        }
        self.name = name;
        self.path = file_names::numbered(&self.base, self.number);
        #[cfg(unix)]
        self.give();
        Ok(())
    }

    /// Checks that the written data is kept. If the current file has lost its name, warns once and continues, because
    /// its content can still be saved.
    ///
    /// # Errors
    /// [`OutputError::Closed`] if the reader of a stream is gone.
    pub fn check(&mut self) -> Result<(), OutputError> {
        match &self.sink {
            Sink::Stream(stream) if stream.closed() => Err(OutputError::Closed { name: self.name.clone() }),
            Sink::File(file) if !self.is_gone && self.looked.elapsed() >= LOOK_EVERY => {
                self.looked = Instant::now();
                if file.written() > 0 && file.place() == Place::Nowhere {
                    self.is_gone = true;
                    let rescue = file.rescue().map_or_else(String::new, |rescue| format!("; {rescue}"));
                    tracing::warn!(
                        "{} was deleted or replaced: what is recorded is lost when this file ends{rescue}",
                        self.name
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Bytes written, over all files.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.earlier + self.sink.written()
    }

    /// The current file, fit to be shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files of the finished output, for programs.
    #[must_use]
    pub fn paths(&self) -> Paths {
        let (first, last, gone) = match &self.report {
            Some(Report { kept, .. }) => {
                let gone = self.files.saturating_sub(kept.len() as u64);
                (kept.first(), kept.last(), gone)
            }
            None if self.files == 0 => return Paths::default(),
            None => (Some(&self.first_path), Some(&self.path), self.interference.files()),
        };
        let text = |path: Option<&PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
        Paths { count: self.files, gone, first: text(first), last: text(last) }
    }

    /// The file or files of the finished output, fit to be shown.
    #[must_use]
    pub fn names(&self) -> String {
        if self.files == 1
            && let Some(text) = self.interference.of_only_file(&self.name)
        {
            return text;
        }
        let several = match (&self.report, self.files) {
            (Some(report), _) => report.names(),
            (None, 0 | 1) => self.name.clone(),
            (None, files) => format!("{files} files, {} to {}", self.first_name, self.name),
        };
        several + &self.interference.of_several()
    }
}

/// If the error says that the disk is full, and the user asked for a ring of files: removes the oldest file of this
/// recording. Returns whether it is worth trying again. Warns the first time.
fn make_room(
    error: &std::io::Error,
    archive: Option<&Archive>,
    is_reported: &mut bool,
    control: &mut Control,
) -> bool {
    let has_room = is_full(error) && archive.is_some_and(|archive| archive.make_room(control));
    if has_room && !std::mem::replace(is_reported, true) {
        tracing::warn!(
            "{error}: recording goes on, and the oldest files are removed before --max-files or --last asks for it"
        );
    }
    has_room
}
