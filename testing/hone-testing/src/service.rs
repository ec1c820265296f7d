//! A honed of the test's own, with configuration, socket and log in a directory of its own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use hone_client::{Connection, Options};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::faults::Faults;
use crate::guard::{Guarded, wait_for};

/// A honed; killed when dropped, and its directory removed.
#[derive(Debug)]
pub struct Service {
    honed: Option<Guarded>,
    /// The program that runs it, with its arguments; none: it runs by itself.
    inside: Vec<String>,
    directory: TempDir,
}

impl Service {
    /// Starts one with this configuration (besides the socket), and returns when it serves.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(config: &str) -> Self {
        Self::start_in(directory(), config)
    }

    /// The same, in the directory of one that has ended.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_in(directory: TempDir, config: &str) -> Self {
        Self::start_as(directory, config, &[])
    }

    /// Starts one through another program, such as `unshare` with its options: the pid is that program's, which gets the
    /// signals.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_inside(config: &str, program: &[&str]) -> Self {
        Self::start_as(directory(), config, program)
    }

    fn start_as(directory: TempDir, config: &str, inside: &[&str]) -> Self {
        let inside = inside.iter().map(|&word| word.to_owned()).collect();
        let mut service = Self { honed: None, inside, directory };
        service.configure(config);
        service.start_again();
        service
    }

    /// Starts one whose calls can fail.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_with(faults: &Faults, config: &str) -> Self {
        let mut service = Self { honed: None, inside: Vec::new(), directory: directory() };
        service.configure(config);
        let mut command = command(service.directory());
        faults.load(&mut command);
        service.spawn(&mut command);
        service
    }

    /// Starts one after a line of shell, such as one that sets limits.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_limited(script: &str, config: &str) -> Self {
        let mut service = Self { honed: None, inside: Vec::new(), directory: directory() };
        service.configure(config);
        let honed = command(service.directory());
        let mut shell = Command::new("sh");
        shell.arg("-ec").arg(format!("{script}\nexec \"$0\" \"$@\""));
        shell.arg(honed.get_program()).args(honed.get_args());
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(service.directory()));
        shell.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        service.spawn(&mut shell);
        service
    }

    /// Starts it again after it has ended.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        let mut command = command_inside(&self.inside, self.directory());
        self.spawn(&mut command);
    }

    fn spawn(&mut self, command: &mut Command) {
        let mut honed = Guarded::spawn(command);
        wait_for("honed serves", || {
            let log = self.log();
            if let Some(status) = honed.ended() {
                panic!("honed ended with {status}: {log}");
            }
            log.contains("serving readers").then_some(())
        });
        self.honed = Some(honed);
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.directory())
    }

    /// How it has ended, if it has.
    #[must_use]
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.honed.as_mut().and_then(Guarded::ended)
    }

    fn honed(&self) -> &Guarded {
        self.honed.as_ref().expect("it runs")
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.honed().pid()
    }

    /// What it has logged since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }

    /// Writes the configuration anew.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn configure(&self, config: &str) {
        // The tests that run at the same time make traffic in bursts; tests that say so take another size.
        let buffer = if config.contains("sensor_buffer") { "" } else { "sensor_buffer = 16" };
        let group = if config.contains("socket_group") { "" } else { "socket_group = ''" };
        let text = format!("socket = '{}'\n{group}\n{buffer}\n{config}\n", self.socket().display());
        std::fs::write(self.directory().join("hone.toml"), text).expect("the directory is ours");
    }

    /// A connection to it.
    ///
    /// # Panics
    /// It refuses.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.socket()).unwrap_or_else(|error| panic!("{error}; honed: {}", self.log()))
    }

    /// A reader with these options.
    ///
    /// # Panics
    /// It refuses.
    pub fn reader(&self, options: &Options) -> Connection {
        let mut connection = self.connect();
        connection.attach(options).expect("honed takes readers");
        connection
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.honed().signal(signal);
    }

    /// Ends it with a signal.
    ///
    /// # Panics
    /// It does not end.
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        self.ended();
    }

    fn ended(&mut self) -> ExitStatus {
        self.honed.take().expect("it runs").wait("honed ends")
    }

    /// Waits until it ends by itself; how it did, its log, and the directory.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String, TempDir) {
        let status = self.ended();
        (status, self.log(), self.directory)
    }

    /// Stops it, and sees that it stops well.
    ///
    /// # Panics
    /// It does not.
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let (status, log, directory) = self.wait();
        assert!(status.success(), "honed ended with {status}: {log}");
        assert!(!log.contains("error:"), "{log}");
        assert!(!socket(directory.path()).exists(), "the socket is left behind");
    }
}

/// A directory that others may enter; removed when dropped.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn directory() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("hone-live-").tempdir().expect("a temporary directory can be made");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("the directory is ours");
    directory
}

/// Where a honed in this directory listens.
#[must_use]
pub fn socket(directory: &Path) -> PathBuf {
    directory.join("hone.sock")
}

/// honed, with configuration and log in the directory.
///
/// # Panics
/// It is not built, or the log cannot be made.
#[must_use]
pub fn command(directory: &Path) -> Command {
    command_inside(&[], directory)
}

fn command_inside(inside: &[String], directory: &Path) -> Command {
    let mut command = match inside {
        [] => Command::new(honed()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(honed());
            command
        }
    };
    command.arg("--config").arg(directory.join("hone.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(directory));
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    command
}

fn log(directory: &Path) -> File {
    File::create(directory.join("log")).expect("the directory is ours")
}

/// The program, which cargo puts above the directory of the test's own; but builds it only with its package.
fn honed() -> PathBuf {
    let test = std::env::current_exe().expect("this test runs");
    let built = test.parent().and_then(Path::parent).expect("cargo keeps tests in a directory");
    let path = built.join("honed");
    assert!(path.exists(), "{} is missing: build it with `cargo build -p honed`", path.display());
    path
}
