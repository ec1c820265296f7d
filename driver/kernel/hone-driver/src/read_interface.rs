//! The read interface: how programs use `\\.\HoneOut`. Each handle that a program opens is one reader. The I/O manager
//! calls this at PASSIVE_LEVEL, in the program's context; it takes the lock once for each request.
//!
//! A read never waits. It returns what is available; it returns nothing (length 0) when there is no data, or at the end
//! of a section.

use core::ops::RangeInclusive;
use core::sync::atomic::Ordering::Relaxed;

use hone_api::limits::{MAX_FILTER_IDS, MAX_RING_BYTES, MIN_RING_BYTES};
use hone_api::{ControlCode, DataEvent, LogLevels, Mechanism, Operation, Request};
use hone_engine::{Nanos, Read, ReaderId, RingBuffer, SnapLength};
use hone_queue::{Answer, Refused, Service, Shell};

use crate::kernel::{Kernel, Purpose, Setting, Signal, log};
use crate::queue_manager::{Attached, Readers, Wanted};
use crate::{Driver, MAX_BLOCK_BYTES, READ_BYTES, Status, config};

/// Number of an open reader. It fits into the value that the I/O manager keeps for a driver with each open file. Never
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(usize);

impl Handle {
    /// The handle with this number. `None` for 0, which a file that was never opened has.
    #[must_use]
    pub const fn from_context(context: usize) -> Option<Self> {
        if context == 0 { None } else { Some(Self(context)) }
    }

    /// The handle's number.
    #[must_use]
    pub const fn context(self) -> usize {
        self.0
    }

    /// The engine's id for this reader.
    const fn reader(self) -> ReaderId {
        ReaderId::new(self.0 as u64 - 1)
    }
}

/// The allowed sizes of a ring buffer, in bytes.
const RING_BYTES: RangeInclusive<u32> = MIN_RING_BYTES..=MAX_RING_BYTES;

/// A control request, as the I/O manager hands it over.
#[derive(Debug)]
pub struct Control<'a> {
    /// Control code.
    pub code: u32,
    /// The single buffer of `METHOD_BUFFERED`: it holds the input and is then overwritten by the output. Empty for
    /// other methods.
    pub buffer: &'a mut [u8],
    /// Length of the input, in bytes.
    pub input: usize,
    /// Most bytes that the output may have.
    pub output: usize,
}

impl<K: Kernel> Driver<K> {
    /// Attaches a reader. `ring_bytes` is the ring buffer size from the registry, if one is set there. It is then the
    /// size for all readers that attach from now on.
    ///
    /// # Errors
    /// There are too many readers, or there is not enough memory.
    pub fn open(&self, ring_bytes: Option<u32>) -> Result<Handle, Status> {
        let ring_bytes = ring_bytes.filter(|bytes| {
            let is_allowed = RING_BYTES.contains(bytes);
            if !is_allowed {
                log!(self, Warning, "RingBufferSize is {bytes}; allowed: {RING_BYTES:?}. It is not used");
            }
            is_allowed
        });
        // The time to make a ring buffer grows with its size. It is made without the lock, because under the lock
        // (DISPATCH_LEVEL) other processors would wait for it.
        let ring_bytes = self.locked(Purpose::Reader, |state| match ring_bytes {
            Some(bytes) => state.queue.engine.set_default_ring_bytes(bytes as usize),
            None => state.queue.engine.ring_bytes(None),
        });
        let ring = RingBuffer::new(ring_bytes.map_err(|_| Status::INVALID_PARAMETER)?)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let attached = self.locked(Purpose::Reader, |state| {
            let queue = &mut state.queue;
            let attached = queue.attach(Attached::NEW, ring, SnapLength::ALL, state.now);
            queue.wake();
            self.readers.store(queue.readers(), Relaxed);
            attached
        });
        // A ring buffer that was not used is freed here, without the lock.
        let number = attached.map_err(|(error, _ring, _reader)| Status::from(error))?.get();
        log!(self, Information, "reader {number} attaches");
        let number = usize::try_from(number).ok().and_then(|number| number.checked_add(1));
        number.map(Handle).ok_or(Status::INSUFFICIENT_RESOURCES)
    }

    /// Detaches a reader and discards what it has not read. Returns whether it was attached.
    pub fn close(&self, _: K::Passive, handle: Handle) -> bool {
        let closed = self.locked(Purpose::Reader, |state| {
            let closed = state.queue.detach(handle.reader());
            self.readers.store(state.queue.readers(), Relaxed);
            closed
        });
        log!(self, Information, "reader {} detaches", handle.reader().get());
        // The event and the ring buffer are freed here, without the lock.
        let Some((_reader, detached)) = closed else { return false };
        if let Some(detached) = detached {
            hone_queue::release(&Locked(self), detached);
        }
        true
    }

    /// Fills `buffer` with the reader's next data and returns the number of bytes. Returns whole blocks, unless the
    /// next block does not fit into the buffer.
    ///
    /// # Errors
    /// The reader is not attached, or the buffer is empty.
    pub fn read(&self, handle: Handle, buffer: &mut [u8]) -> Result<usize, Status> {
        let length = buffer.len().min(READ_BYTES);
        self.locked(Purpose::Read, |state| {
            let read = state.queue.engine.read(handle.reader(), &mut buffer[..length], state.now)?;
            state.queue.wake();
            Ok(match read {
                Read::Bytes(bytes) => bytes,
                Read::Empty | Read::SectionEnd => 0,
            })
        })
    }

    /// Carries out a control request. Returns the number of output bytes in `buffer`.
    ///
    /// # Errors
    /// [`Status::INVALID_DEVICE_REQUEST`]: there is no such operation. [`Status::INVALID_PARAMETER`]: the input is
    /// malformed. [`Status::BUFFER_TOO_SMALL`]: the output does not fit. Other errors: the operation failed, or a
    /// setting cannot be kept.
    pub fn control(
        &self,
        passive: K::Passive,
        handle: Handle,
        control: Control<'_>,
    ) -> Result<usize, Status> {
        let Control { code, buffer, input, output } = control;
        let operation = Operation::try_from(ControlCode(code)).map_err(|_| Status::INVALID_DEVICE_REQUEST)?;
        let room = output.min(buffer.len());
        if operation.reply_length() > room {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let given = buffer.get(..input).ok_or(Status::INVALID_PARAMETER)?;
        let request = Request::parse(operation, given).map_err(|error| {
            log!(self, Warning, "reader {}: {error}", handle.reader().get());
            Status::INVALID_PARAMETER
        })?;
        // Kept first: what cannot be kept is refused, and then nothing has changed.
        match request {
            Request::SetRingBytes(bytes) if RING_BYTES.contains(&bytes) => {
                K::keep(passive, Setting::RingBytes, bytes)?
            }
            Request::SetLogLevels(levels) => K::keep(passive, Setting::LogLevels, levels.mask())?,
            _ => {}
        }
        let answer = match request {
            Request::SetSelection(text) => self.set_selection(handle, &request, text.len())?,
            Request::SetDataEvent(event) => self.set_event(passive, handle, event).map(|()| Answer::Done)?,
            request => hone_queue::carry_out(&Locked(self), Some(handle.reader()), &request)?,
        };
        if let Answer::OpenConnections { listed, known } = answer {
            log!(self, Information, "{listed} open connections listed, {known} of running processes");
        }
        answer.reply().encode(&mut buffer[..room]).map_err(|_| Status::BUFFER_TOO_SMALL)
    }

    /// Sets a reader's selection, of so many bytes of text, if those of all readers together are not too long. Its text
    /// counts from the beginning, so that no two requests use the same room. Apart from the other requests, because to read
    /// a text takes much of the stack.
    #[inline(never)]
    fn set_selection(&self, handle: Handle, request: &Request<'_>, bytes: usize) -> Result<Answer, Status> {
        let former = self.locked(Purpose::IdLists, |state| {
            let mut others = 0;
            state.queue.for_each(|_, id, reader| {
                others += if id == handle.reader() { 0 } else { reader.selection_bytes };
            });
            let reader = state.queue.reader(handle.reader()).ok_or(Status::INVALID_HANDLE)?;
            if reader.is_selecting {
                return Err(Status::DEVICE_BUSY);
            }
            if others + bytes > config::MAX_SELECTIONS_BYTES {
                return Err(Status::QUOTA_EXCEEDED);
            }
            reader.is_selecting = true;
            Ok(core::mem::replace(&mut reader.selection_bytes, bytes))
        })?;
        let shell = Locked(self);
        let set = match hone_queue::prepared_selection(&shell, request).transpose() {
            Ok(selection) => hone_queue::set_selection(&shell, handle.reader(), selection.flatten()),
            Err(error) => Err(Refused::SelectionText(error)),
        };
        self.locked(Purpose::IdLists, |state| {
            if let Some(reader) = state.queue.reader(handle.reader()) {
                reader.is_selecting = false;
                if set.is_err() {
                    reader.selection_bytes = former;
                }
            }
        });
        set.map_err(|why| {
            log!(self, Warning, "reader {}: the selection is refused: {why:?}", handle.reader().get());
            why.into()
        })
    }

    /// Sets a reader's event object. The new event is signalled at once, because data that is already waiting will not
    /// signal it later.
    fn set_event(&self, passive: K::Passive, handle: Handle, event: DataEvent) -> Result<(), Status> {
        let mut event = event.handle().map(|handle| K::event(passive, handle)).transpose()?;
        let set = self.locked(Purpose::Read, |state| {
            let reader = state.queue.reader(handle.reader()).ok_or(Status::INVALID_HANDLE)?;
            if let Some(event) = &event {
                event.set();
            }
            core::mem::swap(&mut reader.event, &mut event);
            Ok(())
        });
        // The former event, or the new one if there is no such reader, is released here, without the lock.
        drop(event);
        set
    }
}

/// The driver in the form that `hone-queue` works with.
struct Locked<'a, K: Kernel>(&'a Driver<K>);

impl<K: Kernel> Shell for Locked<'_, K> {
    type Reader = Attached<K::Event>;
    type Capture = Wanted;
    const MAX_FILTER_IDS: usize = MAX_FILTER_IDS;

    fn locked<T>(
        &self,
        purpose: hone_queue::Purpose,
        work: impl FnOnce(&mut Readers<K::Event>, Nanos) -> T + Send,
    ) -> T {
        self.0.locked(charged(purpose), |state| work(&mut state.queue, state.now))
    }

    fn prepare<T>(&self, purpose: hone_queue::Purpose, work: impl FnOnce() -> T) -> T {
        K::charge(charged(purpose));
        let result = work();
        K::charge(Purpose::Driver);
        result
    }

    fn service(&self, now: Nanos) -> Service {
        Service {
            version: config::VERSION,
            loaded: now.saturating_sub(self.0.loaded),
            max_block_bytes: MAX_BLOCK_BYTES,
            mechanism: Some(Mechanism::Callouts),
        }
    }

    fn log_levels(&self) -> LogLevels {
        self.0.log_levels()
    }

    fn set_log_levels(&self, levels: LogLevels) {
        self.0.set_log_levels(levels);
    }
}

/// Translates the purpose of a queue operation into the purpose of a memory allocation.
const fn charged(purpose: hone_queue::Purpose) -> Purpose {
    match purpose {
        hone_queue::Purpose::Reader => Purpose::Reader,
        hone_queue::Purpose::Section => Purpose::Section,
        hone_queue::Purpose::Read => Purpose::Read,
        hone_queue::Purpose::IdLists => Purpose::IdLists,
        hone_queue::Purpose::OpenConnections => Purpose::OpenConnections,
    }
}
