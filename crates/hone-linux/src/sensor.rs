//! The sensor: loads and attaches the BPF programs, reads the state that was there before, hands out events.
//!
//! Owned and used by one thread. The order of starting matters: everything is attached first and the running state is
//! read afterwards, so that nothing falls between; what is then seen twice, the engine takes once.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use hone_engine::{Event, Nanos, SourceDrops};
use hone_types::{Mechanism, SnapLength};
use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

use crate::abi::HoneSkel;
use crate::abi::types as abi;
use crate::capture::Capture;
use crate::clock;
use crate::decoder::Decoder;
use crate::error::SensorError;
use crate::hashing::Hashing;
use crate::programs::{self, Programs};
use crate::record;
use crate::ring::{Lender, ahead};

/// Sizes that the ring buffer to the kernel may have, in bytes; a power of two.
pub const RING_BYTES: std::ops::RangeInclusive<u32> = (1 << 20)..=(1 << 30);

/// The ring buffer's size where nothing else is said: 64 MiB.
pub const DEFAULT_RING_BYTES: u32 = 64 << 20;

/// How often in a row the loss counters may be unreadable: some seconds, as often as they are asked for.
const MAX_UNREAD: u32 = 50;

/// Records whose connections are named to the engine at a time, before they are handed to it.
const AHEAD: usize = 32;

/// A poll ends once it has handed on so many bytes of records: a quarter of a second cache of 1 MiB, so that large packets are
/// still there when they are copied for the second time.
const MOST_BYTES: usize = 256 << 10;

/// How to start the sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorConfig {
    /// How much is captured of a packet once the state that was there before is [read](Sensor::restate). `None`: no
    /// packet until [`Capture::set`] asks for them.
    pub snap_length: Option<SnapLength>,
    /// Bytes of the ring buffer between kernel and sensor: a power of two within [`RING_BYTES`].
    pub ring_bytes: u32,
    /// How to learn who uses a socket; `None`: in the best way that the kernel permits.
    pub mechanism: Option<Mechanism>,
    /// Whether processes have the SHA-256 of their executable. A thread reads the files. It needs `CAP_SYS_PTRACE` and
    /// `CAP_DAC_READ_SEARCH`, which it keeps when the caller drops its own.
    pub hash_executables: bool,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            snap_length: Some(SnapLength::ALL),
            ring_bytes: DEFAULT_RING_BYTES,
            mechanism: None,
            hash_executables: false,
        }
    }
}

/// The running sensor. Dropping it detaches and unloads everything.
pub struct Sensor {
    ring: RingBuffer<'static>,
    lender: Lender,
    losses: MapHandle,
    /// As they were read last, and how often in a row they could not be since.
    drops: SourceDrops,
    unread: u32,
    capture: Capture,
    snap_length: Option<SnapLength>,
    /// The time of the latest event that was handed on.
    latest: Nanos,
    decoder: Decoder,
    /// Whether connections are named before their packets are handed on.
    announces: bool,
    mechanism: Mechanism,
    notes: Vec<String>,
    iterators: [Link; 2],
    // Dropped last: the links hold the programs in place, the skeleton holds the maps.
    _links: Vec<Link>,
    _skeleton: HoneSkel<'static>,
}

impl Sensor {
    /// Checks, loads and attaches.
    ///
    /// # Errors
    /// Whatever is missing or refused, with the remedy.
    pub fn start(config: &SensorConfig) -> Result<Self, SensorError> {
        let snap_length = config.snap_length;
        if !RING_BYTES.contains(&config.ring_bytes) || !config.ring_bytes.is_power_of_two() {
            return Err(SensorError::Setting {
                what: "the ring buffer's size",
                found: config.ring_bytes.into(),
                range: "a power of two from 1 MiB to 1 GiB",
            });
        }
        let programs = programs::start(config.mechanism, config.ring_bytes)?;
        let Programs { mechanism, skeleton, links, iterators, notes } = programs;
        let maps = &skeleton.maps;

        let lender = Lender::default();
        let mut builder = RingBufferBuilder::new();
        let callback = lender.clone();
        let refused = |error| SensorError::refused("opening the ring buffer", error);
        builder.add(&maps.events, move |bytes| callback.call(bytes)).map_err(refused)?;
        let ring = builder.build().map_err(refused)?;
        let losses = MapHandle::try_from(&maps.losses).map_err(refused)?;
        let capture = Capture::new(
            MapHandle::try_from(&maps.data).map_err(refused)?,
            MapHandle::try_from(&maps.selection).map_err(refused)?,
            MapHandle::try_from(&maps.left_out).map_err(refused)?,
        );
        let mut decoder = Decoder::start();
        if config.hash_executables {
            let failed = |error| SensorError::io("cannot start the thread that hashes executables", error);
            decoder.hashing = Some(Hashing::start().map_err(failed)?);
        }
        let capture = capture
            .with(MapHandle::try_from(&maps.unwanted_processes).map_err(refused)?, decoder.starts.clone());
        Ok(Self {
            ring,
            lender,
            losses,
            drops: SourceDrops::default(),
            unread: 0,
            capture,
            snap_length,
            latest: 0,
            decoder,
            announces: false,
            mechanism,
            notes,
            iterators,
            _links: links,
            _skeleton: skeleton,
        })
    }

    /// Hands the processes that run and the sockets that are open to `sink`, then begins to capture packets: one that came
    /// earlier could be of a socket whose holders are not known yet. To be called once, before the first poll.
    ///
    /// # Errors
    /// If the kernel's lists cannot be read.
    pub fn restate(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), SensorError> {
        let set_later = |decoder: &mut Decoder, is_later| {
            decoder.hashing.iter_mut().for_each(|hashing| hashing.set_later(is_later));
        };
        set_later(&mut self.decoder, true);
        for (link, what) in self.iterators.iter().zip(["running processes", "open sockets"]) {
            let mut bytes = Vec::new();
            Iter::new(link)
                .map_err(|error| SensorError::refused(format!("listing the {what}"), error))?
                .read_to_end(&mut bytes)
                .map_err(|error| SensorError::io(format!("cannot list the {what}"), error))?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let Some(length) = self.decoder.take(rest, sink)? else {
                    tracing::warn!("the rest of the list of the {what} is lost: {} bytes", rest.len());
                    break;
                };
                rest = &rest[length..];
            }
        }
        set_later(&mut self.decoder, false);
        if self.snap_length.is_some() {
            self.capture.set(self.snap_length)?;
        }
        Ok(())
    }

    /// From now on, names the connections of records before these are handed on ([`Event::Expected`]), or no longer. It does
    /// not unless it is told to: it has to look at records that are not in the processor's cache yet.
    pub const fn announce(&mut self, is_wanted: bool) {
        self.announces = is_wanted;
    }

    /// Waits up to `timeout` for records, then hands at most `most` of them to `sink`, fewer if they are large. Returns how
    /// many.
    ///
    /// # Errors
    /// If the ring buffer cannot be read, or most of what it holds. A single record that cannot be read is counted among the
    /// [drops](Self::drops).
    pub fn poll(
        &mut self,
        timeout: Duration,
        most: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SensorError> {
        let (ring, decoder, latest) = (&self.ring, &mut self.decoder, &mut self.latest);
        let announces = self.announces;
        let before = decoder.hashing.as_ref().map(|_| clock::now());
        let (mut seen, mut bytes_seen) = (0, 0);
        let mut fault = None;
        let mut expected = Vec::with_capacity(AHEAD);
        let mut handler = |bytes: &[u8]| {
            if announces && seen % AHEAD == 0 {
                expected.clear();
                ahead(ring, bytes, AHEAD, |beginning| expected.extend(record::expected(&beginning)));
                sink(Event::Expected(&expected));
            }
            let mut sink = |event: Event<'_>| {
                *latest = event.at().max(*latest);
                sink(event);
            };
            fault = decoder.take(bytes, &mut sink).err();
            seen += 1;
            bytes_seen += bytes.len();
            fault.is_none() && bytes_seen < MOST_BYTES
        };
        let result = self.lender.lend(&mut handler, || match ring.consume_raw_n(most) {
            0 if !timeout.is_zero() => {
                wait(ring.epoll_fd(), timeout);
                ring.consume_raw_n(most)
            }
            result => result,
        });
        self.decoder.ended.drain(..).for_each(|process| self.capture.forget(process));
        if let Some(hashing) = &mut self.decoder.hashing {
            // Not later than what is not handed on yet.
            let at = before.filter(|_| seen == 0).unwrap_or(self.latest);
            hashing.deliver(&mut |process, hash| sink(Event::ProcessHashed { process, hash, at }));
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        if result < 0 && bytes_seen < MOST_BYTES {
            return Err(SensorError::io(
                "cannot read the ring buffer",
                std::io::Error::from_raw_os_error(-result),
            ));
        }
        Ok(seen)
    }

    /// Packets and events that found no room in the ring buffer, or could not be read from it, so far. Also follows a wall clock that was set.
    ///
    /// Reading a counter takes memory of the kernel's. That it has none for a moment is no reason to end a recording: then
    /// the counters are as they were read last.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read time after time.
    pub fn drops(&mut self) -> Result<SourceDrops, SensorError> {
        self.decoder.clock.follow();
        // Whoever asks last, at the end of a section, is to have them: so once more at once.
        match self.read_drops().or_else(|_| self.read_drops()) {
            Ok(drops) => (self.drops, self.unread) = (drops, 0),
            Err(error) if self.unread >= MAX_UNREAD => return Err(error),
            Err(_) => self.unread += 1,
        }
        Ok(self.drops)
    }

    fn read_drops(&self) -> Result<SourceDrops, SensorError> {
        let total = |kind: abi::lost| {
            let values = self
                .losses
                .lookup_percpu(&kind.0.to_ne_bytes(), MapFlags::ANY)
                .map_err(|error| SensorError::refused("reading the loss counters", error))?;
            let values = values.unwrap_or_default();
            let values = values.iter().filter_map(|value| value.first_chunk());
            Ok(values.map(|value| u64::from_ne_bytes(*value)).sum::<u64>())
        };
        let unreadable = self.decoder.lost();
        Ok(SourceDrops {
            packets: total(abi::lost::LOST_PACKETS)? + unreadable.packets,
            processes: total(abi::lost::LOST_PROCESSES)? + unreadable.processes,
            connections: total(abi::lost::LOST_CONNECTIONS)? + unreadable.connections,
        })
    }

    /// What sets which packets are captured and how much of each, also from other threads.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture.clone()
    }

    /// How it learns who uses a socket.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What is weaker here than on the best of machines, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl AsFd for Sensor {
    /// To wait without polling the sensor: readable when the ring buffer is a quarter full.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.ring`, which `self` owns and never replaces.
        unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd()) }
    }
}

/// Waits until the ring buffer asks for it (at a quarter full) or the time is over. A signal ends it early.
fn wait(epoll: i32, timeout: Duration) {
    let mut event = libc::pollfd { fd: epoll, events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd, alive for the call.
    let result = unsafe { libc::poll(&raw mut event, 1, milliseconds) };
    if result < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
        // The kernel has no memory for it, which passes. The records are looked at either way.
        std::thread::sleep(timeout);
    }
}

#[cfg(test)]
mod tests;
