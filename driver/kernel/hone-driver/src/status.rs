//! Status values that the driver returns when it refuses a request. The numbers are the kernel's ([MS-ERREF], section
//! 2.3).

use hone_engine::{
    AttachError, FilterError, OpenListError, OutOfMemory, ReadError, RestartError, SelectionError,
};
use hone_queue::Refused;

/// An `NTSTATUS`: why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Win32: `ERROR_INVALID_HANDLE`.
    pub const INVALID_HANDLE: Self = Self(0xC000_0008);
    /// Win32: `ERROR_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self(0xC000_000D);
    /// Win32: `ERROR_INVALID_FUNCTION`.
    pub const INVALID_DEVICE_REQUEST: Self = Self(0xC000_0010);
    /// Win32: `ERROR_INSUFFICIENT_BUFFER`.
    pub const BUFFER_TOO_SMALL: Self = Self(0xC000_0023);
    /// Win32: `ERROR_NO_SYSTEM_RESOURCES`.
    pub const INSUFFICIENT_RESOURCES: Self = Self(0xC000_009A);
    /// Win32: `ERROR_BUSY`.
    pub const DEVICE_BUSY: Self = Self(0x8000_0011);
    /// Win32: `ERROR_TOO_MANY_OPEN_FILES`.
    pub const TOO_MANY_OPENED_FILES: Self = Self(0xC000_011F);
    /// Win32: `ERROR_NOT_ENOUGH_QUOTA`.
    pub const QUOTA_EXCEEDED: Self = Self(0xC000_0044);
    /// Win32: `ERROR_IMPLEMENTATION_LIMIT`.
    pub const IMPLEMENTATION_LIMIT: Self = Self(0xC000_042B);
    /// Win32: `ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = Self(0xC000_00BB);
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotAttached => Self::INVALID_HANDLE,
            Refused::Unsupported => Self::NOT_SUPPORTED,
            Refused::RingBytes(_) => Self::INVALID_PARAMETER,
            Refused::Restart(error) => error.into(),
            Refused::Filter(error) => error.into(),
            Refused::SelectionText(error) if error.is_out_of_memory() => Self::INSUFFICIENT_RESOURCES,
            Refused::SelectionText(_) => Self::INVALID_PARAMETER,
            Refused::Selection(error) => error.into(),
            Refused::OpenList(error) => error.into(),
        }
    }
}

impl From<OutOfMemory> for Status {
    fn from(_: OutOfMemory) -> Self {
        Self::INSUFFICIENT_RESOURCES
    }
}

impl From<AttachError> for Status {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::TooManyReaders => Self::TOO_MANY_OPENED_FILES,
            AttachError::RingBytes(_) => Self::INVALID_PARAMETER,
            _ => Self::INSUFFICIENT_RESOURCES,
        }
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnknownReader => Self::INVALID_HANDLE,
            _ => Self::INVALID_PARAMETER,
        }
    }
}

impl From<FilterError> for Status {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::UnknownReader => Self::INVALID_HANDLE,
            FilterError::TooMany { .. } => Self::INVALID_PARAMETER,
            _ => Self::INSUFFICIENT_RESOURCES,
        }
    }
}

impl From<SelectionError> for Status {
    fn from(error: SelectionError) -> Self {
        match error {
            SelectionError::UnknownReader => Self::INVALID_HANDLE,
            SelectionError::TooMany => Self::QUOTA_EXCEEDED,
            SelectionError::TooLong { .. } => Self::IMPLEMENTATION_LIMIT,
            SelectionError::Busy => Self::DEVICE_BUSY,
            _ => Self::INSUFFICIENT_RESOURCES,
        }
    }
}

impl From<RestartError> for Status {
    fn from(error: RestartError) -> Self {
        match error {
            RestartError::UnknownReader => Self::INVALID_HANDLE,
            RestartError::Pending => Self::DEVICE_BUSY,
            _ => Self::INSUFFICIENT_RESOURCES,
        }
    }
}

impl From<OpenListError> for Status {
    fn from(error: OpenListError) -> Self {
        match error {
            OpenListError::TooMany { .. } => Self::INVALID_PARAMETER,
            _ => Self::INSUFFICIENT_RESOURCES,
        }
    }
}
