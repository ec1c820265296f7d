//! The memory report: for each component, how much memory it uses. Called by a connection's thread with the lock.

use std::sync::atomic::Ordering::Relaxed;

use hone_client::{Component, MemoryRow};
use hone_engine::RING_SLOT_BYTES;

use crate::hub::{Hub, State};
use crate::memory;

/// The rows of the report.
pub(crate) fn rows(hub: &Hub, state: &State) -> Vec<MemoryRow> {
    let engine = state.queue.engine.statistics();
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
