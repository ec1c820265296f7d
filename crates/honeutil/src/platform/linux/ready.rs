//! How scripts and service managers learn that a recording has begun, and that it ends.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use anyhow::Context as _;
use hone_client::notify;

/// Who is to be told.
#[derive(Debug)]
pub struct Ready {
    /// What `--ready-fd` names.
    file: Option<File>,
}

impl Ready {
    /// Prepares to write to the file descriptor `number`, a pipe or a file that the parent process left open.
    ///
    /// # Errors
    /// It is not open for writing.
    pub fn open(number: Option<u32>) -> anyhow::Result<Self> {
        let open = |number| {
            // Opened anew: what was inherited cannot be taken over without unsafe code.
            let path = format!("/proc/self/fd/{number}");
            OpenOptions::new().append(true).open(path).with_context(|| {
                format!("--ready-fd {number}: this file descriptor cannot be written to; make it a pipe or a file, as in {number}>FILE")
            })
        };
        Ok(Self { file: number.map(open).transpose()? })
    }

    /// Tells it: a line `ready`, and `READY=1` to the service manager.
    pub fn tell(&mut self) {
        if let Some(mut file) = self.file.take()
            && let Err(error) = file.write_all(b"ready\n")
        {
            tracing::warn!("--ready-fd: cannot write: {error}");
        }
        say("READY=1");
    }

    /// Tells the service manager that the recording ends.
    pub fn tell_end(&self) {
        say("STOPPING=1");
    }
}

fn say(message: &str) {
    if let Err(error) = notify::notify(message) {
        tracing::warn!("{error}");
    }
}
