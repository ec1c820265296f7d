//! The reports: what the engine counts in the form that crosses the socket, and what memory is used for.
//! Called by a connection's thread under the lock.

use hone_api::{Held, NO_READER, ReaderStatistics, Statistics};
use hone_client::{Component, MemoryRow};
use hone_engine::{Method, NoOwner, RING_SLOT_BYTES, ReaderId};
use std::sync::atomic::Ordering::Relaxed;

use crate::hub::{Hub, State, nanos};
use crate::memory;

/// Version of the service.
pub(crate) fn version() -> [u16; 4] {
    let part = |text: &str| text.parse().unwrap_or(0);
    [
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
        0,
    ]
}

/// Everything that is counted, and what this reader got.
pub(crate) fn statistics(hub: &Hub, state: &State, reader: Option<ReaderId>) -> Statistics {
    let engine = state.engine.statistics();
    let mut statistics = Statistics {
        version: version(),
        now: hone_linux::now(),
        loaded: nanos(hub.started),
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
        max_block_bytes: hub.max_block_bytes as u64,
        mechanism: hub.mechanism.load(Relaxed),
        reader: ReaderStatistics { id: NO_READER, ..ReaderStatistics::default() },
        ..Statistics::default()
    };
    for method in Method::ALL {
        statistics.methods[method.index()] = engine.methods.get(method);
    }
    for reason in NoOwner::ALL {
        statistics.unattributed[reason.index()] = engine.no_owner.get(reason);
    }
    if let Some(got) = reader.and_then(|id| state.engine.reader_statistics(id)) {
        let own = state.readers.iter().find(|attached| Some(attached.id) == reader);
        let pinned = own.map_or(0, |own| state.share(own.place.user, 0));
        statistics.reader = ReaderStatistics {
            id: got.id,
            attached: got.attached,
            ring_bytes: got.ring_bytes,
            ring_slots: got.ring_slots,
            pinned_bytes: pinned as u64,
            queued_bytes: got.queued_bytes,
            snap_length: got.snap_length,
            received: got.received,
            delivered: got.delivered,
            dropped: got.dropped_by_ring,
            filtered: got.filtered,
            queued: got.queued,
        };
    }
    statistics
}

/// What memory is used for.
pub(crate) fn memory(hub: &Hub, state: &State) -> Vec<MemoryRow> {
    let engine = state.engine.statistics();
    let (allocations, allocated) = memory::allocated();
    let rings = state.places.ring_bytes();
    let requests = hub.requests.level();
    let row = |component: Component, count, bytes| MemoryRow { component: component.number(), count, bytes };
    vec![
        row(Component::All, allocations, allocated),
        row(Component::SensorBuffer, 1, hub.sensor_bytes.into()),
        row(Component::Blocks, engine.blocks, engine.block_bytes),
        row(Component::Processes, engine.processes, 0),
        row(Component::Connections, engine.connections, 0),
        row(Component::Rings, rings / RING_SLOT_BYTES as u64, rings),
        row(Component::IdLists, hub.id_lists.load(Relaxed), hub.ids.load(Relaxed) * 8),
        row(Component::Links, hub.connections.lock().len() as u64, hub.buffer_bytes.load(Relaxed)),
        row(Component::Requests, requests.0, requests.1),
    ]
}
