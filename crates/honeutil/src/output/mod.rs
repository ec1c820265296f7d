//! Where the blocks go: files in a directory, one named file and its successors, or a stream.
//!
//! Owns the open file. Every regular file ends at a whole block, whatever happens. New files are readable by their
//! owner only: they hold everyone's traffic.

pub mod archive;
mod compress;
pub mod file_names;
pub(crate) mod part_file;
pub(crate) mod regular_file;
mod stream;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::output::archive::{Archive, Finished, Keep, Report};
use crate::output::compress::{compressed_name, plain_name};
use crate::output::regular_file::{Place, RegularFile};
use crate::output::stream::{PATIENCE, Stream, StreamError};
use crate::platform::file::{self, create_new, open_existing};
use crate::record::control::Control;
use crate::text::{bytes, shown_path, thousands};

/// How often a file is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Files that are gone, named one by one.
const MAX_NAMED: usize = 4;
/// How many taken names are tried for one file.
const MAX_NUMBER: u32 = 9999;

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Into this directory, under names made of host and time.
    Directory(PathBuf),
    /// To this file; further ones are numbered.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// Why writing cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A file cannot be opened.
    #[error("cannot open {name}: {source}{}", remedy(source))]
    Open {
        /// Which.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The output is a terminal.
    #[error(
        "{name} is a terminal, and recordings are binary: write to a file (-w FILE) or a pipe (-w - | tshark -r -)"
    )]
    Terminal {
        /// Which.
        name: String,
    },
    /// Files were to be rotated, removed or compressed, and the output is not a file.
    #[error("{name} is not a regular file: it cannot be rotated, counted or compressed")]
    NotAFile {
        /// Which.
        name: String,
    },
    /// The thread that removes and compresses files cannot be started.
    #[error("cannot start the thread for finished files: {0}")]
    Thread(io::Error),
    /// Nobody opened the named pipe for reading before the stop.
    #[error("stopped before anything opened {name} for reading")]
    NoReader {
        /// Which.
        name: String,
    },
    /// A regular file cannot take more.
    #[error(
        "cannot write {name} at byte {offset}: {source}{}. The file ends there, at a whole block",
        remedy(source)
    )]
    Write {
        /// Which.
        name: String,
        /// Where it ends now.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A stream cannot take more.
    #[error("cannot write {name} after {offset} bytes: {source}{}", remedy(source))]
    Stream {
        /// Which.
        name: String,
        /// What it took before.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The reader of the stream stopped reading, so that the last blocks could not be delivered.
    #[error("the reader of {name} has read nothing for {} s: gave up; its last blocks are missing", PATIENCE.as_secs())]
    Stuck {
        /// Which.
        name: String,
    },
    /// Files were deleted or replaced while they were written.
    #[error("{names} deleted or replaced while recording: {} of it are lost", bytes(*lost))]
    Gone {
        /// Which, and a verb.
        names: String,
        /// Bytes that they held.
        lost: u64,
    },
    /// The reader of the stream closed it: the usual end of a pipe, nothing to tell.
    #[error("the reader of {name} closed it")]
    Closed {
        /// Which.
        name: String,
    },
}

/// What can be done about it, where something can.
fn remedy(error: &io::Error) -> &'static str {
    if let Some(remedy) = file::remedy(error) {
        return remedy;
    }
    match error.kind() {
        ErrorKind::NotFound => ": make the directory first (mkdir), or name another",
        ErrorKind::NotADirectory => ": name a directory",
        ErrorKind::IsADirectory => ": name a file, or use -d for a directory",
        ErrorKind::PermissionDenied => ": name a place that you may write to",
        ErrorKind::ReadOnlyFilesystem => ": name a place on another file system",
        ErrorKind::StorageFull => ": free some space, or record less (-s, --count, --duration)",
        ErrorKind::QuotaExceeded => ": free some of your quota, or record less (-s, --count, --duration)",
        _ => "",
    }
}

/// What others did to files while they were written.
#[derive(Debug, Default)]
struct Mishaps {
    /// The first few that are gone.
    gone_names: Vec<String>,
    gone: u64,
    gone_bytes: u64,
    moved: u64,
    /// Where the last one that was moved is now.
    moved_to: String,
    /// That the current file is gone has been said.
    noticed: bool,
}

/// The open output.
#[derive(Debug)]
pub struct Output {
    target: Target,
    host: String,
    sink: Sink,
    name: String,
    first_name: String,
    files: u32,
    /// The name without a number that the current file has, and the number. Counts on, so that no name is used twice:
    /// the files in the order of their names are then in the order of time.
    base: PathBuf,
    number: u32,
    /// Bytes in the files before this one.
    earlier: u64,
    archive: Option<Archive>,
    report: Option<Report>,
    mishaps: Mishaps,
    looked: Instant,
}

#[derive(Debug)]
enum Sink {
    File(RegularFile),
    Stream(Stream),
    /// The last file is finished.
    Ended,
}

impl Output {
    /// Opens the output. `host` and `now` (nanoseconds since 1970) go into names.
    /// A file that already exists is not changed before the first write.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn open(target: Target, host: &str, now: u64, control: &mut Control) -> Result<Self, OutputError> {
        let (mut base, mut number) = (PathBuf::new(), 0);
        let (sink, name) = match &target {
            Target::Directory(directory) => {
                base = directory.join(file_names::by_time(host, now));
                create_numbered(&base, &mut number)?
            }
            Target::File(path) => {
                base.clone_from(path);
                (open_file(path, control)?, shown_path(path))
            }
            Target::Stdout => {
                let name = "standard output".to_owned();
                let sink = file::standard_output().and_then(|file| sink_for(file, RegularFile::inherited));
                (sink.map_err(|source| OutputError::Open { name: name.clone(), source })?, name)
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
            files: 1,
            base,
            number,
            earlier: 0,
            archive: None,
            report: None,
            mishaps: Mishaps::default(),
            looked: Instant::now(),
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

    /// Has finished files removed or compressed from here on.
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

    /// Removes what compressing recorders of the same names have left behind when they were killed: files in the making
    /// of which the plain one is there.
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
                // Another recorder's, most likely.
                Err(error) => tracing::info!("{error}"),
            }
        }
    }

    /// Ends the output, and waits for what is still to be removed or compressed.
    ///
    /// # Errors
    /// [`OutputError::Gone`]: others have deleted files, or put others in their places, while they were written.
    pub fn finish(&mut self, control: &mut Control) -> Result<(), OutputError> {
        self.earlier += self.sink.written();
        let last = std::mem::replace(&mut self.sink, Sink::Ended);
        let last = self.finished(last);
        if let Some(archive) = self.archive.take() {
            self.report = Some(archive.finish(last, control));
        }
        let Mishaps { gone_names, gone, gone_bytes: lost, .. } = &self.mishaps;
        let (names, lost) = (gone_names.join(", "), *lost);
        match *gone {
            0 => Ok(()),
            1 => Err(OutputError::Gone { names: format!("{names} was"), lost }),
            _ if gone_names.len() as u64 == *gone => {
                Err(OutputError::Gone { names: format!("{names} were"), lost })
            }
            count => Err(OutputError::Gone {
                names: format!("{} files ({names} and others) were", thousands(count)),
                lost,
            }),
        }
    }

    /// A file that is written to its end, for the archive; `None` if there is nothing in it, or not where it was made.
    fn finished(&mut self, sink: Sink) -> Option<Finished> {
        let Sink::File(file) = sink else { return None };
        let mishaps = &mut self.mishaps;
        mishaps.noticed = false;
        let (name, written) = (&self.name, file.written());
        match file.place() {
            _ if written == 0 => return None,
            Place::Same => return file.finish(),
            Place::Moved(to) => {
                mishaps.moved += 1;
                mishaps.moved_to = shown_path(&to);
                tracing::warn!("{name} was moved while recording: it is {} now", mishaps.moved_to);
            }
            Place::Nowhere => {
                mishaps.gone += 1;
                mishaps.gone_bytes += written;
                if mishaps.gone_names.len() < MAX_NAMED {
                    mishaps.gone_names.push(name.clone());
                }
                // The last one is said by the error.
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

    /// What became of finished files; `None` before the end, and if they were left alone.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Bytes in the current file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.sink.written()
    }

    /// Writes whole blocks.
    ///
    /// # Errors
    /// [`OutputError`]; [`written`](Self::written) then tells how much was written before it.
    pub fn write(&mut self, blocks: &[u8], control: &mut Control) -> Result<(), OutputError> {
        let name = || self.name.clone();
        match &mut self.sink {
            Sink::File(file) => file.write(blocks).map_err(|source| OutputError::Write {
                name: name(),
                offset: file.written(),
                source,
            }),
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
    pub fn rotate(&mut self, now: u64) -> Result<(), OutputError> {
        let base = match (&self.target, &self.sink) {
            (Target::Stdout, _) | (_, Sink::Stream(_)) => return Ok(()),
            (Target::Directory(directory), _) => directory.join(file_names::by_time(&self.host, now)),
            (Target::File(path), _) => path.clone(),
        };
        let mut number = if base == self.base { self.number + 1 } else { 0 };
        let (sink, name) = create_numbered(&base, &mut number)?;
        (self.base, self.number) = (base, number);
        self.earlier += self.sink.written();
        let before = std::mem::replace(&mut self.sink, sink);
        let finished = self.finished(before);
        if let (Some(finished), Some(archive)) = (finished, &self.archive) {
            archive.add(finished);
        }
        self.name = name;
        self.files += 1;
        Ok(())
    }

    /// Looks whether what is written arrives anywhere. Says so once if the current file is gone; it is written on, for its
    /// data can still be saved.
    ///
    /// # Errors
    /// [`OutputError::Closed`] if the reader of a stream is gone.
    pub fn check(&mut self) -> Result<(), OutputError> {
        match &self.sink {
            Sink::Stream(stream) if stream.closed() => Err(OutputError::Closed { name: self.name.clone() }),
            Sink::File(file) if !self.mishaps.noticed && self.looked.elapsed() >= LOOK_EVERY => {
                self.looked = Instant::now();
                if file.written() > 0 && file.place() == Place::Nowhere {
                    self.mishaps.noticed = true;
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

    /// The file or files written, fit to be shown.
    #[must_use]
    pub fn names(&self) -> String {
        let Mishaps { gone, moved, moved_to, .. } = &self.mishaps;
        match (&self.report, self.files, gone, moved) {
            (_, 1, 1, _) => return format!("{}, which was deleted or replaced", self.name),
            (_, 1, _, 1) => return format!("{moved_to} (was {})", self.name),
            _ => {}
        }
        let mut text = match (&self.report, self.files) {
            (Some(report), _) => report.names(),
            (None, 1) => self.name.clone(),
            (None, files) => format!("{files} files, {} to {}", self.first_name, self.name),
        };
        for (count, what) in [(*gone, "deleted or replaced"), (*moved, "moved")] {
            match count {
                0 => {}
                1 => text.push_str(&format!("; 1 was {what} while recording")),
                count => text.push_str(&format!("; {} were {what} while recording", thousands(count))),
            }
        }
        text
    }
}

impl Sink {
    fn written(&self) -> u64 {
        match self {
            Self::File(file) => file.written(),
            Self::Stream(stream) => stream.written(),
            Self::Ended => 0,
        }
    }
}

/// Makes the first of `path` with numbers from `number` on that does not exist yet; `number` is then the one it has.
fn create_numbered(path: &Path, number: &mut u32) -> Result<(Sink, String), OutputError> {
    let first = *number;
    loop {
        let candidate = file_names::numbered(path, *number);
        // The name of a file that was compressed is taken as well.
        let opened = match compressed_name(&candidate).try_exists() {
            Ok(true) => Err(ErrorKind::AlreadyExists.into()),
            _ => create_new(&candidate),
        };
        match opened {
            Ok(file) => {
                let name = shown_path(&candidate);
                return Ok((Sink::File(RegularFile::new(file, candidate)), name));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && *number - first < MAX_NUMBER => {
                *number += 1
            }
            Err(source) => return Err(OutputError::Open { name: shown_path(&candidate), source }),
        }
    }
}

/// Makes the file, or named pipe of Windows, or opens the existing one; waits for the reader of a named pipe.
fn open_file(path: &Path, control: &mut Control) -> Result<Sink, OutputError> {
    let failed = |source: io::Error| OutputError::Open { name: shown_path(path), source };
    if let Some(pipe) = file::make_pipe(path).map_err(failed)? {
        tracing::info!("{} waits for its reader", shown_path(path));
        while !file::has_reader(&pipe).map_err(failed)? {
            pause(path, control)?;
        }
        return Ok(Sink::Stream(Stream::new(pipe)));
    }
    loop {
        match create_new(path) {
            Ok(file) => return Ok(Sink::File(RegularFile::new(file, path.to_owned()))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        if let Some(file) = open_existing(path).map_err(failed)? {
            return sink_for(file, |file| RegularFile::overwrite(file, path.to_owned())).map_err(failed);
        }
        pause(path, control)?;
    }
}

/// Lets a pipe's reader come for a moment, unless it is to stop.
fn pause(path: &Path, control: &mut Control) -> Result<(), OutputError> {
    if control.stopping().is_some() {
        return Err(OutputError::NoReader { name: shown_path(path) });
    }
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// The sink for a file that was there before.
fn sink_for(file: File, regular: impl FnOnce(File) -> RegularFile) -> io::Result<Sink> {
    Ok(if file::is_regular(&file)? { Sink::File(regular(file)) } else { Sink::Stream(Stream::new(file)) })
}
