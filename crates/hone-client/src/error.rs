//! The errors of a reader, each with advice what to do.

use std::io;
use std::path::PathBuf;

use crate::protocol::Refusal;
use crate::readers::Readers;

/// Why a connection, a read or a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// No process listens on the socket.
    #[error(
        "honed does not run: nobody listens on {}. Start it with `sudo honeutil start`, or run `honed` as root",
        path.display()
    )]
    NoService {
        /// The socket.
        path: PathBuf,
    },
    /// Permission to open the socket is missing.
    #[error("no permission to read from honed ({}): {readers}", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
        /// To whom it is open.
        readers: Readers,
    },
    /// The service refuses the request or the client.
    #[error("honed refuses: {text}")]
    Refused {
        /// The reason; `None`: this version does not know it.
        refusal: Option<Refusal>,
        /// The service's explanation: one line, with characters that do not print escaped.
        text: String,
    },
    /// The service speaks another protocol.
    #[error(
        "honed speaks version {found} of the reader protocol, this program version {known}: \
         use a program and a honed of the same release"
    )]
    Version {
        /// The major version that the service speaks.
        found: u16,
        /// The major version that this crate speaks.
        known: u16,
    },
    /// The service ended the stream, at the end of a section.
    #[error("honed has ended the stream: {reason}")]
    Ended {
        /// The service's explanation: one line, with characters that do not print escaped.
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
        /// What the service should have done, such as "to answer".
        what: &'static str,
        /// How long the client waited, seconds.
        seconds: u64,
    },
    /// This program ended the wait: see [`Watch`](crate::Watch).
    #[error("stopped while waiting for honed {what}")]
    GivenUp {
        /// What honed was to do.
        what: &'static str,
    },
    /// What arrived does not follow the protocol.
    #[error("what listens on the socket does not speak honed's protocol: {what}")]
    Protocol {
        /// What is wrong.
        what: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What the program was doing.
        what: &'static str,
        /// The system's error.
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

    /// The service's reason for a refusal; `None` if this is no refusal, or if this version does not know the reason.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => *refusal,
            _ => None,
        }
    }
}
