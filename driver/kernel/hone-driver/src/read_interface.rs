//! The read interface: what programs do with `\\.\HoneOut`. Each handle they open is a reader. Called by the I/O manager
//! at PASSIVE_LEVEL, in the context of the program; takes the lock once for each request.
//!
//! A read never waits: it gives what there is, and nothing (length 0) where there is nothing, or where a section ends.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use hone_api::limits::{MAX_RING_BYTES, MIN_RING_BYTES};
use hone_api::{ApiVersion, ControlCode, DataEvent, OpenConnections, Operation, Reply, Request};
use hone_engine::{Filter, OpenConnection, ProcessKey, Read, ReaderOptions, RingBuffer};

use crate::kernel::{Kernel, Purpose, Signal, log};
use crate::queue_manager::Attached;
use crate::{Driver, READ_BYTES, Status, config, grow, statistics};

/// An open reader, as a number that fits where the I/O manager keeps a driver's own value for each open file. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(usize);

impl Handle {
    /// The handle of this number; `None` for 0, as a file that was never opened has it.
    #[must_use]
    pub const fn from_context(context: usize) -> Option<Self> {
        if context == 0 { None } else { Some(Self(context)) }
    }

    /// Its number.
    #[must_use]
    pub const fn context(self) -> usize {
        self.0
    }

    /// The engine's number of the reader.
    const fn reader(self) -> u64 {
        self.0 as u64 - 1
    }
}

/// A control request, as the I/O manager hands it over.
#[derive(Debug)]
pub struct Control<'a> {
    /// The control code.
    pub code: u32,
    /// The one buffer of `METHOD_BUFFERED`: the input, to be replaced by the output. Empty for other methods.
    pub buffer: &'a mut [u8],
    /// Bytes of input.
    pub input: usize,
    /// Most bytes of output.
    pub output: usize,
}

impl<K: Kernel> Driver<K> {
    /// Attaches a reader. `ring_bytes`: the size of ring buffers that the registry says, if it says one.
    ///
    /// # Errors
    /// There are too many readers, or there is no memory.
    pub fn open(&self, ring_bytes: Option<u32>) -> Result<Handle, Status> {
        let allowed = MIN_RING_BYTES..=MAX_RING_BYTES;
        let ring_bytes = ring_bytes.filter(|bytes| {
            let is_allowed = allowed.contains(bytes);
            if !is_allowed {
                log!(K, Warning, "RingBufferSize is {bytes}; allowed: {allowed:?}. The default is used");
            }
            is_allowed
        });
        // To make it takes time in proportion to its size, which nobody is to wait for at DISPATCH_LEVEL.
        let ring_bytes = ring_bytes.map(|bytes| bytes as usize);
        let ring_bytes = self.locked(Purpose::Reader, |state| state.engine.ring_bytes(ring_bytes));
        let ring = RingBuffer::new(ring_bytes.map_err(|_| Status::INVALID_PARAMETER)?)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let attached = self.locked(Purpose::Reader, |state| {
            if state.readers.try_reserve(1).is_err() {
                return Err((Status::INSUFFICIENT_RESOURCES, ring));
            }
            let attached = state.engine.attach_with(ring, &ReaderOptions::default(), state.now);
            let id = attached.map_err(|(error, ring)| (error.into(), ring))?;
            // There is room.
            let _ = grow::push(&mut state.readers, Attached { id, event: None });
            state.retarget();
            state.wake();
            self.readers.store(state.readers.len(), Relaxed);
            Ok(id.get())
        });
        // What was not used is freed here, without the lock.
        let number = attached.map_err(|(status, _ring)| status)?;
        log!(K, Information, "reader {number} attaches");
        let number = usize::try_from(number).ok().and_then(|number| number.checked_add(1));
        number.map(Handle).ok_or(Status::INSUFFICIENT_RESOURCES)
    }

    /// Detaches a reader; what it has not read is given up. Whether it was attached.
    pub fn close(&self, handle: Handle) -> bool {
        let closed = self.locked(Purpose::Reader, |state| {
            let place = state.readers.iter().position(|reader| reader.id.get() == handle.reader())?;
            let reader = state.readers.swap_remove(place);
            let detached = state.engine.begin_detach(reader.id);
            state.retarget();
            self.readers.store(state.readers.len(), Relaxed);
            Some((reader, detached))
        });
        log!(K, Information, "reader {} detaches", handle.reader());
        // The event and the ring buffer are let go of here, without the lock.
        let Some((_reader, detached)) = closed else { return false };
        if let Some(mut detached) = detached {
            while !self.locked(Purpose::Reader, |state| state.engine.release_blocks(&mut detached)) {}
        }
        true
    }

    /// Fills `buffer` with what waits for the reader, in whole blocks if the buffer has room for the next one; gives how
    /// many bytes.
    ///
    /// # Errors
    /// The reader is not attached, or the buffer is empty.
    pub fn read(&self, handle: Handle, buffer: &mut [u8]) -> Result<usize, Status> {
        let length = buffer.len().min(READ_BYTES);
        self.locked(Purpose::Read, |state| {
            let id = state.reader(handle.reader())?.id;
            let read = state.engine.read(id, &mut buffer[..length], state.now)?;
            state.wake();
            Ok(match read {
                Read::Bytes(bytes) => bytes,
                Read::Empty | Read::SectionEnd => 0,
            })
        })
    }

    /// Carries out a control request; gives how many bytes of `buffer` are output.
    ///
    /// # Errors
    /// [`Status::INVALID_DEVICE_REQUEST`]: no such operation. [`Status::INVALID_PARAMETER`]: the input is not as it has to
    /// be. [`Status::BUFFER_TOO_SMALL`]: for the output. Others: it could not be done.
    pub fn control(&self, handle: Handle, control: Control<'_>) -> Result<usize, Status> {
        let Control { code, buffer, input, output } = control;
        let operation = Operation::try_from(ControlCode(code)).map_err(|_| Status::INVALID_DEVICE_REQUEST)?;
        let room = output.min(buffer.len());
        if operation.reply_length() > room {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let given = buffer.get(..input).ok_or(Status::INVALID_PARAMETER)?;
        let request = Request::parse(operation, given).map_err(|error| {
            log!(K, Warning, "reader {}: {error}", handle.reader());
            Status::INVALID_PARAMETER
        })?;
        let encode = |reply: Reply<'_>, to: &mut [u8]| {
            reply.encode(&mut to[..room]).map_err(|_| Status::BUFFER_TOO_SMALL)
        };
        match request {
            Request::GetSnapLength => {
                let length = self.locked(Purpose::Read, |state| {
                    let id = state.reader(handle.reader())?.id;
                    state.engine.snap_length(id).ok_or(Status::INVALID_HANDLE)
                })?;
                encode(Reply::SnapLength(length), buffer)
            }
            Request::GetStatistics => {
                let all = self.statistics(handle)?;
                encode(Reply::OriginalStatistics(&all.to_original()), buffer)
            }
            Request::GetStatistics2 => encode(Reply::Statistics(&self.statistics(handle)?), buffer),
            Request::GetVersion => {
                encode(Reply::Version(ApiVersion::of_service(statistics::VERSION)), buffer)
            }
            other => self.change(handle, &other).map(|()| 0),
        }
    }

    /// Carries out a request that has no output.
    fn change(&self, handle: Handle, request: &Request<'_>) -> Result<(), Status> {
        match *request {
            Request::MarkRestart => self.with_reader(handle, Purpose::Section, |state, id| {
                state.engine.mark_restart(id, state.now)?;
                state.wake();
                Ok(())
            }),
            Request::SetSnapLength(length) => self.with_reader(handle, Purpose::Read, |state, id| {
                state.engine.set_snap_length(id, length).map_err(|_| Status::INVALID_HANDLE)?;
                state.retarget();
                Ok(())
            }),
            // A 32-bit id stands for the connection that has this whole id.
            Request::FilterConnections(ids) => {
                self.set_filter(handle, &listed(ids.len(), ids.iter())?, |ids| {
                    Filter::ExcludeConnections(ids)
                })
            }
            Request::IncludeConnections(ids) => {
                self.set_filter(handle, &listed(ids.len(), ids.iter())?, |ids| {
                    Filter::IncludeConnections(ids)
                })
            }
            Request::FilterProcesses(ids) => {
                self.set_filter(handle, &listed(ids.len(), ids.iter())?, |ids| Filter::ExcludeProcesses(ids))
            }
            Request::IncludeProcesses(ids) => {
                self.set_filter(handle, &listed(ids.len(), ids.iter())?, |ids| Filter::IncludeProcesses(ids))
            }
            Request::SetDataEvent(event) => self.set_event(handle, event),
            Request::SetOpenConnections(list) => self.set_open_connections(list),
            Request::SetRingBytes(bytes) => self.locked(Purpose::Read, |state| {
                let set = state.engine.set_default_ring_bytes(bytes as usize);
                set.map(drop).map_err(|_| Status::INVALID_PARAMETER)
            }),
            _ => Err(Status::NOT_SUPPORTED),
        }
    }

    fn with_reader(
        &self,
        handle: Handle,
        purpose: Purpose,
        work: impl FnOnce(&mut crate::queue_manager::State<K::Event>, hone_engine::ReaderId) -> Result<(), Status>,
    ) -> Result<(), Status> {
        self.locked(purpose, |state| {
            let id = state.reader(handle.reader())?.id;
            work(state, id)
        })
    }

    fn set_filter<T>(
        &self,
        handle: Handle,
        ids: &[T],
        filter: impl FnOnce(&[T]) -> Filter<'_>,
    ) -> Result<(), Status> {
        let filter = filter(ids);
        self.with_reader(handle, Purpose::IdLists, |state, id| Ok(state.engine.set_filter(id, filter)?))
    }

    /// The event is set at once: what there is to read already will not set it.
    fn set_event(&self, handle: Handle, event: DataEvent) -> Result<(), Status> {
        let event = event.handle().map(K::event).transpose()?;
        let former = self.locked(Purpose::Read, |state| {
            let reader = state.reader(handle.reader())?;
            if let Some(event) = &event {
                event.set();
            }
            Ok::<_, Status>(core::mem::replace(&mut reader.event, event))
        })?;
        // Let go of here, without the lock.
        drop(former);
        Ok(())
    }

    /// Replaces the list of open connections. A record whose process does not run, or is not the one that it was, says
    /// nothing, and is left out.
    fn set_open_connections(&self, list: OpenConnections<'_>) -> Result<(), Status> {
        let mut records = grow::vec(list.len())?;
        self.locked(Purpose::OpenConnections, |state| {
            for record in list.iter() {
                let same = |process: &ProcessKey| record.process_start.is_none_or(|at| at == process.start);
                let Some(process) = state.engine.process(record.process).filter(same) else { continue };
                let record = OpenConnection {
                    family: record.family,
                    protocol: record.protocol,
                    local_port: record.local_port,
                    local_address: record.local,
                    remote: record.remote.map(|remote| (remote.ip(), remote.port())),
                    process,
                };
                grow::push(&mut records, record)?;
            }
            state.engine.set_open_connections(&records, state.now)?;
            state.wake();
            Ok::<_, Status>(())
        })?;
        log!(
            K,
            Information,
            "{} open connections listed, {} of running processes",
            list.len(),
            records.len()
        );
        Ok(())
    }

    fn statistics(&self, handle: Handle) -> Result<hone_api::Statistics, Status> {
        self.locked(Purpose::Read, |state| {
            let id = state.reader(handle.reader())?.id;
            let pinned = config::pinned_bytes(state.readers.len());
            Ok(statistics::statistics(&state.engine, id, self.loaded, state.now, pinned))
        })
    }
}

/// The ids of a list, in memory of their own.
fn listed<T>(length: usize, ids: impl Iterator<Item = T>) -> Result<Vec<T>, Status> {
    let mut list = grow::vec(length)?;
    for id in ids {
        grow::push(&mut list, id)?;
    }
    Ok(list)
}
