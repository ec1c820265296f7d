//! A pipe, or anything else that is not a regular file. Its reader may be slow, blocked or gone.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::platform::file::{await_writable, is_abandoned, is_pipe_closed};
use crate::record::control::Control;

/// After the recording stops, how long a reader may read nothing before the rest is dropped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How often the control is checked during a wait.
const TICK: Duration = Duration::from_millis(100);
/// Most bytes written at once: `PIPE_BUF` of Linux. A pipe takes this many without blocking once poll(2) reports that
/// it is writable, so no write ever blocks the program. Measured: it does not limit the speed.
const CHUNK: usize = 4096;

/// A stream being written. Owned by [`Output`](crate::output::Output).
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    written: u64,
}

/// Why a stream ends.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// Its reader is gone.
    Closed,
    /// Its reader does not read, and the recording should stop.
    Stuck,
    Io(io::Error),
}

impl Stream {
    pub(crate) fn new(file: File) -> Self {
        Self { file, written: 0 }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// What the system knows of it.
    pub(crate) fn metadata(&self) -> Option<std::fs::Metadata> {
        self.file.metadata().ok()
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Whether the reader is gone. Works even while there is nothing to write.
    pub(crate) fn closed(&self) -> bool {
        is_abandoned(&self.file)
    }

    /// Writes all, as fast as the reader reads.
    pub(crate) fn write(&mut self, mut bytes: &[u8], control: &mut Control) -> Result<(), StreamError> {
        let mut last_progress = Instant::now();
        while !bytes.is_empty() {
            let count = self.write_some(bytes)?;
            if count > 0 {
                bytes = &bytes[count..];
                self.written += count as u64;
                last_progress = Instant::now();
            } else if control.stopping().is_some_and(|since| since.min(last_progress.elapsed()) >= PATIENCE) {
                return Err(StreamError::Stuck);
            }
        }
        Ok(())
    }

    /// Waits for at most one tick and writes as much as possible.
    fn write_some(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        if !await_writable(&self.file, TICK).map_err(StreamError::Io)? {
            return Ok(0);
        }
        match self.file.write(&bytes[..bytes.len().min(CHUNK)]) {
            Ok(0) => Err(StreamError::Io(io::ErrorKind::WriteZero.into())),
            Ok(count) => Ok(count),
            Err(error) if is_pipe_closed(&error) => Err(StreamError::Closed),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(0),
                io::ErrorKind::WouldBlock => {
                    // poll reported it writable, but it does not take this much. Do not try again at once.
                    std::thread::sleep(Duration::from_millis(1));
                    Ok(0)
                }
                io::ErrorKind::ConnectionReset => Err(StreamError::Closed),
                _ => Err(StreamError::Io(error)),
            },
        }
    }
}
