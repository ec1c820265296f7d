//! The statistics: what the engine counts, in the form of the control interface.

use hone_api::{Held, Mechanism, NO_READER, ReaderStatistics, Statistics};
use hone_engine::{Method, Nanos, NoOwner, ReaderId};

use crate::{Capture, Queue, Reader, Refused};

/// What only the service itself knows of the statistics.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Version: major, minor, micro, build.
    pub version: [u16; 4],
    /// How long it has been loaded, nanoseconds.
    pub loaded: u64,
    /// Most bytes of blocks in memory.
    pub max_block_bytes: usize,
    /// How the sensor learns which process uses a socket; `None`: it does not run yet.
    pub mechanism: Option<Mechanism>,
}

/// A version from the numbers that Cargo sets: `CARGO_PKG_VERSION_MAJOR` and so on.
///
/// # Panics
/// One of them is no number of 16 bits: when compiled, if this makes a constant.
#[must_use]
pub const fn version(parts: [&str; 3]) -> [u16; 4] {
    const fn number(text: &str) -> u16 {
        match u16::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("a part of the version is no number of 16 bits"),
        }
    }
    [number(parts[0]), number(parts[1]), number(parts[2]), 0]
}

/// Everything that is counted, and what this reader got.
pub(crate) fn statistics<R: Reader, C: Capture>(
    queue: &mut Queue<R, C>,
    reader: Option<ReaderId>,
    service: &Service,
    now: Nanos,
) -> Result<Statistics, Refused> {
    queue.count_left_out();
    let engine = queue.engine.statistics();
    let reader = match reader {
        Some(id) => of_reader(queue, id).ok_or(Refused::NotAttached)?,
        None => ReaderStatistics { id: NO_READER, ..ReaderStatistics::default() },
    };
    let mut statistics = Statistics {
        version: service.version,
        now,
        loaded: service.loaded,
        logging: engine.logging_time,
        readers: engine.readers,
        readers_total: engine.readers_total,
        ring_bytes: engine.ring_bytes,
        max_snap_length: engine.snap_length,
        received: engine.received,
        packet_bytes: engine.packet_bytes,
        processes: engine.processes,
        process_starts: engine.process_starts,
        process_ends: engine.process_ends,
        connections: engine.connections,
        connection_opens: engine.connection_opens,
        connection_closes: engine.connection_closes,
        dropped_by_source: engine.dropped_by_source,
        lost: engine.lost,
        ignored: engine.ignored,
        unopened: engine.unopened,
        held: Held {
            waiting: engine.held,
            waiting_bytes: engine.held_bytes,
            total: engine.held_total,
            attributed: engine.held_attributed,
            unattributed: engine.held_unattributed,
        },
        blocks: engine.blocks,
        block_bytes: engine.block_bytes,
        max_block_bytes: service.max_block_bytes as u64,
        mechanism: Statistics::mechanism_number(service.mechanism),
        filtered_by_source: engine.filtered_by_source,
        reader,
        ..Statistics::default()
    };
    for method in Method::ALL {
        statistics.methods[method.index()] = engine.methods.get(method);
    }
    for reason in NoOwner::ALL {
        statistics.unattributed[reason.index()] = engine.no_owner.get(reason);
    }
    Ok(statistics)
}

fn of_reader<R: Reader, C: Capture>(queue: &mut Queue<R, C>, id: ReaderId) -> Option<ReaderStatistics> {
    let got = queue.engine.reader_statistics(id)?;
    let user = queue.reader(id)?.user();
    Some(ReaderStatistics {
        id: got.id,
        attached: got.attached,
        ring_bytes: got.ring_bytes,
        ring_slots: got.ring_slots,
        pinned_bytes: queue.share(user) as u64,
        queued_bytes: got.queued_bytes,
        snap_length: got.snap_length,
        received: got.received,
        delivered: got.delivered,
        dropped: got.dropped_by_ring,
        filtered: got.filtered,
        queued: got.queued,
    })
}
