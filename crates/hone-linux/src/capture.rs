//! How much of each packet the programs copy, and of which packets, changed while they run.
//!
//! Owns handles to the programs' writable data and to the tests of packets. Called by whoever owns the sensor, or by another
//! thread through a clone; setting is a few system calls on descriptors that are already open, and takes no capability.

use std::mem::offset_of;
use std::sync::{Arc, Mutex, PoisonError};

use hone_engine::ProcessKey;
use hone_select::{Fact, PacketTest};
use hone_types::SnapLength;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::abi::types::{self as abi, data};
use crate::error::SensorError;
use crate::starts::{Starts, word};

/// The two numbers are all that the programs' writable data has, so the map's one value is these.
const CONTROL: usize = 8;
const _: () = assert!(size_of::<data>() == CONTROL && offset_of!(data, control) == 0);
const _: () = assert!(size_of::<abi::packet_test>() == TEST && size_of::<abi::unwanted_process>() == 16);
const _: () = assert!(abi::verdict::VERDICT_ACCEPTED.0 == PacketTest::ACCEPT as u32);
const _: () = assert!(abi::verdict::VERDICT_REJECTED.0 == PacketTest::REJECT as u32);
const _: () = assert!(abi::fact::FACT_DESTINATION.0 == Fact::Destination as u32);

/// Bytes of a test.
const TEST: usize = 20;

/// Sets which packets the sensor captures, and how much of each. Clones set the same.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Maps>);

#[derive(Debug)]
struct Maps {
    data: MapHandle,
    tests: MapHandle,
    left_out: MapHandle,
    unwanted: Option<(MapHandle, Starts)>,
    now: Mutex<Now>,
}

/// What the programs have been told.
#[derive(Debug, Default)]
struct Now {
    bytes: u32,
    /// The number of the tests in use; 0: none.
    selecting: u32,
    /// The latest number that was used, without its lowest bit.
    latest: u32,
}

impl Capture {
    pub(crate) fn new(data: MapHandle, tests: MapHandle, left_out: MapHandle) -> Self {
        Self(Arc::new(Maps { data, tests, left_out, unwanted: None, now: Mutex::default() }))
    }

    /// Can leave out processes, too. To be called before it is cloned.
    pub(crate) fn with(self, unwanted: MapHandle, starts: Starts) -> Self {
        let Maps { data, tests, left_out, now, .. } = Arc::into_inner(self.0).expect("it has no clone");
        Self(Arc::new(Maps { data, tests, left_out, unwanted: Some((unwanted, starts)), now }))
    }

    /// Captures so much of each packet from now on, or, with `None`, no packet at all:
    /// who owns which socket is followed all the same, as are processes and connections.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set(&self, snap_length: Option<SnapLength>) -> Result<(), SensorError> {
        let mut now = self.now();
        let bytes = snap_length.map_or(0, SnapLength::bytes);
        self.write(bytes, now.selecting)?;
        now.bytes = bytes;
        Ok(())
    }

    /// From now on, leaves out packets that these tests reject, before they are copied out of the kernel. No tests reject
    /// nothing; with `None`, packets of processes are not [left out](Self::set_process) either. Packets that the tests cannot
    /// decide on are captured: of these, and of what no socket takes, the selections themselves decide. While the tests
    /// change, all packets are captured.
    ///
    /// # Errors
    /// The kernel refuses. Then all packets are captured, or the former tests still hold.
    pub fn select(&self, tests: Option<&[PacketTest]>) -> Result<(), SensorError> {
        let mut now = self.now();
        if now.selecting != 0 {
            self.write(now.bytes, 0)?;
            now.selecting = 0;
        }
        let Some(tests) = tests else { return Ok(()) };
        let mut bytes = Vec::with_capacity(TEST * hone_select::MAX_PACKET_TESTS);
        for test in tests {
            for number in [test.fact, test.mask, test.low, test.span] {
                bytes.extend(number.to_ne_bytes());
            }
            bytes.extend(test.yes.to_ne_bytes());
            bytes.extend(test.no.to_ne_bytes());
        }
        bytes.resize(TEST * hone_select::MAX_PACKET_TESTS, 0);
        self.0
            .tests
            .update(&0_u32.to_ne_bytes(), &bytes, MapFlags::ANY)
            .map_err(|error| SensorError::refused("setting the selection", error))?;
        // A number that a packet on its way through the programs cannot have seen.
        let bit = abi::selecting::SELECTING_TESTS.0;
        now.latest = now.latest.wrapping_add(bit + 1).max(bit + 1);
        let selecting = now.latest | if tests.is_empty() { 0 } else { bit };
        self.write(now.bytes, selecting)?;
        now.selecting = selecting;
        Ok(())
    }

    /// Says whether packets of a process are left out, from now on and up to the next [`select`](Self::select). They are
    /// captured again as soon as the process executes another program, and so are those of the processes that it forks.
    ///
    /// To be called only for what all events say that the sensor has handed on so far. Packets of a process of which the
    /// kernel cannot keep this are captured.
    pub fn set_process(&self, process: ProcessKey, is_left_out: bool) {
        let Some((map, starts)) = &self.0.unwanted else { return };
        let selecting = self.now().selecting;
        let mut starts = starts.all();
        let Some(start) = starts.get_mut(&word(process)) else { return };
        let key = word(process).to_ne_bytes();
        if is_left_out && selecting != 0 {
            let mut entry = [0; 16];
            entry[..8].copy_from_slice(&start.time.to_ne_bytes());
            entry[8..12].copy_from_slice(&selecting.to_ne_bytes());
            start.has_entry |= map.update(&key, &entry, MapFlags::ANY).is_ok();
        } else if start.has_entry {
            start.has_entry = map.delete(&key).is_err();
        }
    }

    /// Removes the entry of a process that has ended.
    pub(crate) fn forget(&self, process: ProcessKey) {
        if let Some((map, _)) = &self.0.unwanted {
            // An entry that stays is of no process: a later one has another task.
            let _ = map.delete(&word(process).to_ne_bytes());
        }
    }

    /// How many packets were left out so far.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn left_out(&self) -> Result<u64, SensorError> {
        let values = self
            .0
            .left_out
            .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| SensorError::refused("reading the count of what is left out", error))?;
        let values = values.unwrap_or_default();
        Ok(values
            .iter()
            .filter_map(|value| value.first_chunk())
            .map(|value| u64::from_ne_bytes(*value))
            .sum())
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, bytes: u32, selecting: u32) -> Result<(), SensorError> {
        let mut control = [0; CONTROL];
        control[..4].copy_from_slice(&bytes.to_ne_bytes());
        control[4..].copy_from_slice(&selecting.to_ne_bytes());
        self.0
            .data
            .update(&0_u32.to_ne_bytes(), &control, MapFlags::ANY)
            .map_err(|error| SensorError::refused("setting what is captured", error))
    }
}

#[cfg(test)]
mod tests;
