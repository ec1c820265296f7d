//! A honed for one test, with configuration, socket and log in its own directory.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use hone_client::{Connection, Options};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::faults::Faults;
use crate::guard::{Guarded, wait_for};

/// A honed. When dropped, it is killed and its directory is removed.
#[derive(Debug)]
pub struct Service {
    honed: Option<Guarded>,
    /// The program that runs honed, with its arguments. Empty if honed runs directly.
    inside: Vec<String>,
    directory: TempDir,
}

impl Service {
    /// Starts a honed with this configuration (the socket is added). Returns when it accepts connections.
    ///
    /// # Panics
    /// honed does not start.
    #[must_use]
    pub fn start(config: &str) -> Self {
        Self::start_in(directory(), config)
    }

    /// Starts a honed in the directory of one that has ended.
    ///
    /// # Panics
    /// honed does not start.
    #[must_use]
    pub fn start_in(directory: TempDir, config: &str) -> Self {
        Self::start_as(directory, config, &[])
    }

    /// Starts a honed through another program, for example `unshare` with its options. The process id is that
    /// program's, and signals are sent to that program.
    ///
    /// # Panics
    /// honed does not start.
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

    /// Starts a honed with calls that can be made to fail.
    ///
    /// # Panics
    /// honed does not start.
    #[must_use]
    pub fn start_with(faults: &Faults, config: &str) -> Self {
        let mut service = Self { honed: None, inside: Vec::new(), directory: directory() };
        service.configure(config);
        let mut command = command(service.directory());
        faults.load(&mut command);
        service.spawn(&mut command);
        service
    }

    /// Starts a honed after a shell command, for example one that sets limits.
    ///
    /// # Panics
    /// honed does not start.
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

    /// Starts honed again after it has ended.
    ///
    /// # Panics
    /// honed does not start.
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

    /// The directory of honed's files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The socket at which honed listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.directory())
    }

    /// The exit status, if honed has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.honed.as_mut().and_then(Guarded::ended)
    }

    fn honed(&self) -> &Guarded {
        self.honed.as_ref().expect("it runs")
    }

    /// The process id. Valid while honed runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.honed().pid()
    }

    /// The log since the last start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }

    /// Writes a new configuration.
    ///
    /// # Panics
    /// The configuration cannot be written.
    pub fn configure(&self, config: &str) {
        // Other tests make bursts of traffic at the same time. A test that sets the buffer size itself keeps its size.
        let buffer = if config.contains("sensor_buffer") { "" } else { "sensor_buffer = 16" };
        let group = if config.contains("socket_group") { "" } else { "socket_group = ''" };
        let text = format!("socket = '{}'\n{group}\n{buffer}\n{config}\n", self.socket().display());
        std::fs::write(self.directory().join("hone.toml"), text).expect("the directory is ours");
    }

    /// Connects to honed.
    ///
    /// # Panics
    /// honed refuses the connection.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.socket()).unwrap_or_else(|error| panic!("{error}; honed: {}", self.log()))
    }

    /// Attaches a reader with these options.
    ///
    /// # Panics
    /// honed refuses the reader.
    pub fn reader(&self, options: &Options) -> Connection {
        let mut connection = self.connect();
        connection.attach(options).expect("honed takes readers");
        connection
    }

    /// Sends a signal to honed.
    pub fn signal(&self, signal: Signal) {
        self.honed().signal(signal);
    }

    /// Ends honed with a signal.
    ///
    /// # Panics
    /// honed does not end in time.
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        self.ended();
    }

    fn ended(&mut self) -> ExitStatus {
        self.honed.take().expect("it runs").wait("honed ends")
    }

    /// Waits until honed ends by itself. Returns its exit status, its log and its directory.
    ///
    /// # Panics
    /// honed does not end in time.
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String, TempDir) {
        let status = self.ended();
        (status, self.log(), self.directory)
    }

    /// Stops honed, and checks that it ends successfully.
    ///
    /// # Panics
    /// honed fails, or does not end in time.
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let (status, log, directory) = self.wait();
        assert!(status.success(), "honed ended with {status}: {log}");
        assert!(!log.contains("error:"), "{log}");
        assert!(!socket(directory.path()).exists(), "the socket is left behind");
    }
}

/// A directory that other users may enter. Removed when dropped.
///
/// # Panics
/// The directory cannot be made.
#[must_use]
pub fn directory() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("hone-live-").tempdir().expect("a temporary directory can be made");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("the directory is ours");
    directory
}

/// The socket of a honed in this directory.
#[must_use]
pub fn socket(directory: &Path) -> PathBuf {
    directory.join("hone.sock")
}

/// The command for honed, with configuration and log in the directory.
///
/// # Panics
/// honed is not built, or the log cannot be made.
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

/// The honed program. cargo puts it above the directory of the test, but builds it only together with its package.
fn honed() -> PathBuf {
    let test = std::env::current_exe().expect("this test runs");
    let built = test.parent().and_then(Path::parent).expect("cargo keeps tests in a directory");
    let path = built.join("honed");
    assert!(path.exists(), "{} is missing: build it with `cargo build -p honed`", path.display());
    path
}
