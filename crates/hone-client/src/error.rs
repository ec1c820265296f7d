//! What can go wrong for a reader, each with what to do about it.

use std::io;
use std::path::PathBuf;

use crate::protocol::Refusal;

/// Why a connection, a read or a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// Nobody listens.
    #[error(
        "honed does not run: nobody listens on {}. Start it with `sudo honeutil start`, or run `honed` as root",
        path.display()
    )]
    NoService {
        /// The socket.
        path: PathBuf,
    },
    /// The socket may not be opened.
    #[error(
        "no permission to read from honed ({}): only root and members of its group may \
         (`usermod -aG hone USER`, then log in again)", path.display()
    )]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The service refuses, and says why.
    #[error("honed refuses: {text}")]
    Refused {
        /// Why; `None`: for a reason that this version does not know.
        refusal: Option<Refusal>,
        /// Why, as text: one line, in which what does not print is escaped.
        text: String,
    },
    /// The service speaks another protocol.
    #[error(
        "honed speaks version {found} of the reader protocol, this program version {known}: \
         use a program and a honed of the same release"
    )]
    Version {
        /// The service's major version.
        found: u16,
        /// This crate's.
        known: u16,
    },
    /// The service ended the stream, at the end of a section.
    #[error("honed has ended the stream: {reason}")]
    Ended {
        /// Why: one line, in which what does not print is escaped.
        reason: String,
    },
    /// The connection broke off.
    #[error(
        "the connection to honed broke off: it was killed or has crashed (see `journalctl -u honed`). \
         The last section has no end"
    )]
    Lost,
    /// The service does not answer.
    #[error(
        "honed took longer than {seconds} s {what}: it is stopped (`kill -CONT` its process), or hangs, or the machine is \
         overloaded"
    )]
    Silent {
        /// What it was to do.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// This program no longer wanted to wait: see [`Watch`](crate::Watch).
    #[error("stopped while waiting for honed {what}")]
    GivenUp {
        /// What honed was to do.
        what: &'static str,
    },
    /// What came is not the protocol.
    #[error("what listens on the socket does not speak honed's protocol: {what}")]
    Protocol {
        /// What is wrong.
        what: String,
    },
    /// The system fails.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl ReaderError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Lost,
            _ => Self::Io { what, source },
        }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol { what: what.into() }
    }

    /// Why the service refuses, if it does and this version knows the reason.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => *refusal,
            _ => None,
        }
    }
}
