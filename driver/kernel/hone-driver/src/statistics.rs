//! The statistics: what the engine counts in the form that readers are told. Called by the read interface, under the lock.

use hone_api::{Held, Mechanism, ReaderStatistics, Statistics};
use hone_engine::{Engine, Method, Nanos, NoOwner, ReaderId};

use crate::MAX_BLOCK_BYTES;

/// Version of the driver: major, minor, micro, build.
pub(crate) const VERSION: [u16; 4] = [
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
    0,
];

const fn number(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a part of the version is no number of 16 bits"),
    }
}

/// Everything that is counted, and what this reader got.
pub(crate) fn statistics(
    engine: &Engine,
    reader: ReaderId,
    loaded: Nanos,
    now: Nanos,
    pinned_bytes: usize,
) -> Statistics {
    let counted = engine.statistics();
    let got = engine.reader_statistics(reader).unwrap_or_default();
    let mut statistics = Statistics {
        version: VERSION,
        now,
        loaded: now.saturating_sub(loaded),
        logging: counted.logging_time,
        readers: counted.readers,
        readers_total: counted.readers_total,
        ring_bytes: counted.ring_bytes,
        max_snap_length: counted.snap_length,
        received: counted.received,
        packet_bytes: counted.packet_bytes,
        processes: counted.processes,
        process_starts: counted.process_starts,
        process_ends: counted.process_ends,
        connections: counted.connections,
        connection_opens: counted.connection_opens,
        connection_closes: counted.connection_closes,
        dropped_by_source: counted.dropped_by_source,
        lost: counted.lost,
        ignored: counted.ignored,
        unopened: counted.unopened,
        held: Held {
            waiting: counted.held,
            waiting_bytes: counted.held_bytes,
            total: counted.held_total,
            attributed: counted.held_attributed,
            unattributed: counted.held_unattributed,
        },
        blocks: counted.blocks,
        block_bytes: counted.block_bytes,
        max_block_bytes: MAX_BLOCK_BYTES as u64,
        reader: ReaderStatistics {
            id: got.id,
            attached: got.attached,
            ring_bytes: got.ring_bytes,
            ring_slots: got.ring_slots,
            pinned_bytes: pinned_bytes as u64,
            queued_bytes: got.queued_bytes,
            snap_length: got.snap_length,
            received: got.received,
            delivered: got.delivered,
            dropped: got.dropped_by_ring,
            filtered: got.filtered,
            queued: got.queued,
        },
        mechanism: Statistics::mechanism_number(Some(Mechanism::Callouts)),
        ..Statistics::default()
    };
    for method in Method::ALL {
        statistics.methods[method.index()] = counted.methods.get(method);
    }
    for reason in NoOwner::ALL {
        statistics.unattributed[reason.index()] = counted.no_owner.get(reason);
    }
    statistics
}
