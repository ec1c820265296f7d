//! What processes, connections and times are known by.

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
pub type Nanos = u64;

/// A connection's number, unique while the connection lasts.
pub type ConnectionId = u64;

/// A process; another one with the same process id, earlier or later, has another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// The process id.
    pub pid: u32,
    /// When the process started, by the sensor's own clock; only ever compared for equality.
    pub start: Nanos,
}
