//! Held packets: packets that wait for their owner. `queue` stores them, `policy` decides when they leave, and `used`
//! attributes them when a process uses their connection. `expired` remembers packets that may still need a correction,
//! `datagram_reads` reads that are not matched to their datagrams yet.

mod datagram_reads;
mod expired;
mod policy;
pub(crate) mod queue;
mod used;

use crate::{Config, Nanos, Statistics, readers::queues::Queues, tables::Tables};
use datagram_reads::DatagramReads;
use expired::ExpiredPackets;
use queue::HeldQueue;

/// The held packets, with the tables that their attribution is checked against and the queues that they leave to.
pub(crate) struct Policy<'a> {
    pub(crate) held: &'a mut HeldPackets,
    pub(crate) tables: &'a Tables,
    pub(crate) queues: &'a mut Queues,
}

/// The packets that wait, and notes about packets that have expired.
pub(crate) struct HeldPackets {
    queue: HeldQueue,
    /// Longest time that a packet is held, nanoseconds; 0: no packet is held.
    hold_time: Nanos,
    /// Packets that left before their owner was known, and may be corrected.
    expired: ExpiredPackets,
    /// Reads of datagrams that are not matched to their datagrams yet.
    reads: DatagramReads,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    total: u64,
    attributed: u64,
    unattributed: u64,
}

impl HeldPackets {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            queue: HeldQueue::new(config.max_held_packets, config.max_held_bytes),
            hold_time: config.hold_time,
            expired: ExpiredPackets::default(),
            reads: DatagramReads::default(),
            counts: Counts::default(),
        }
    }

    /// `counts`, with the counts and levels of held packets filled in.
    pub(crate) const fn statistics(&self, counts: Statistics) -> Statistics {
        Statistics {
            held_total: self.counts.total,
            held_attributed: self.counts.attributed,
            held_unattributed: self.counts.unattributed,
            held: self.queue.count() as u64,
            held_bytes: self.queue.bytes() as u64,
            ..counts
        }
    }

    /// Whether the engine holds packets at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.hold_time > 0
    }

    /// The held packets, to be searched.
    pub(crate) const fn queue(&self) -> &HeldQueue {
        &self.queue
    }

    /// When the next packet expires; `None`: no packet is held.
    pub(crate) fn next_expiry(&self) -> Option<Nanos> {
        self.queue.oldest().map(|(_, at)| at.saturating_add(self.hold_time))
    }
}
