//! Requests: what a reader asks for, and its bytes.

use core::num::NonZeroU64;

use hone_types::{LogLevels, SnapLength};

use crate::layout::Bytes;
use crate::limits::{
    HARD_MAX_RING_BYTES, MAX_FILTER_IDS, MAX_OPEN_CONNECTIONS, MAX_SELECTION_INPUT, MIN_RING_BYTES,
};
use crate::{Allowed, BufferTooSmall, Fixed, List, OpenConnections, Operation, RequestError};

/// A list of connection ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionIds<'a> {
    /// The original's ids, of 32 bits. A service with longer ids matches such an id only with the connection that has
    /// exactly this number as its whole id.
    Bits32(List<'a, u32>),
    /// Ids of 64 bits.
    Bits64(List<'a, u64>),
}

impl<'a> ConnectionIds<'a> {
    /// How many there are; at most [`MAX_FILTER_IDS`].
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bits32(ids) => ids.len(),
            Self::Bits64(ids) => ids.len(),
        }
    }

    /// Whether the list is empty, which turns the filter off.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids as 64-bit numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        let (short, long) = match *self {
            Self::Bits32(ids) => (ids, List::EMPTY),
            Self::Bits64(ids) => (List::EMPTY, ids),
        };
        short.iter().map(u64::from).chain(long.iter())
    }
}

/// A handle of the reader's process to an event object. Here it is only a number. The code that uses it looks it up in
/// the caller's process, with the caller's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEvent {
    /// From a 32-bit program.
    Bits32(u32),
    /// From a 64-bit program.
    Bits64(u64),
}

impl DataEvent {
    /// The handle as a 64-bit kernel knows it; `None`: no event any more. A 32-bit handle is sign-extended, as Windows
    /// documents for handles that 32-bit and 64-bit programs share.
    #[must_use]
    pub const fn handle(self) -> Option<NonZeroU64> {
        NonZeroU64::new(match self {
            Self::Bits32(handle) => (handle.cast_signed() as i64).cast_unsigned(),
            Self::Bits64(handle) => handle,
        })
    }
}

/// What a reader asks for, checked: every number is within [`limits`](crate::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// [`Operation::MarkRestart`].
    MarkRestart,
    /// [`Operation::FilterConnections`] or [`Operation::FilterConnections64`].
    FilterConnections(ConnectionIds<'a>),
    /// [`Operation::FilterProcesses`].
    FilterProcesses(List<'a, u32>),
    /// [`Operation::IncludeConnections64`].
    IncludeConnections(List<'a, u64>),
    /// [`Operation::IncludeProcesses`].
    IncludeProcesses(List<'a, u32>),
    /// [`Operation::SetSnapLength`].
    SetSnapLength(SnapLength),
    /// [`Operation::GetSnapLength`].
    GetSnapLength,
    /// [`Operation::SetDataEvent32`] or [`Operation::SetDataEvent64`].
    SetDataEvent(DataEvent),
    /// [`Operation::SetOpenConnections`] or [`Operation::SetOpenConnections2`].
    SetOpenConnections(OpenConnections<'a>),
    /// [`Operation::GetStatistics`].
    GetStatistics,
    /// [`Operation::GetStatistics2`].
    GetStatistics2,
    /// [`Operation::SetRingBytes`].
    SetRingBytes(u32),
    /// [`Operation::SetSelection`]: text, of which only the length is checked here.
    SetSelection(&'a [u8]),
    /// [`Operation::SetPacketIds`].
    SetPacketIds(bool),
    /// [`Operation::SetLogLevels`].
    SetLogLevels(LogLevels),
    /// [`Operation::GetLogLevels`].
    GetLogLevels,
    /// [`Operation::GetVersion`].
    GetVersion,
}

/// Length of the record count before the records of open connections, bytes.
const COUNT: usize = u32::BYTES;

impl<'a> Request<'a> {
    /// Checks the input of an operation.
    ///
    /// In the original's operations, an input of fixed length, or one that contains its own length, may be longer than
    /// needed, because the original allows this. The additional bytes are ignored. Lists and Hone's own operations must
    /// have the exact length.
    ///
    /// A snap length above the largest allowed one means [`SnapLength::ALL`].
    ///
    /// # Errors
    /// [`RequestError`]: a length or a value is not allowed.
    pub fn parse(operation: Operation, input: &'a [u8]) -> Result<Self, RequestError> {
        let none = |request| fixed(operation, input, 0).map(|_| request);
        match operation {
            Operation::MarkRestart => none(Self::MarkRestart),
            Operation::GetSnapLength => none(Self::GetSnapLength),
            Operation::GetStatistics => none(Self::GetStatistics),
            Operation::GetStatistics2 => none(Self::GetStatistics2),
            Operation::GetVersion => none(Self::GetVersion),
            Operation::GetLogLevels => none(Self::GetLogLevels),
            Operation::FilterConnections => {
                ids(operation, input).map(ConnectionIds::Bits32).map(Self::FilterConnections)
            }
            Operation::FilterConnections64 => {
                ids(operation, input).map(ConnectionIds::Bits64).map(Self::FilterConnections)
            }
            Operation::IncludeConnections64 => ids(operation, input).map(Self::IncludeConnections),
            Operation::FilterProcesses => ids(operation, input).map(Self::FilterProcesses),
            Operation::IncludeProcesses => ids(operation, input).map(Self::IncludeProcesses),
            Operation::SetSnapLength => {
                Ok(Self::SetSnapLength(SnapLength::lenient(number(operation, input)?)))
            }
            Operation::SetDataEvent32 => {
                number(operation, input).map(DataEvent::Bits32).map(Self::SetDataEvent)
            }
            Operation::SetDataEvent64 => {
                number(operation, input).map(DataEvent::Bits64).map(Self::SetDataEvent)
            }
            Operation::SetOpenConnections => {
                connections(operation, input, OpenConnections::Original).map(Self::SetOpenConnections)
            }
            Operation::SetOpenConnections2 => {
                connections(operation, input, OpenConnections::Full).map(Self::SetOpenConnections)
            }
            Operation::SetRingBytes => {
                let bytes: u32 = number(operation, input)?;
                if !(MIN_RING_BYTES..=HARD_MAX_RING_BYTES).contains(&bytes) {
                    return Err(RequestError::Value {
                        operation,
                        what: "size of the ring buffer",
                        at: 0,
                        value: bytes.into(),
                        allowed: Allowed::Range(MIN_RING_BYTES.into(), HARD_MAX_RING_BYTES.into()),
                    });
                }
                Ok(Self::SetRingBytes(bytes))
            }
            Operation::SetSelection if input.len() > MAX_SELECTION_INPUT => Err(RequestError::Length {
                operation,
                length: input.len(),
                minimum: 0,
                maximum: MAX_SELECTION_INPUT,
                unit: 1,
            }),
            Operation::SetSelection => Ok(Self::SetSelection(input)),
            Operation::SetPacketIds => match number::<u32>(operation, input)? {
                value @ 0..=1 => Ok(Self::SetPacketIds(value == 1)),
                value => Err(RequestError::Value {
                    operation,
                    what: "whether packets have ids",
                    at: 0,
                    value: value.into(),
                    allowed: Allowed::Range(0, 1),
                }),
            },
            Operation::SetLogLevels => {
                let mask: u32 = number(operation, input)?;
                LogLevels::from_mask(mask).map(Self::SetLogLevels).map_err(|_| RequestError::Value {
                    operation,
                    what: "mask of the log levels",
                    at: 0,
                    value: mask.into(),
                    allowed: Allowed::Range(0, LogLevels::ALL.into()),
                })
            }
        }
    }

    /// The operation that asks for it.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::MarkRestart => Operation::MarkRestart,
            Self::FilterConnections(ConnectionIds::Bits32(_)) => Operation::FilterConnections,
            Self::FilterConnections(ConnectionIds::Bits64(_)) => Operation::FilterConnections64,
            Self::FilterProcesses(_) => Operation::FilterProcesses,
            Self::IncludeConnections(_) => Operation::IncludeConnections64,
            Self::IncludeProcesses(_) => Operation::IncludeProcesses,
            Self::SetSnapLength(_) => Operation::SetSnapLength,
            Self::GetSnapLength => Operation::GetSnapLength,
            Self::SetDataEvent(DataEvent::Bits32(_)) => Operation::SetDataEvent32,
            Self::SetDataEvent(DataEvent::Bits64(_)) => Operation::SetDataEvent64,
            Self::SetOpenConnections(OpenConnections::Original(_)) => Operation::SetOpenConnections,
            Self::SetOpenConnections(OpenConnections::Full(_)) => Operation::SetOpenConnections2,
            Self::GetStatistics => Operation::GetStatistics,
            Self::GetStatistics2 => Operation::GetStatistics2,
            Self::SetRingBytes(_) => Operation::SetRingBytes,
            Self::SetSelection(_) => Operation::SetSelection,
            Self::SetPacketIds(_) => Operation::SetPacketIds,
            Self::SetLogLevels(_) => Operation::SetLogLevels,
            Self::GetLogLevels => Operation::GetLogLevels,
            Self::GetVersion => Operation::GetVersion,
        }
    }

    /// Writes the input into a buffer. Returns its length in bytes. Send it with [`operation`](Self::operation).
    ///
    /// Does not check the bounds: a client may encode a request that the service refuses.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut number = [0; u64::BYTES];
        let mut small = |value: u64, length: usize| {
            value.put(&mut number);
            length
        };
        let (head, list): (usize, &[u8]) = match self {
            Self::MarkRestart
            | Self::GetSnapLength
            | Self::GetStatistics
            | Self::GetStatistics2
            | Self::GetLogLevels
            | Self::GetVersion => (0, &[]),
            Self::FilterConnections(ConnectionIds::Bits32(ids))
            | Self::FilterProcesses(ids)
            | Self::IncludeProcesses(ids) => (0, ids.bytes()),
            Self::FilterConnections(ConnectionIds::Bits64(ids)) | Self::IncludeConnections(ids) => {
                (0, ids.bytes())
            }
            Self::SetSelection(text) => (0, text),
            Self::SetSnapLength(length) => (small(length.number().into(), u32::BYTES), &[]),
            Self::SetPacketIds(wanted) => (small((*wanted).into(), u32::BYTES), &[]),
            Self::SetLogLevels(levels) => (small(levels.mask().into(), u32::BYTES), &[]),
            Self::SetRingBytes(value) | Self::SetDataEvent(DataEvent::Bits32(value)) => {
                (small((*value).into(), u32::BYTES), &[])
            }
            Self::SetDataEvent(DataEvent::Bits64(value)) => (small(*value, u64::BYTES), &[]),
            Self::SetOpenConnections(connections) => {
                let records = match connections {
                    OpenConnections::Original(records) => records.bytes(),
                    OpenConnections::Full(records) => records.bytes(),
                };
                // A count beyond 32 bits is beyond every bound, so the service refuses it whatever number is sent.
                (small(connections.len().try_into().unwrap_or(u64::MAX).min(u32::MAX.into()), COUNT), records)
            }
        };
        let needed = head.saturating_add(list.len());
        let available = buffer.len();
        let Some(buffer) = buffer.get_mut(..needed) else {
            return Err(BufferTooSmall { needed, available });
        };
        let (first, rest) = buffer.split_at_mut(head);
        first.copy_from_slice(&number[..head]);
        rest.copy_from_slice(list);
        Ok(needed)
    }
}

/// The first `length` bytes of an input that has that length.
fn fixed(operation: Operation, input: &[u8], length: usize) -> Result<&[u8], RequestError> {
    let maximum = if operation.is_original() { usize::MAX } else { length };
    match input.get(..length) {
        Some(bytes) if input.len() <= maximum => Ok(bytes),
        _ => Err(RequestError::Length { operation, length: input.len(), minimum: length, maximum, unit: 1 }),
    }
}

fn number<T: Bytes>(operation: Operation, input: &[u8]) -> Result<T, RequestError> {
    fixed(operation, input, T::BYTES).map(T::get)
}

/// All of an input that is a list of ids.
fn ids<T: Fixed>(operation: Operation, input: &[u8]) -> Result<List<'_, T>, RequestError> {
    let (length, unit) = (input.len(), T::BYTES);
    let maximum = MAX_FILTER_IDS * unit;
    if length > maximum || !length.is_multiple_of(unit) {
        return Err(RequestError::Length { operation, length, minimum: 0, maximum, unit });
    }
    Ok(List::new(input))
}

/// An input that is a count and so many records.
fn connections<'a, T: Fixed>(
    operation: Operation,
    input: &'a [u8],
    form: impl Fn(List<'a, T>) -> OpenConnections<'a>,
) -> Result<OpenConnections<'a>, RequestError> {
    let Some((count, records)) = input.split_at_checked(COUNT) else {
        let maximum = COUNT + MAX_OPEN_CONNECTIONS * T::BYTES;
        return Err(RequestError::Length {
            operation,
            length: input.len(),
            minimum: COUNT,
            maximum,
            unit: 1,
        });
    };
    let value = |what, at, value, allowed| RequestError::Value { operation, what, at, value, allowed };
    let count = u32::get(count);
    let length = match usize::try_from(count) {
        Ok(count) if count <= MAX_OPEN_CONNECTIONS => COUNT + count * T::BYTES,
        _ => {
            let allowed = Allowed::Range(0, MAX_OPEN_CONNECTIONS as u64);
            return Err(value("number of open connections", 0, count.into(), allowed));
        }
    };
    fixed(operation, input, length)?;
    let connections = form(List::new(&records[..length - COUNT]));
    match connections.flaw() {
        None => Ok(connections),
        Some((what, at, found, allowed)) => Err(value(what, COUNT + at, found, allowed)),
    }
}
