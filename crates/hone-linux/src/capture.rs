//! How much of each packet the programs copy, changed while they run.
//!
//! Owns a handle to the programs' writable data. Called by whoever owns the sensor, or by another thread through a
//! clone; setting is one system call on a descriptor that is already open, and takes no capability.

use std::mem::offset_of;
use std::sync::Arc;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::abi::types::data;
use crate::error::SensorError;
use crate::sensor::MAX_SNAP_LENGTH;

// It is all that the programs' writable data has, so the map's one value is this number.
const _: () = assert!(size_of::<data>() == size_of::<u32>() && offset_of!(data, capture) == 0);

/// Sets how much of each packet the sensor captures. Clones set the same.
#[derive(Debug, Clone)]
pub struct Capture(Arc<MapHandle>);

impl Capture {
    pub(crate) fn new(data: MapHandle) -> Self {
        Self(Arc::new(data))
    }

    /// The bytes that a snap length means.
    pub(crate) fn bytes(snap_length: u32) -> Result<u32, SensorError> {
        match snap_length {
            0 => Ok(MAX_SNAP_LENGTH),
            length if length <= MAX_SNAP_LENGTH => Ok(length),
            length => Err(SensorError::Setting {
                what: "the snap length",
                found: length.into(),
                range: "0 (unlimited) to 262144 bytes",
            }),
        }
    }

    /// Captures so many bytes of each packet from now on (0: all, up to [`MAX_SNAP_LENGTH`]), or, with `None`, no packet
    /// at all: who owns which socket is followed all the same, as are processes and connections.
    ///
    /// # Errors
    /// The snap length is too long, or the kernel refuses.
    pub fn set(&self, snap_length: Option<u32>) -> Result<(), SensorError> {
        let bytes = snap_length.map_or(Ok(0), Self::bytes)?;
        self.0
            .update(&0_u32.to_ne_bytes(), &bytes.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| SensorError::refused("setting the snap length", error))
    }
}
