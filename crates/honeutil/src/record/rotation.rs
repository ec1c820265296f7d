//! When the next file is due. The recording loop checks this between its steps. A request from outside (SIGHUP) also
//! begins the next file; size and time are then counted from there.

use std::time::{Duration, Instant};

use hone_engine::SnapLength;

/// Most bytes of a process event, with arguments, path and names of the greatest length.
const EVENT_BYTES: u64 = 96 << 10;
/// Most bytes of a packet block besides the packet.
const PACKET_EXTRA_BYTES: u64 = 256;
/// Most bytes of what ends a section: its statistics.
const END_BYTES: u64 = 1 << 10;
/// How long to wait before trying again after a section could not be ended.
const RETRY: Duration = Duration::from_secs(1);

/// When to begin the next file, besides on request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Before the file becomes larger than this many bytes.
    pub size: Option<u64>,
    /// When the file has reached this age.
    pub time: Option<Duration>,
}

impl Rotation {
    /// Whether anything but a request begins the next file.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self != Self::default()
    }
}

/// Computes when the next file is due, for one file after the other.
#[derive(Debug)]
pub(crate) struct RotationClock {
    rotation: Rotation,
    /// Most bytes that one record can add to the file.
    record_bytes: u64,
    /// Most bytes of the file.
    limit: Option<u64>,
    since: Instant,
    not_before: Option<Instant>,
}

impl RotationClock {
    /// For packets that are cut to `snap_length` bytes.
    pub(crate) fn new(rotation: Rotation, snap_length: SnapLength) -> Self {
        let record_bytes = EVENT_BYTES.max(u64::from(snap_length.bytes()) + PACKET_EXTRA_BYTES);
        Self { rotation, record_bytes, limit: rotation.size, since: Instant::now(), not_before: None }
    }

    /// A new file has begun. Its snapshot takes this many bytes.
    pub(crate) fn begin(&mut self, state_bytes: u64) {
        self.since = Instant::now();
        self.not_before = None;
        // Even if the snapshot alone would fill the file, there must be room for traffic.
        let least = 2 * state_bytes + self.record_bytes + END_BYTES;
        self.limit = self.rotation.size.map(|size| size.max(least));
    }

    /// The file could not be ended: the next try is a little later.
    pub(crate) fn postpone(&mut self) {
        self.not_before = Instant::now().checked_add(RETRY);
    }

    /// How many records certainly fit into a file that already has so many bytes; `None`: no limit.
    pub(crate) fn room(&self, file_bytes: u64) -> Option<usize> {
        let room = self.limit?.saturating_sub(file_bytes).saturating_sub(END_BYTES) / self.record_bytes;
        Some(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Whether the next file is due, if this one has so many bytes.
    pub(crate) fn is_due(&self, file_bytes: u64) -> bool {
        (self.room(file_bytes) == Some(0)
            || self.rotation.time.is_some_and(|time| self.since.elapsed() >= time))
            && self.not_before.is_none_or(|not_before| Instant::now() >= not_before)
    }

    /// `most`, or less if the next file is due before.
    pub(crate) fn wait_at_most(&self, most: Duration) -> Duration {
        self.rotation.time.map_or(most, |time| most.min(time.saturating_sub(self.since.elapsed())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_limits_nothing_is_ever_due() {
        let clock = RotationClock::new(Rotation::default(), SnapLength::ALL);
        assert!(!clock.is_due(u64::MAX));
        assert_eq!((clock.room(u64::MAX), clock.wait_at_most(RETRY)), (None, RETRY));
    }

    #[test]
    fn room_is_for_whole_records_and_the_end() {
        let mut clock =
            RotationClock::new(Rotation { size: Some(1 << 20), time: None }, SnapLength::lenient(1000));
        clock.begin(1000);
        let most = ((1 << 20) - 1000 - END_BYTES) / EVENT_BYTES;
        assert_eq!(clock.room(1000), Some(usize::try_from(most).unwrap()));
        assert!(!clock.is_due((1 << 20) - END_BYTES - EVENT_BYTES));
        assert!(clock.is_due((1 << 20) - END_BYTES - EVENT_BYTES + 1));
        clock.postpone();
        assert!(!clock.is_due(1 << 20), "it was tried, and goes on for now");
    }

    #[test]
    fn a_large_state_leaves_as_much_room_again() {
        let mut clock =
            RotationClock::new(Rotation { size: Some(1 << 20), time: None }, SnapLength::lenient(1000));
        clock.begin(5 << 20);
        assert!(!clock.is_due(5 << 20) && clock.is_due(10 << 20 | 1));
    }
}
