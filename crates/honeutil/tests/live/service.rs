//! A honed of the test's own, with socket and configuration in a directory of its own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::guard::{Guarded, wait_for};
use crate::recorder::{HONEUTIL, directory};

/// The service, which cargo builds beside honeutil; but not for `cargo test -p honeutil` alone.
fn program() -> PathBuf {
    let path = PathBuf::from(HONEUTIL).with_file_name("honed");
    assert!(path.exists(), "{} is missing: build it with `cargo build -p honed`", path.display());
    path
}

/// A running honed; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    honed: Option<Guarded>,
    directory: TempDir,
}

impl Service {
    /// Starts one, and returns when it serves.
    pub(crate) fn start() -> Self {
        let directory = directory();
        // Its socket is for whom it allows, not for whom the directory does.
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), mode).expect("the directory is ours");
        let mut service = Self { honed: None, directory };
        let text = format!("socket = '{}'\nsocket_group = ''\nsensor_buffer = 128\n", service.socket());
        std::fs::write(service.directory.path().join("hone.toml"), text).expect("the directory is ours");
        service.start_again();
        service
    }

    /// Starts it again after it has ended.
    pub(crate) fn start_again(&mut self) {
        let log = self.directory.path().join("log");
        let mut command = Command::new(program());
        command.arg("--config").arg(self.directory.path().join("hone.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("the directory is ours"));
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        let mut honed = Guarded::spawn(&mut command);
        wait_for("honed serves", || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = honed.ended() {
                panic!("honed ended with {status}: {log}");
            }
            log.contains("serving readers").then_some(())
        });
        self.honed = Some(honed);
    }

    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("hone.sock").display().to_string()
    }

    /// Ends it with a signal.
    pub(crate) fn end(&mut self, signal: Signal) {
        let mut honed = self.honed.take().expect("it runs");
        honed.signal(signal);
        honed.wait("honed ends");
    }

    /// Runs a command of honeutil against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(HONEUTIL);
        command.arg(arguments[0]).args(["--socket", &self.socket()]).args(&arguments[1..]);
        command.stdin(Stdio::null()).output().expect("honeutil can be started")
    }

    /// The same; it must succeed. Gives standard output.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {stderr}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }
}
