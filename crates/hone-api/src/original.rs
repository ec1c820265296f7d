//! The original's two structures, packed as its header has them (packing of 4).

use crate::{Operation, layout::Bytes};
use crate::{ReplyError, Statistics, layout::layout};

layout! {
    /// One open connection: the original's `CONNECTION_RECORD`.
    pub struct OriginalConnection, 16 bytes {
        /// Local port, as a number.
        [0] local_port: u16,
        /// Address family, in Windows' numbers: 2 IPv4, 23 IPv6.
        [2] family: u8,
        /// Protocol number.
        [3] protocol: u8,
        /// Owner's process id.
        [4] process: u32,
        /// When it was opened: 100 nanoseconds since 1601-01-01 UTC (`FILETIME`).
        [8] opened: i64,
    }
}

/// 1970-01-01 in units of 100 nanoseconds since 1601-01-01, both UTC.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

impl OriginalConnection {
    /// When it was opened, nanoseconds since 1970-01-01 UTC. An earlier time becomes 0; a time too large for u64
    /// becomes the largest value.
    #[must_use]
    pub const fn opened_nanos(&self) -> u64 {
        let since = self.opened.saturating_sub(UNIX_EPOCH);
        if since < 0 { 0 } else { since.unsigned_abs().saturating_mul(100) }
    }

    /// The `FILETIME` of this time, nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn filetime(nanos: u64) -> i64 {
        (nanos / 100).cast_signed() + UNIX_EPOCH
    }
}

layout! {
    /// The original's `STATISTICS`. Its counters may wrap in the original; [`Statistics::to_original`] stops them at
    /// their largest value.
    pub struct OriginalStatistics, 80 bytes {
        /// Version, major number (the original: the year).
        [0] version_major: u8,
        /// Version, minor number (the original: the month).
        [1] version_minor: u8,
        /// Version, micro number (the original: the day).
        [2] version_micro: u16,
        /// How long the service has been loaded, seconds.
        [4] loaded: u32,
        /// How long readers have been attached, seconds.
        [8] logging: u32,
        /// Level: readers attached.
        [12] readers: u32,
        /// Readers attached ever.
        [16] readers_total: u32,
        /// The number of the reader that asks.
        [20] reader: u32,
        /// Ring buffer of readers that attach from now on, bytes.
        [24] ring_bytes: u32,
        /// Ring buffer of the reader that asks, bytes.
        [28] reader_ring_bytes: u32,
        /// Longest snap length of any reader, bytes; 0: unlimited.
        [32] max_snap_length: u32,
        /// Snap length of the reader that asks, bytes; 0: unlimited.
        [36] reader_snap_length: u32,
        /// Packets captured.
        [40] packets: u64,
        /// Bytes of the packets captured.
        [48] packet_bytes: u64,
        /// Process start events.
        [56] process_starts: i32,
        /// Level: running processes.
        [60] processes: i32,
        /// Process end events.
        [64] process_ends: i32,
        /// Connection open events.
        [68] connection_opens: i32,
        /// Level: open connections.
        [72] connections: i32,
        /// Connection close events; may be more than open events.
        [76] connection_closes: i32,
    }
}

impl OriginalStatistics {
    /// Reads the reply to [`Operation::GetStatistics`].
    ///
    /// # Errors
    /// [`ReplyError::Length`]: it is too short. Bytes after the structure are ignored.
    pub fn parse(reply: &[u8]) -> Result<Self, ReplyError> {
        match reply.first_chunk() {
            Some(bytes) => Ok(Self::decode(bytes)),
            None => Err(ReplyError::Length {
                operation: Operation::GetStatistics,
                length: reply.len(),
                minimum: Self::BYTES,
            }),
        }
    }
}

impl Statistics {
    /// The statistics in the original's structure, for the original's programs. A number that does not fit is replaced
    /// by the largest one that does.
    #[must_use]
    pub fn to_original(&self) -> OriginalStatistics {
        const SECOND: u64 = 1_000_000_000;
        fn u32(number: u64) -> u32 {
            number.try_into().unwrap_or(u32::MAX)
        }
        fn i32(number: u64) -> i32 {
            number.try_into().unwrap_or(i32::MAX)
        }
        let [major, minor, micro, _] = self.version;
        OriginalStatistics {
            version_major: major.try_into().unwrap_or(u8::MAX),
            version_minor: minor.try_into().unwrap_or(u8::MAX),
            version_micro: micro,
            loaded: u32(self.loaded / SECOND),
            logging: u32(self.logging / SECOND),
            readers: u32(self.readers),
            readers_total: u32(self.readers_total),
            reader: u32(self.reader.id),
            ring_bytes: u32(self.ring_bytes),
            reader_ring_bytes: u32(self.reader.ring_bytes),
            max_snap_length: self.max_snap_length.number(),
            reader_snap_length: self.reader.snap_length.number(),
            packets: self.received.packets,
            packet_bytes: self.packet_bytes,
            process_starts: i32(self.process_starts),
            processes: i32(self.processes),
            process_ends: i32(self.process_ends),
            connection_opens: i32(self.connection_opens),
            connections: i32(self.connections),
            connection_closes: i32(self.connection_closes),
        }
    }
}
