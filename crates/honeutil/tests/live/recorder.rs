//! `honeutil read`, started and stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

pub(crate) use hone_testing::directory;
use hone_testing::{Guarded, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::recording::Recording;
use crate::service::Service;

pub(crate) const HONEUTIL: &str = env!("CARGO_BIN_EXE_honeutil");

/// A running recording into a directory of its own.
#[derive(Debug)]
pub(crate) struct Recorder {
    honeutil: Guarded,
    directory: TempDir,
}

/// How a recording ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    /// The recorded files in the order of their names.
    pub(crate) files: Vec<PathBuf>,
    /// Holds the files as long as they are looked at.
    _directory: TempDir,
}

/// The file's name with [`Recorder::start`].
const FILE: &str = "recording.pcapng";
/// Without the machine's honed. The tests that run at the same time make more traffic in bursts than the default buffer
/// is meant for.
const LOCAL: [&str; 3] = ["--local", "--buffer-size", "128"];
const STDERR: &str = "stderr";

impl Recorder {
    /// Records into one file, and returns when the sensor is up.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(|directory, command| {
            command.args(LOCAL).arg("-w").arg(directory.join(FILE)).args(arguments);
        })
    }

    /// As `start`, but into the directory, under names of honeutil's choice.
    pub(crate) fn start_in_directory(arguments: &[&str]) -> Self {
        Self::start_with(|directory, command| {
            command.args(LOCAL).arg("-d").arg(directory).args(arguments);
        })
    }

    /// As `start`, but the file is what a shell would redirect standard output to.
    pub(crate) fn start_on_standard_output() -> Self {
        Self::start_with(|directory, command| {
            let file = File::create(directory.join(FILE)).expect("the directory is ours");
            command.args(LOCAL).args(["-w", "-"]).stdout(file);
        })
    }

    /// As `start`, but through a service.
    pub(crate) fn start_through(service: &Service, arguments: &[&str]) -> Self {
        Self::start_with(|directory, command| {
            command.args(["--socket", &service.socket(), "-w"]).arg(directory.join(FILE));
            command.args(whole_but_for_floods(arguments)).args(arguments);
        })
    }

    /// As `start_in_directory`, but through a service.
    pub(crate) fn start_in_directory_through(service: &Service, arguments: &[&str]) -> Self {
        Self::start_with(|directory, command| {
            command.args(["--socket", &service.socket(), "-d"]).arg(directory);
            command.args(whole_but_for_floods(arguments)).args(arguments);
        })
    }

    fn start_with(arguments: impl FnOnce(&Path, &mut Command)) -> Self {
        let directory = directory();
        let mut command = Command::new(HONEUTIL);
        let stderr = File::create(directory.path().join(STDERR)).expect("the directory is ours");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        command.arg("read");
        arguments(directory.path(), &mut command);
        let mut recorder = Self { honeutil: Guarded::spawn(&mut command), directory };
        // The first thing that honeutil writes is the section with the state at the start, when the sensor runs.
        wait_for("honeutil begins to write", || {
            if let Some(status) = recorder.honeutil.ended() {
                panic!("honeutil ended with {status}: {}", recorder.stderr());
            }
            recorder.files().iter().any(|file| has_content(file)).then_some(())
        });
        recorder
    }

    pub(crate) fn pid(&self) -> u32 {
        self.honeutil.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.honeutil.signal(signal);
    }

    /// The files so far, in the order of their names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        recorded(self.directory.path())
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(STDERR)).unwrap_or_default()
    }

    /// Waits until it says this on standard error.
    pub(crate) fn await_text(&mut self, text: &str) {
        wait_for(text, || {
            let ended = self.honeutil.ended();
            let said = self.stderr();
            assert!(ended.is_none() || said.contains(text), "honeutil has ended: {said}");
            said.contains(text).then_some(())
        });
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let status = self.honeutil.wait("honeutil ends");
        Ended { status, stderr: self.stderr(), files: self.files(), _directory: self.directory }
    }

    /// Asks it to end, as Ctrl-C does, and reads the one file that it wrote.
    pub(crate) fn stop(self) -> Recording {
        self.signal(Signal::INT);
        self.wait().recording()
    }
}

impl Ended {
    /// The one file of a recording that ended well.
    pub(crate) fn recording(&self) -> Recording {
        self.assert_success();
        let [file] = self.files.as_slice() else { panic!("not one file: {self:?}") };
        Recording::read(file)
    }

    pub(crate) fn assert_success(&self) {
        assert!(self.status.success(), "honeutil ended with {}: {}", self.status, self.stderr);
    }
}

/// A snap length that cuts no packet of the tests, but the large ones of floods from elsewhere.
fn whole_but_for_floods(arguments: &[&str]) -> &'static [&'static str] {
    if arguments.contains(&"-s") { &[] } else { &["-s", "4096"] }
}

/// The recordings in a directory, in the order of their names.
pub(crate) fn recorded(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is ours");
    let paths = entries.map(|entry| entry.expect("the directory is ours").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension() == Some(OsStr::new("pcapng"))).collect();
    files.sort();
    files
}

/// Whether something was written to a file.
pub(crate) fn has_content(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() > 0)
}
