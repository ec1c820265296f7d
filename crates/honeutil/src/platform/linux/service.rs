//! honed, asked one thing. Also the commands that only it has: `log-level`, `ring-size`.

use std::process::ExitCode;

use hone_api::Request;
use hone_client::{Connection, ReaderError};

use super::args::{LogLevelArgs, RingSizeArgs, ServiceArgs};
use super::service_feed::connect;
use crate::cli::service_args::StatsArgs;
use crate::record::control::Control;
use crate::service::memory_report;
use crate::service::{Report, print};
use crate::text::{bytes, counted};

/// A connection to honed that reads no packets.
#[derive(Debug)]
pub struct Service(Connection);

impl Service {
    /// Connects. A stop ends waits for it.
    ///
    /// # Errors
    /// honed does not run, or refuses; with what to do.
    pub fn open(args: &ServiceArgs, control: &Control) -> Result<Self, ReaderError> {
        connect(args.socket.as_deref(), control).map(Self)
    }

    /// What `get-stats` is to tell.
    ///
    /// # Errors
    /// honed refuses, or is gone.
    pub fn report(&mut self, args: &StatsArgs) -> Result<Report, ReaderError> {
        Ok(if !args.memory {
            Report::Statistics(Box::new(self.0.statistics()?))
        } else if args.json {
            Report::Memory(memory_report::memory_json(&self.0.memory()?).to_string() + "\n")
        } else {
            Report::Memory(memory_report::memory(&self.0.memory()?))
        })
    }

    /// Asks for something that has no reply.
    ///
    /// # Errors
    /// honed refuses, or is gone.
    pub fn control(&mut self, request: &Request<'_>) -> Result<(), ReaderError> {
        self.0.control(request).map(drop)
    }
}

fn status(is_written: bool) -> ExitCode {
    if is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `log-level`.
///
/// # Errors
/// As [`crate::service::get_stats`].
pub fn log_level(args: &LogLevelArgs) -> anyhow::Result<ExitCode> {
    let mut connection = connect(args.service.socket.as_deref(), &Control::new())?;
    if let Some(levels) = args.levels {
        connection.set_log_levels(levels)?;
    }
    let levels = connection.log_levels()?;
    print(&format!("{:#04x} {levels}\n", levels.mask())).map(status)
}

/// `ring-size`.
///
/// # Errors
/// As [`crate::service::get_stats`].
pub fn ring_size(args: &RingSizeArgs) -> anyhow::Result<ExitCode> {
    let mut connection = connect(args.service.socket.as_deref(), &Control::new())?;
    if let Some(bytes) = args.bytes {
        connection.set_ring_bytes(bytes)?;
    }
    let size = connection.statistics()?.ring_bytes;
    let blocks = size / hone_engine::RING_SLOT_BYTES as u64;
    print(&format!("{size} bytes ({}): {}\n", bytes(size), counted(blocks, "block"))).map(status)
}
