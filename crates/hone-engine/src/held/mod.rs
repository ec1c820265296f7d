//! Held packets: those that wait until it shows who owns them. `queue` has the packets, `policy` decides when they leave,
//! `used` what a process's use of a connection shows; `expired` and `datagram_reads` remember what is not settled yet.

mod datagram_reads;
mod expired;
mod policy;
pub(crate) mod queue;
mod used;

use crate::{Config, Nanos, Statistics, readers::queues::Queues, tables::Tables};
use datagram_reads::DatagramReads;
use expired::ExpiredPackets;
use queue::HeldQueue;

/// The held packets with what they leave to: the tables, which their attribution is checked with, and the queues.
pub(crate) struct Policy<'a> {
    pub(crate) held: &'a mut HeldPackets,
    pub(crate) tables: &'a Tables,
    pub(crate) queues: &'a mut Queues,
}

/// The packets that wait, and what is remembered of those that have waited.
pub(crate) struct HeldPackets {
    queue: HeldQueue,
    /// How long a packet is held at most.
    hold_time: Nanos,
    /// Packets that have waited in vain.
    expired: ExpiredPackets,
    /// Reads of datagrams of which it is not known yet which datagrams they took.
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

    /// `counts`, with what was and is held.
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

    /// Whether packets are held at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.hold_time > 0
    }

    /// The packets, to look through.
    pub(crate) const fn queue(&self) -> &HeldQueue {
        &self.queue
    }

    /// When the next packet has waited for its time; `None` if none is held.
    pub(crate) fn next_expiry(&self) -> Option<Nanos> {
        self.queue.oldest().map(|(_, at)| at.saturating_add(self.hold_time))
    }
}
