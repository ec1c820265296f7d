//! How a sensor's events are collected: in batches, and how long to wait for the next.

use core::time::Duration;

/// Most records taken from a sensor at once: few enough that a reader waits less than a millisecond for the lock, that even
/// the largest packets fit into a ring, and that usual ones are still in the processor's cache when they are written.
pub const BATCH: usize = 256;
/// Longest wait for records: how late a block is when there is little traffic.
pub const WAIT: Duration = Duration::from_millis(50);
/// How often the sensor is asked how much it has lost.
pub const DROPS_EVERY: Duration = Duration::from_millis(100);
