//! How a sensor's events are collected: the size of a batch, and how long to wait for the next.

use core::time::Duration;

/// Most records taken from a sensor at once. They are few enough that a reader waits less than a millisecond for the
/// lock, that even the largest packets fit into a ring, and that usual packets are still in the processor's cache when
/// they are written.
pub const BATCH: usize = 256;
/// Longest wait for records. With little traffic, a block can be this late.
pub const WAIT: Duration = Duration::from_millis(50);
/// How often the sensor's losses are read.
pub const DROPS_EVERY: Duration = Duration::from_millis(100);
