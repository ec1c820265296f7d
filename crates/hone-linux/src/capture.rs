//! How much of each packet the programs copy, changed while they run.
//!
//! Owns a handle to the programs' writable data. Called by whoever owns the sensor, or by another thread through a
//! clone; setting is one system call on a descriptor that is already open, and takes no capability.

use std::mem::offset_of;
use std::sync::Arc;

use hone_types::SnapLength;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::abi::types::data;
use crate::error::SensorError;

// It is all that the programs' writable data has, so the map's one value is this number.
const _: () = assert!(size_of::<data>() == size_of::<u32>() && offset_of!(data, capture) == 0);

/// Sets how much of each packet the sensor captures. Clones set the same.
#[derive(Debug, Clone)]
pub struct Capture(Arc<MapHandle>);

impl Capture {
    pub(crate) fn new(data: MapHandle) -> Self {
        Self(Arc::new(data))
    }

    /// Captures so much of each packet from now on, or, with `None`, no packet at all:
    /// who owns which socket is followed all the same, as are processes and connections.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set(&self, snap_length: Option<SnapLength>) -> Result<(), SensorError> {
        let bytes = snap_length.map_or(0, SnapLength::bytes);
        self.0
            .update(&0_u32.to_ne_bytes(), &bytes.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| SensorError::refused("setting the snap length", error))
    }
}
