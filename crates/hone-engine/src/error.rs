//! The errors that the engine returns. Holds no state.

use core::fmt;

/// There is no memory, or [`Config::max_block_bytes`](crate::Config::max_block_bytes) allows no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl From<alloc::collections::TryReserveError> for OutOfMemory {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self
    }
}

impl From<hashbrown::TryReserveError> for OutOfMemory {
    fn from(_: hashbrown::TryReserveError) -> Self {
        Self
    }
}

/// Why an event could not be recorded. It is counted in [`Statistics::lost`](crate::Statistics::lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// No memory for its block or its table entry.
    OutOfMemory,
    /// As many processes are running as [`Config::max_processes`](crate::Config::max_processes) allows.
    TooManyProcesses,
    /// As many connections are open as [`Config::max_connections`](crate::Config::max_connections) allows.
    TooManyConnections,
}

/// Why a reader could not be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// No memory for its ring buffer or its snapshot.
    OutOfMemory,
    /// As many readers are attached as [`Config::max_readers`](crate::Config::max_readers) allows.
    TooManyReaders,
    /// The ring buffer's size is out of range.
    RingBytes(RingBytesError),
}

/// Why a reader could not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// No such reader is attached.
    UnknownReader,
    /// The buffer has a length of 0.
    EmptyBuffer,
}

/// Why a reader's filter could not be set. The filter has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// No such reader is attached.
    UnknownReader,
    /// More ids than [`Config::max_filter_ids`](crate::Config::max_filter_ids).
    TooMany {
        /// Most ids in one list.
        most: usize,
    },
    /// No memory for the list.
    OutOfMemory,
}

/// Why a reader's selection could not be set. The selection has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectionError {
    /// No such reader is attached.
    UnknownReader,
    /// [`MAX_PROCESS_SELECTIONS`](crate::MAX_PROCESS_SELECTIONS) readers select by processes already.
    TooMany,
    /// The words about processes, times the processes that are known, are more than [`MAX_COMPARISONS`](crate::MAX_COMPARISONS).
    TooLong {
        /// Words about processes.
        words: usize,
        /// Processes that are known.
        processes: usize,
    },
    /// Processes are forked faster than they can be compared with the words.
    Busy,
    /// No memory for the list of processes.
    OutOfMemory,
}

/// Why the open-connection list could not be replaced. The list has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenListError {
    /// More records than [`Config::max_open_connections`](crate::Config::max_open_connections).
    TooMany {
        /// Most records.
        most: usize,
    },
    /// No memory for the list.
    OutOfMemory,
}

/// The reader is not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownReader;

/// A ring buffer's size is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingBytesError {
    /// Smallest size accepted, bytes.
    pub min: usize,
    /// Largest size accepted, bytes.
    pub max: usize,
}

/// Why a restart mark could not be set. The section continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartError {
    /// No such reader is attached.
    UnknownReader,
    /// The reader has not read up to its earlier mark yet.
    Pending,
    /// No memory for the statistics block or the new section's snapshot.
    OutOfMemory,
}

impl From<OutOfMemory> for EventError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for AttachError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for RestartError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for FilterError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<UnknownReader> for SelectionError {
    fn from(UnknownReader: UnknownReader) -> Self {
        Self::UnknownReader
    }
}

impl From<OutOfMemory> for SelectionError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for OpenListError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<RingBytesError> for AttachError {
    fn from(error: RingBytesError) -> Self {
        Self::RingBytes(error)
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine is out of memory")
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "no memory to record an event",
            Self::TooManyProcesses => "the process table is full",
            Self::TooManyConnections => "the connection table is full",
        })
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("no memory for the reader's ring buffer or snapshot"),
            Self::TooManyReaders => f.write_str("too many readers are attached"),
            Self::RingBytes(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownReader => UnknownReader.fmt(f),
            Self::TooMany { most } => write!(f, "a filter's list has at most {most} ids"),
            Self::OutOfMemory => f.write_str("no memory for the filter's list"),
        }
    }
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownReader => UnknownReader.fmt(f),
            Self::TooMany => {
                write!(f, "{} readers select by processes already", crate::MAX_PROCESS_SELECTIONS)
            }
            Self::TooLong { words, processes } => write!(
                f,
                "{words} words about processes are too many for the {processes} processes that are known: allowed are {}; \
                 use fewer, such as --children with the common parent",
                crate::MAX_COMPARISONS / processes.max(&1)
            ),
            Self::Busy => {
                f.write_str("processes start faster than they can be compared with the selection; try again")
            }
            Self::OutOfMemory => f.write_str("no memory to select by processes"),
        }
    }
}

impl fmt::Display for OpenListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { most } => write!(f, "the open-connection list has at most {most} records"),
            Self::OutOfMemory => f.write_str("no memory for the open-connection list"),
        }
    }
}

impl fmt::Display for UnknownReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such reader is attached")
    }
}

impl fmt::Display for RingBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring buffer's size must be {} to {} bytes", self.min, self.max)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownReader => "no such reader is attached",
            Self::EmptyBuffer => "the read buffer is empty",
        })
    }
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownReader => "no such reader is attached",
            Self::Pending => "the reader's section already ends at an earlier mark",
            Self::OutOfMemory => "no memory for the new section's snapshot",
        })
    }
}

impl core::error::Error for OutOfMemory {}
impl core::error::Error for EventError {}
impl core::error::Error for AttachError {}
impl core::error::Error for FilterError {}
impl core::error::Error for SelectionError {}
impl core::error::Error for OpenListError {}
impl core::error::Error for UnknownReader {}
impl core::error::Error for RingBytesError {}
impl core::error::Error for ReadError {}
impl core::error::Error for RestartError {}
