//! The driver, asked one thing.

use hone_api::Request;
use hone_windows::device::Device;

use super::args::ServiceArgs;
use super::service_feed::{self, DriverError};
use crate::cli::service_args::StatsArgs;
use crate::record::control::Control;
use crate::service::Report;

/// The open device; for the driver this is one more reader.
#[derive(Debug)]
pub struct Service(Device);

impl Service {
    /// Opens the device.
    ///
    /// # Errors
    /// The driver does not run, or refuses; with what to do.
    pub fn open(_args: &ServiceArgs, _control: &Control) -> Result<Self, DriverError> {
        service_feed::open().map(Self)
    }

    /// What `get-stats` is to tell.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn report(&mut self, _args: &StatsArgs) -> Result<Report, DriverError> {
        service_feed::statistics(&self.0).map(|statistics| Report::Statistics(Box::new(statistics)))
    }

    /// Asks for something that has no reply.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn control(&mut self, request: &Request<'_>) -> Result<(), DriverError> {
        service_feed::control(&self.0, request)
    }
}
