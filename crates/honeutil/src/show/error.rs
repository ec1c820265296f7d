//! Why a recording cannot be shown.

use std::io;

use super::stream::StreamError;
use crate::platform::file::is_pipe_closed;

/// Why an input was not shown, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// It cannot be opened.
    #[error("cannot open {name}: {source}")]
    Open {
        /// Which.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot be read on.
    #[error("cannot read {name} after {offset} bytes: {source}")]
    Read {
        /// Which.
        name: String,
        /// What was read before, uncompressed.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// It is not sound. Everything before is shown.
    #[error("{name}: {source}")]
    Malformed {
        /// Which.
        name: String,
        /// Where and why.
        source: StreamError,
    },
    /// What is shown cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// The reader of what is shown closed it: the usual end of a pipe, not reported.
    #[error("the reader closed the output")]
    Closed,
}

impl ShowError {
    /// Whether the next input is worth a try.
    #[must_use]
    pub fn is_of_input(&self) -> bool {
        !matches!(self, Self::Write(_) | Self::Closed)
    }

    /// Whether `honeutil repair` may make it readable to its end, if it is a file: it began as a recording does.
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
