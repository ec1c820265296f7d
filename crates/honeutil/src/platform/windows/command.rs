//! A command that is started for a recording of it: made, but suspended until the recording has begun. So the process id that is
//! selected is the command's, and nothing of the command is missed.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::process::{Child, Command, ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use hone_windows::console::{Signal, on_signal};
use hone_windows::process;

use crate::output::Output;

/// Exit status if a command is not found, and if it cannot be executed, as shells have it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Why a command cannot be started, with the exit status that a shell would have.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotStarted {
    text: String,
    /// The exit status.
    pub status: u8,
}

impl NotStarted {
    fn new(program: &OsStr, error: &io::Error) -> Self {
        let (text, status) = match error.kind() {
            ErrorKind::NotFound => ("command not found".to_owned(), NOT_FOUND),
            _ => (format!("it cannot be executed: {error}"), NOT_EXECUTABLE),
        };
        Self { text: format!("{}: {text}; nothing is recorded", program.to_string_lossy()), status }
    }
}

/// Windows finds out whether there is such a program when it makes the process.
///
/// # Errors
/// None.
pub const fn look_up(_program: &OsStr) -> Result<(), NotStarted> {
    Ok(())
}

/// As whom the command runs: as the user of this program.
#[derive(Debug)]
pub enum User {}

/// The user as whom the command runs, if that is another one: it never is.
///
/// # Errors
/// None.
pub const fn caller() -> anyhow::Result<Option<User>> {
    Ok(None)
}

/// Gives files to that user.
pub(crate) const fn give(_output: &mut Output, user: Option<&User>) {
    if let Some(user) = user {
        match *user {}
    }
}

/// Whether there is a process with this id.
pub(crate) fn exists(pid: u32) -> bool {
    // If Windows does not list them, their ends are recorded.
    process::names().map_or(true, |names| names.contains_key(&pid))
}

/// A command that is suspended, or runs.
#[derive(Debug)]
pub struct Held {
    child: Child,
    is_suspended: bool,
    interrupted: Arc<AtomicBool>,
    ended: Option<u32>,
}

impl Held {
    /// Makes the process.
    ///
    /// # Errors
    /// [`NotStarted`], or Windows refuses.
    pub fn start(command: &[OsString], _user: Option<&User>) -> anyhow::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let is_interrupted = Arc::clone(&interrupted);
        // The console sends it to the command as well.
        on_signal(move |signal| {
            if matches!(signal, Signal::Interrupt | Signal::Close) {
                is_interrupted.store(true, Ordering::Relaxed);
            }
        })
        .context("cannot handle signals")?;
        let (program, arguments) = command.split_first().context("a command has a name")?;
        let child = process::suspended(Command::new(program).args(arguments));
        let child = child.map_err(|error| NotStarted::new(program, &error))?;
        Ok(Self { child, is_suspended: true, interrupted, ended: None })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It is gone.
    pub fn go_on(&mut self) -> io::Result<()> {
        self.is_suspended = false;
        process::resume(self.pid())
    }

    /// Once the command has ended: whether Ctrl-C asks to stop. Before that, Ctrl-C is the command's.
    pub fn pass_on(&mut self) -> bool {
        self.interrupted.swap(false, Ordering::Relaxed) && self.has_ended()
    }

    /// Whether the command has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status.code().unwrap_or(1).cast_unsigned());
        }
        self.ended.is_some()
    }

    /// The exit status of this program: the command's, or `recorded` if that is 0. Windows' have 32 bits: for more than a byte,
    /// the program ends here.
    #[must_use]
    pub fn exit_code(&self, recorded: ExitCode) -> ExitCode {
        match self.ended.map(u8::try_from) {
            None | Some(Ok(0)) => recorded,
            Some(Ok(status)) => ExitCode::from(status),
            Some(Err(_)) => exit(self.ended.unwrap_or(1).cast_signed()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_suspended {
            // Nobody else would let it go on.
            let _ = self.child.kill();
        }
    }
}
