//! The file that a cut is written to, compressed if its name says so.
//!
//! It has its name only once it is finished, and never replaces another file. What is no regular file, such as a named pipe,
//! is written to as it is.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::path::Path;

use crate::output::part_file::Part;
use crate::platform::file::{is_pipe_closed, standard_output};
use crate::text::shown_path;

/// zstd's default level: text shrinks to a fifth, at some hundred MiB a second.
const ZSTD_LEVEL: i32 = 3;

/// Why a cut cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file of this name exists.
    #[error("{name} exists already: remove it, or name another")]
    Exists {
        /// The name.
        name: String,
    },
    /// The output is a terminal.
    #[error("{name} is a terminal, and recordings are binary: write to a file (-w FILE) or a pipe")]
    Terminal {
        /// The name.
        name: String,
    },
    /// It cannot be opened, written or finished.
    #[error("cannot write {name}: {source}. Nothing is left of it")]
    Write {
        /// The name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The reader of a pipe closed it: the usual end, not reported.
    #[error("the reader of {name} closed it")]
    Closed {
        /// The name.
        name: String,
    },
}

/// The open output.
#[derive(Debug)]
pub struct CutFile {
    name: String,
    encoder: Encoder,
    /// `None` if it is no regular file of this program's own.
    part: Option<Part>,
}

enum Encoder {
    Plain(File),
    Zstd(zstd::stream::write::Encoder<'static, File>),
    Gzip(flate2::write::GzEncoder<File>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl CutFile {
    /// Begins the file of this name; `-` is standard output.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let is_standard_output = path.as_os_str() == "-";
        let name = if is_standard_output { "standard output".to_owned() } else { shown_path(path) };
        let (file, part) = open(path, is_standard_output).map_err(|error| said(&name, error))?;
        if file.is_terminal() {
            return Err(FileError::Terminal { name });
        }
        let encoder = Encoder::new(path, file).map_err(|error| said(&name, error))?;
        Ok(Self { name, encoder, part })
    }

    /// Its name, fit to be shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes blocks.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn write(&mut self, blocks: &[u8]) -> Result<(), FileError> {
        let written = match &mut self.encoder {
            Encoder::Plain(file) => file.write_all(blocks),
            Encoder::Zstd(encoder) => encoder.write_all(blocks),
            Encoder::Gzip(encoder) => encoder.write_all(blocks),
        };
        written.map_err(|error| said(&self.name, error))
    }

    /// Ends it, and gives it its name.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn finish(self) -> Result<(), FileError> {
        let Self { name, encoder, part } = self;
        let ended = match encoder {
            Encoder::Plain(file) => {
                drop(file);
                Ok(())
            }
            Encoder::Zstd(encoder) => encoder.finish().map(drop),
            Encoder::Gzip(encoder) => encoder.finish().map(drop),
        };
        ended.and_then(|()| part.map_or(Ok(()), Part::finish)).map_err(|error| said(&name, error))
    }
}

impl Encoder {
    /// The one that the ending of the name asks for.
    fn new(path: &Path, file: File) -> io::Result<Self> {
        Ok(if has_ending(path, "zst") {
            let mut encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            Self::Zstd(encoder)
        } else if has_ending(path, "gz") {
            Self::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
        } else {
            Self::Plain(file)
        })
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// Whether a file of this name is compressed.
#[cfg(target_os = "linux")]
pub(crate) fn is_compressed(path: &Path) -> bool {
    has_ending(path, "zst") || has_ending(path, "gz")
}

/// Makes the file, or opens what exists and is no regular file.
fn open(path: &Path, is_standard_output: bool) -> io::Result<(File, Option<Part>)> {
    if is_standard_output {
        return Ok((standard_output()?, None));
    }
    // Not through links: what is there stays, be it a link to nothing.
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let part = Part::create(path)?;
            Ok((part.file().try_clone()?, Some(part)))
        }
        Err(error) => Err(error),
        Ok(_) => match path.metadata() {
            Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Ok((File::options().write(true).open(path)?, None)),
            _ => Err(ErrorKind::AlreadyExists.into()),
        },
    }
}

fn said(name: &str, source: io::Error) -> FileError {
    let name = name.to_owned();
    match source.kind() {
        ErrorKind::AlreadyExists => FileError::Exists { name },
        _ if is_pipe_closed(&source) => FileError::Closed { name },
        _ => FileError::Write { name, source },
    }
}
