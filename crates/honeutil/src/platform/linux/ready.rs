//! How scripts and service managers learn that a recording has begun, and that it ends.

use std::fs::File;
use std::io::Write as _;

use anyhow::anyhow;
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
    /// It is not open, or one of the three standard ones.
    pub fn open(number: Option<i32>) -> anyhow::Result<Self> {
        let open = |number| {
            hone_linux::inherited(number).map(File::from).map_err(|error| {
                anyhow!(
                    "--ready-fd {number}: {error}; make it a pipe or a file, as in {number}>FILE, with a number from 3 on"
                )
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
