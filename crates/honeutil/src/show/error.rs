//! Why a recording cannot be shown.

use std::io;

use super::stream::StreamError;
use crate::platform::file::is_pipe_closed;

/// Why an input was not shown completely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The input cannot be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// The input's name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// Reading the input failed.
    #[error("cannot read {name} after {offset} bytes: {source}")]
    Read {
        /// The input's name.
        name: String,
        /// How many bytes were read before, uncompressed.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The input is invalid at some place. Everything before was shown.
    #[error("{name}: {source}")]
    Malformed {
        /// The input's name.
        name: String,
        /// The place, and what is wrong there.
        source: StreamError,
    },
    /// Writing the output failed.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// The reader of the output closed it: the usual end of a pipe, not reported.
    #[error("the reader closed the output")]
    Closed,
}

impl ShowError {
    /// Whether showing the next input makes sense.
    #[must_use]
    pub fn is_of_input(&self) -> bool {
        !matches!(self, Self::Write(_) | Self::Closed)
    }

    /// Whether `honeutil repair` may make the rest readable, if the input is a file: it began like a recording.
    #[must_use]
    pub fn is_of_torn_file(&self) -> bool {
        match self {
            Self::Read { offset, source, .. } => *offset > 0 && source.raw_os_error().is_none(),
            Self::Malformed { source: StreamError::Blocks(error), .. } => error.offset > 0,
            _ => false,
        }
    }

    pub(super) fn writing(error: io::Error) -> Self {
        if is_pipe_closed(&error) { Self::Closed } else { Self::Write(error) }
    }
}
