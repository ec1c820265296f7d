//! The recorder under test: starts it, waits until it records, and stops it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::wait_for;

/// Time that recorders have to decide about the last packets: twice as long as Hone holds a packet.
const SETTLING: Duration = Duration::from_secs(1);

/// How a recorder is started.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A shell command line in which `{file}` is replaced by the recording. `None`: honeutil.
    pub(crate) command: Option<String>,
    /// Start a honed and record through it.
    pub(crate) through_honed: bool,
    /// The sensor's `--mechanism` option.
    pub(crate) mechanism: Option<String>,
}

/// A child process. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    words: PathBuf,
}

impl Running {
    /// Starts the process. Its output goes to the file `words`.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(command: &mut Command, words: PathBuf) -> Result<Self> {
        let said = File::create(&words).with_context(|| format!("cannot write {}", words.display()))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, words })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.words).unwrap_or_default().trim_end().to_owned()
    }

    /// Checks that the process still runs.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn still_runs(&mut self, what: &str) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{what} ended with {status}: {}", self.said()),
        }
    }

    /// Sends a signal and waits until the process has ended successfully.
    ///
    /// # Errors
    /// The process does not end, or fails.
    pub(crate) fn stop(mut self, signal: Signal, what: &str) -> Result<String> {
        self.still_runs(what)?;
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?;
        self.ended(what)
    }

    /// Waits until the process has ended successfully. Returns its output.
    ///
    /// # Errors
    /// The process does not end, or fails.
    pub(crate) fn ended(mut self, what: &str) -> Result<String> {
        let mut status = None;
        wait_for(format!("{what} ends"), || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        let said = self.said();
        ensure!(status.is_some_and(|status| status.success()), "{what} ended with {status:?}: {said}");
        Ok(said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both calls fail only if the process is already reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    recorder: Running,
    honed: Option<Running>,
}

impl Recorder {
    /// Starts the recorder. Returns when it records into `file`.
    ///
    /// # Errors
    /// The recorder does not start to record.
    pub(crate) fn start(plan: &Plan, directory: &Path, file: &Path) -> Result<Self> {
        let honed = plan.through_honed.then(|| honed(plan, directory)).transpose()?;
        let mut command = match &plan.command {
            Some(line) => {
                let mut command = Command::new("sh");
                // The shell becomes its last command, so that signals reach the command.
                let line = line.replace("{file}", &file.display().to_string());
                command.arg("-c").arg(format!("exec {line}"));
                command
            }
            None => {
                let mut command = Command::new(beside("honeutil"));
                command.args(["read", "--quiet"]);
                if honed.is_some() {
                    command.arg("--socket").arg(directory.join("hone.sock"));
                } else {
                    command.arg("--local");
                    command.args(plan.mechanism.as_ref().map(|name| format!("--mechanism={name}")));
                }
                command.arg("-w").arg(file);
                command
            }
        };
        let mut recorder = Running::start(&mut command, directory.join("recorder.log"))?;
        // The first data that honeutil writes is the snapshot at the start, after the sensor has started.
        wait_for("the recorder writes", || {
            recorder.still_runs("the recorder")?;
            Ok(file.metadata().is_ok_and(|data| data.len() > 0))
        })?;
        Ok(Self { recorder, honed })
    }

    /// Gives the recorder time for the last packets, then ends it as Ctrl-C does.
    ///
    /// # Errors
    /// The recorder fails.
    pub(crate) fn stop(self) -> Result<()> {
        std::thread::sleep(SETTLING);
        self.recorder.stop(Signal::SIGINT, "the recorder")?;
        if let Some(honed) = self.honed {
            honed.stop(Signal::SIGTERM, "honed")?;
        }
        Ok(())
    }
}

/// Starts a honed for this run, with socket and configuration in the run's directory.
fn honed(plan: &Plan, directory: &Path) -> Result<Running> {
    serving(&mut honed_command(plan, directory)?, directory)
}

/// The command that starts a honed with socket and configuration in this directory. Also writes the configuration.
///
/// # Errors
/// The configuration cannot be written.
pub(crate) fn honed_command(plan: &Plan, directory: &Path) -> Result<Command> {
    let (socket, config) = (directory.join("hone.sock"), directory.join("hone.toml"));
    let mut text = format!("socket = '{}'\nsocket_group = ''\nsensor_buffer = 128\n", socket.display());
    if let Some(name) = &plan.mechanism {
        text += &format!("mechanism = '{name}'\n");
    }
    std::fs::write(&config, text)?;
    let mut command = Command::new(beside("honed"));
    command.arg("--config").arg(&config).env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    Ok(command)
}

/// Starts a honed. Returns when it accepts connections.
///
/// # Errors
/// honed ends, or does not accept connections in time.
pub(crate) fn serving(command: &mut Command, directory: &Path) -> Result<Running> {
    let mut honed = Running::start(command, directory.join("honed.log"))?;
    wait_for("honed serves", || {
        honed.still_runs("honed")?;
        Ok(honed.said().contains("serving readers"))
    })?;
    Ok(honed)
}

/// The path of a program that was built together with this one. If there is none, the name, so that it is found on the
/// path.
pub(crate) fn beside(name: &str) -> PathBuf {
    let sibling = std::env::current_exe().map(|path| path.with_file_name(name));
    sibling.ok().filter(|path| path.exists()).unwrap_or_else(|| name.into())
}
