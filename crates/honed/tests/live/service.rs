//! A service of the test's own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use hone_reader::{Connection, Options};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::guard::{Guarded, wait_for};

/// A running honed; killed when dropped, and its directory removed.
#[derive(Debug)]
pub(crate) struct Service {
    honed: Guarded,
    directory: TempDir,
}

impl Service {
    /// Starts one with this configuration (besides the socket), and returns when it serves.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(directory(), config)
    }

    /// The same, in the directory of one that has ended.
    pub(crate) fn start_in(directory: TempDir, config: &str) -> Self {
        configure(directory.path(), config);
        let mut honed = Guarded::spawn(&mut command(directory.path()));
        wait_for("honed serves", || {
            let log = log(directory.path());
            if let Some(status) = honed.ended() {
                panic!("honed ended with {status}: {log}");
            }
            log.contains("serving readers").then_some(())
        });
        Self { honed, directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(self.directory.path())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.honed.pid()
    }

    pub(crate) fn log(&self) -> String {
        log(self.directory.path())
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, config: &str) {
        configure(self.directory.path(), config);
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.socket()).unwrap_or_else(|error| panic!("{error}; honed: {}", self.log()))
    }

    /// A reader with these options.
    pub(crate) fn reader(&self, options: &Options) -> Connection {
        let mut connection = self.connect();
        connection.attach(options).expect("honed takes readers");
        connection
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.honed.signal(signal);
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> (ExitStatus, String, TempDir) {
        let status = self.honed.wait("honed ends");
        (status, self.log(), self.directory)
    }

    /// Stops it, and sees that it stops well.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let (status, log, directory) = self.wait();
        assert!(status.success(), "honed ended with {status}: {log}");
        assert!(!log.contains("error:"), "{log}");
        assert!(!socket(directory.path()).exists(), "the socket is left behind");
    }
}

/// A directory that others may enter; removed when dropped.
pub(crate) fn directory() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("honed-live-").tempdir().expect("a temporary directory can be made");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("the directory is ours");
    directory
}

pub(crate) fn socket(directory: &Path) -> PathBuf {
    directory.join("hone.sock")
}

/// honed, with its log in the directory.
pub(crate) fn command(directory: &Path) -> Command {
    let log = File::create(directory.join("log")).expect("the directory is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_honed"));
    command.arg("--config").arg(directory.join("hone.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    command
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

fn configure(directory: &Path, config: &str) {
    // The tests that run at the same time make traffic in bursts; tests that say so take another size.
    let buffer = if config.contains("sensor_buffer") { "" } else { "sensor_buffer = 16" };
    let group = if config.contains("socket_group") { "" } else { "socket_group = ''" };
    let text = format!("socket = '{}'\n{group}\n{buffer}\n{config}\n", socket(directory).display());
    std::fs::write(directory.join("hone.toml"), text).expect("the directory is ours");
}
