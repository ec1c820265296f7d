//! Replies: what a service answers, and its bytes.

use hone_types::{LogLevels, SnapLength};

use crate::layout::{Bytes, layout};
use crate::{API_VERSION, BufferTooSmall, Operation, OriginalStatistics, ReplyError, Statistics};

layout! {
    /// The reply to [`Operation::GetVersion`].
    pub struct ApiVersion, 12 bytes {
        /// Version of this interface, major number. A client must not use a service with another major number.
        [0] major: u16,
        /// Version of this interface, minor number. The service has everything up to this version.
        [2] minor: u16,
        /// Version of the service: major, minor, micro, build.
        [4] service: [u16; 4],
    }
}

impl ApiVersion {
    /// This crate's interface version, for a service of the version `service`.
    #[must_use]
    pub const fn of_service(service: [u16; 4]) -> Self {
        Self { major: API_VERSION.0, minor: API_VERSION.1, service }
    }

    /// Whether a client with this crate understands the service.
    #[must_use]
    pub const fn is_understood(&self) -> bool {
        self.major == API_VERSION.0
    }

    /// Reads the reply to [`Operation::GetVersion`].
    ///
    /// # Errors
    /// [`ReplyError::Length`]: it is too short. Bytes after the structure are ignored.
    pub fn parse(reply: &[u8]) -> Result<Self, ReplyError> {
        reply.first_chunk().map(Self::decode).ok_or(ReplyError::Length {
            operation: Operation::GetVersion,
            length: reply.len(),
            minimum: Self::BYTES,
        })
    }
}

/// Reads the reply to [`Operation::GetSnapLength`].
///
/// # Errors
/// [`ReplyError::Length`]: it is too short. Bytes after the number are ignored.
pub fn snap_length(reply: &[u8]) -> Result<SnapLength, ReplyError> {
    reply.first_chunk().map(|bytes| SnapLength::lenient(u32::from_le_bytes(*bytes))).ok_or(
        ReplyError::Length { operation: Operation::GetSnapLength, length: reply.len(), minimum: u32::BYTES },
    )
}

/// Reads the reply to [`Operation::GetLogLevels`]. Bits that this crate does not know are ignored: a newer service may
/// have more levels.
///
/// # Errors
/// [`ReplyError::Length`]: it is too short. Bytes after the number are ignored.
pub fn log_levels(reply: &[u8]) -> Result<LogLevels, ReplyError> {
    let mask = reply.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) & LogLevels::ALL);
    mask.and_then(|mask| LogLevels::from_mask(mask).ok()).ok_or(ReplyError::Length {
        operation: Operation::GetLogLevels,
        length: reply.len(),
        minimum: u32::BYTES,
    })
}

/// The service's answer to a request that it has carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// The operation has no output.
    Done,
    /// To [`Operation::GetSnapLength`].
    SnapLength(SnapLength),
    /// To [`Operation::GetStatistics`].
    OriginalStatistics(&'a OriginalStatistics),
    /// To [`Operation::GetStatistics2`].
    Statistics(&'a Statistics),
    /// To [`Operation::GetVersion`].
    Version(ApiVersion),
    /// To [`Operation::GetLogLevels`].
    LogLevels(LogLevels),
}

impl Reply<'_> {
    /// Length of the encoded reply, bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a reply without bytes is a reply")]
    pub const fn len(&self) -> usize {
        match self {
            Self::Done => 0,
            Self::SnapLength(_) | Self::LogLevels(_) => u32::BYTES,
            Self::OriginalStatistics(_) => OriginalStatistics::BYTES,
            Self::Statistics(_) => Statistics::REPLY_LENGTH,
            Self::Version(_) => ApiVersion::BYTES,
        }
    }

    /// Writes the reply into a buffer. Returns its length in bytes.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.len();
        let available = buffer.len();
        let Some(buffer) = buffer.get_mut(..needed) else {
            return Err(BufferTooSmall { needed, available });
        };
        match self {
            Self::Done => {}
            Self::SnapLength(length) => length.number().put(buffer),
            Self::OriginalStatistics(statistics) => statistics.put(buffer),
            Self::Statistics(statistics) => statistics.put_reply(buffer),
            Self::Version(version) => version.put(buffer),
            Self::LogLevels(levels) => levels.mask().put(buffer),
        }
        Ok(needed)
    }
}

impl Operation {
    /// Length in bytes of the reply of this crate's version. A service may refuse a smaller buffer.
    #[must_use]
    pub const fn reply_length(self) -> usize {
        match self {
            Self::GetSnapLength | Self::GetLogLevels => u32::BYTES,
            Self::GetStatistics => OriginalStatistics::BYTES,
            Self::GetStatistics2 => Statistics::REPLY_LENGTH,
            Self::GetVersion => ApiVersion::BYTES,
            _ => 0,
        }
    }
}
