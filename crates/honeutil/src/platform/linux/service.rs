//! Requests to honed. Owns a connection that reads no packets.

use std::path::Path;
use std::time::{Duration, Instant};

use hone_api::{LogLevels, Request, Statistics};
use hone_client::{Connection, ReaderError, Waiting, Watch, protocol};

use crate::cli::service_choice::ServiceAddress;
use crate::messages::say;
use crate::record::control::Control;

/// After how long a wait for honed is reported.
pub(super) const QUIET_WAIT: Duration = Duration::from_secs(2);
/// How long a honed that is about to end may still accept connections.
const GOING_PATIENCE: Duration = Duration::from_secs(2);

/// A connection to honed.
#[derive(Debug)]
pub struct Service(Connection);

impl Service {
    /// Connects to honed. A stop ends the wait.
    ///
    /// # Errors
    /// honed does not run, or refuses. The error contains advice.
    pub fn open(address: &ServiceAddress, control: &Control) -> Result<Self, ReaderError> {
        connect(address.socket.as_deref(), control).map(Self)
    }

    /// Its statistics.
    ///
    /// # Errors
    /// honed refuses, or is gone.
    pub fn statistics(&mut self) -> Result<Statistics, ReaderError> {
        self.0.statistics()
    }

    /// Which messages it writes.
    ///
    /// # Errors
    /// honed refuses, or is gone.
    pub fn log_levels(&mut self) -> Result<LogLevels, ReaderError> {
        self.0.log_levels()
    }

    /// Makes a request that has no reply.
    ///
    /// # Errors
    /// honed refuses, or is gone.
    pub fn control(&mut self, request: &Request<'_>) -> Result<(), ReaderError> {
        self.0.control(request).map(drop)
    }

    /// The connection, for requests that only honed understands.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// Connects to honed. A honed that is about to end, or was just killed, still has its socket open for a moment; this
/// waits until it is closed. A stop ends every wait for honed, also later ones.
///
/// # Errors
/// It does not run, or refuses. The error contains advice.
pub(super) fn connect(socket: Option<&Path>, control: &Control) -> Result<Connection, ReaderError> {
    let asked = Instant::now();
    loop {
        let path = socket.unwrap_or(Path::new(protocol::SOCKET));
        match Connection::open_watched(path, watch(control.clone())) {
            Err(ReaderError::Lost) if asked.elapsed() < GOING_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

/// Reports a long wait, and ends it if a stop comes during it. A wait that begins after the stop is needed for a proper
/// end and continues; a further Ctrl-C ends the program at once.
fn watch(mut control: Control) -> Watch {
    let (mut is_reported, mut was_stopping) = (false, false);
    Box::new(move |Waiting { what, waited, at_most }| {
        let is_stopping = control.stopping().is_some();
        if waited.is_zero() {
            (is_reported, was_stopping) = (false, is_stopping);
        } else if waited >= QUIET_WAIT && !is_reported {
            is_reported = true;
            let most = at_most.as_secs();
            say(format_args!("honeutil: waiting for honed {what}, for at most {most} s; Ctrl-C gives up"));
        }
        was_stopping || !is_stopping
    })
}
