//! Why a recording cannot be written, and what the user can do about it.

use std::io::{self, ErrorKind};

use super::stream::PATIENCE;
use crate::platform::file;
use crate::text::bytes;

/// Why writing cannot begin or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A file cannot be opened.
    #[error("cannot open {name}: {source}{}", remedy(source))]
    Open {
        /// The file's name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The output is a terminal.
    #[error(
        "{name} is a terminal, and recordings are binary: write to a file (-w FILE) or a pipe (-w - | tshark -r -)"
    )]
    Terminal {
        /// The output's name.
        name: String,
    },
    /// Files were to be rotated, removed or compressed, and the output is not a file.
    #[error("{name} is not a regular file: it cannot be rotated, counted or compressed")]
    NotAFile {
        /// The output's name.
        name: String,
    },
    /// The thread that removes and compresses files cannot be started.
    #[error("cannot start the thread for finished files: {0}")]
    Thread(io::Error),
    /// The recording stopped before a program opened the named pipe for reading.
    #[error("stopped before anything opened {name} for reading")]
    NoReader {
        /// The pipe's name.
        name: String,
    },
    /// Writing to a regular file failed.
    #[error(
        "cannot write {name} at byte {offset}: {source}{}. The file ends there, at a whole block",
        remedy(source)
    )]
    Write {
        /// The file's name.
        name: String,
        /// Where it ends now.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
    /// Writing to a stream failed.
    #[error("cannot write {name} after {offset} bytes: {source}{}", remedy(source))]
    Stream {
        /// The stream's name.
        name: String,
        /// What was written before.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The reader of the stream stopped reading, so that the last blocks could not be delivered.
    #[error("the reader of {name} has read nothing for {} s: gave up; its last blocks are missing", PATIENCE.as_secs())]
    Stuck {
        /// The stream's name.
        name: String,
    },
    /// Files were deleted or replaced while they were written.
    #[error("{names} deleted or replaced while recording: {} of it are lost", bytes(*lost))]
    Gone {
        /// The files' names and a verb.
        names: String,
        /// How many bytes they contained.
        lost: u64,
    },
    /// The reader of the stream closed it: the usual end of a pipe, not reported.
    #[error("the reader of {name} closed it")]
    Closed {
        /// The stream's name.
        name: String,
    },
}

/// What the user can do about an error, as the end of a message; empty if nothing.
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
