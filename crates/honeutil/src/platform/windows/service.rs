//! Requests to the driver. Owns the open device; the driver counts it as one more reader.

use std::io;

use hone_api::{LogLevels, Request, Statistics};
use hone_windows::device::Device;

use crate::cli::service_choice::ServiceAddress;
use crate::record::control::Control;

/// `ERROR_INVALID_FUNCTION`: the driver does not know the operation.
const UNKNOWN_OPERATION: i32 = 1;
/// `ERROR_FILE_NOT_FOUND`: there is no such device.
const NOT_FOUND: i32 = 2;
/// `ERROR_ACCESS_DENIED`.
const DENIED: i32 = 5;

/// `ERROR_NOT_SUPPORTED`: an older driver knows selections, but cannot select.
const NOT_SUPPORTED: i32 = 50;
/// `ERROR_IMPLEMENTATION_LIMIT`, of selections: words times processes.
const TOO_MANY_WORDS: i32 = 1292;
/// `ERROR_NOT_ENOUGH_QUOTA`, of selections: those of all readers.
const NO_QUOTA: i32 = 1816;

/// Why the driver cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// It is not there.
    #[error("the driver does not run: `honeutil start` starts it once `honeutil install` has installed it")]
    NotRunning,
    /// The user is not an administrator.
    #[error("only administrators may use the driver: run this in a command prompt opened as administrator")]
    Denied,
    /// It does not know the operation.
    #[error("the driver does not know {0}: it is older than this honeutil. Install the same version of both")]
    Older(&'static str),
    /// A selection has too many words.
    #[error(
        "the driver refuses {0}: it has too many words for the processes that run. Use fewer, such as --children with \
         the common parent"
    )]
    TooManyWords(&'static str),
    /// All selections together are too long.
    #[error(
        "the driver refuses {0}: together with those of other programs that record, it is too long, or they are too \
         many. Use fewer words, or end other recordings"
    )]
    SelectionsTooLong(&'static str),
    /// It refuses something.
    #[error("the driver refuses {what}: {source}")]
    Refused {
        /// The requested operation.
        what: &'static str,
        /// Windows' error.
        source: io::Error,
    },
}

/// What the error means that `what` returned.
pub(super) fn refused(what: &'static str) -> impl Fn(io::Error) -> DriverError {
    move |source| match source.raw_os_error() {
        Some(NOT_FOUND) => DriverError::NotRunning,
        Some(DENIED) => DriverError::Denied,
        Some(UNKNOWN_OPERATION | NOT_SUPPORTED) => DriverError::Older(what),
        Some(TOO_MANY_WORDS) => DriverError::TooManyWords(what),
        Some(NO_QUOTA) => DriverError::SelectionsTooLong(what),
        _ => DriverError::Refused { what, source },
    }
}

/// Opens the device.
pub(super) fn open() -> Result<Device, DriverError> {
    Device::open().map_err(refused("to be opened"))
}

/// Asks for the statistics.
pub(super) fn statistics(device: &Device) -> Result<Statistics, DriverError> {
    device.statistics().map_err(refused("its statistics"))
}

/// The open device.
#[derive(Debug)]
pub struct Service(Device);

impl Service {
    /// Opens the device.
    ///
    /// # Errors
    /// The driver does not run, or refuses; with what to do.
    pub fn open(_address: &ServiceAddress, _control: &Control) -> Result<Self, DriverError> {
        open().map(Self)
    }

    /// Its statistics.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn statistics(&mut self) -> Result<Statistics, DriverError> {
        statistics(&self.0)
    }

    /// Which messages it writes, if the kernel's mask shows them, too.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn log_levels(&mut self) -> Result<LogLevels, DriverError> {
        self.0.log_levels().map_err(refused("its log levels"))
    }

    /// Makes a request that has no reply.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn control(&mut self, request: &Request<'_>) -> Result<(), DriverError> {
        self.0.request(request).map_err(refused("the request"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_an_older_driver_does_not_know_is_said_so() {
        let error = refused("its log levels")(io::Error::from_raw_os_error(UNKNOWN_OPERATION));
        assert_eq!(
            error.to_string(),
            "the driver does not know its log levels: it is older than this honeutil. Install the same version of both"
        );
    }
}
