//! Runs the real `honeutil.exe` under Wine.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Driver, Wine};

/// Longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Number of bytes that are kept of each output.
const ROOM: u64 = 256 << 10;
const PROGRAM: &str = "honeutil.exe";
/// The number of Ctrl-Break (`CTRL_BREAK_EVENT`).
const BREAK: u32 = 1;

/// A running `honeutil.exe`. Killed when dropped.
#[derive(Debug)]
pub struct Honeutil {
    child: Child,
    arguments: String,
    /// The outputs are files. Pipes would stay open, because Wine's services that start meanwhile inherit them.
    output: [PathBuf; 2],
}

/// A `honeutil.exe` that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub code: Option<i32>,
    /// What it wrote to standard output, if standard output was not a pipe.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// What Wine itself wrote to standard error, for a program that was [run](Driver::run_honeutil): some lines at
    /// every start. If there are none, what the program wrote there was lost as well.
    pub wine: String,
}

impl Ended {
    /// Standard output of a program that ended successfully and wrote nothing to standard error.
    ///
    /// # Panics
    /// It failed, or wrote something to standard error.
    #[must_use]
    pub fn silently(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// Asserts that the program failed, with this message.
    ///
    /// # Panics
    /// It did not fail, or its message is different.
    pub fn failed(&self, message: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(1), message), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
    }
}

/// An empty folder for a test's files. Removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder's path for programs under Wine.
    pub const NAME: &str = r"C:\hone\files";

    fn new(wine: &Wine) -> Self {
        let path = wine.folder().join("files");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("the folder can be made");
        Self { path }
    }

    /// The path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of a file for programs under Wine.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!(r"{}\{name}", Self::NAME)
    }

    /// The content of a file in the folder.
    ///
    /// # Panics
    /// There is no such file.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.file(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The names of all files in the folder, sorted.
    ///
    /// # Panics
    /// The folder cannot be read.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).expect("it is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Waits until a file has at least this number of bytes.
    ///
    /// # Panics
    /// It does not get that long in time.
    pub fn await_file(&self, name: &str, bytes: u64) {
        wait(&format!("{bytes} bytes in {name}, of {:?}", self.list()), || {
            fs::metadata(self.file(name)).is_ok_and(|file| file.len() >= bytes).then_some(())
        });
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Waits until there is a value, and returns it.
///
/// # Panics
/// There is no value in time.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "there is no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Wine {
    /// Starts `honeutil.exe`.
    #[must_use]
    pub fn honeutil(&self, arguments: &[&str]) -> Honeutil {
        Honeutil::start(self, arguments, |_| {})
    }
}

impl Driver {
    /// Makes a folder for files. There may be only one at a time.
    #[must_use]
    pub fn files(&self) -> Folder {
        Folder::new(self.wine())
    }

    /// Starts `honeutil.exe`.
    #[must_use]
    pub fn honeutil(&self, arguments: &[&str]) -> Honeutil {
        self.wine().honeutil(arguments)
    }

    /// Starts `honeutil.exe`. Its standard output is a pipe that the test reads.
    #[must_use]
    pub fn honeutil_piped(&self, arguments: &[&str]) -> (Honeutil, ChildStdout) {
        let mut honeutil = Honeutil::start(self.wine(), arguments, |command| {
            command.stdout(Stdio::piped());
        });
        let pipe = honeutil.child.stdout.take().expect("it is a pipe");
        (honeutil, pipe)
    }

    /// Runs `honeutil.exe` until it ends. Wine also reports how the program starts and what goes wrong.
    #[must_use]
    pub fn run_honeutil(&self, arguments: &[&str]) -> Ended {
        Honeutil::start(self.wine(), arguments, |command| {
            command.env("WINEDEBUG", "-all,err+all,trace+process");
        })
        .end()
    }

    /// Starts `honeutil.exe` on a terminal.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn honeutil_on(&self, arguments: &[&str], terminal: &OwnedFd) -> Honeutil {
        Honeutil::start(self.wine(), arguments, |command| {
            let copy = || terminal.try_clone().expect("descriptors can be copied");
            command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm");
        })
    }

    /// Starts `honeutil.exe` with the given standard input.
    #[must_use]
    pub fn honeutil_with(&self, arguments: &[&str], input: impl Into<Stdio>) -> Honeutil {
        let input = input.into();
        Honeutil::start(self.wine(), arguments, |command| {
            command.stdin(input);
        })
    }

    /// Starts a recording into a file of the folder. Returns when it records.
    #[must_use]
    pub fn record(&self, folder: &Folder, name: &str, arguments: &[&str]) -> Honeutil {
        let path = folder.name(name);
        let honeutil = self.honeutil(&[&["read", "-w", &path][..], arguments].concat());
        folder.await_file(name, 1);
        honeutil
    }
}

impl Honeutil {
    fn start(wine: &Wine, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let output = ["out", "err"].map(|kind| wine.folder().join(format!("honeutil-{number}.{kind}")));
        let [stdout, stderr] = output.each_ref().map(|path| create(path));
        let mut command = wine.command(&format!(r"C:\hone\{PROGRAM}"));
        command.args(arguments).stdout(stdout).stderr(stderr);
        prepare(&mut command);
        let child = command.spawn().expect("wine starts");
        Self { child, arguments: arguments.join(" "), output }
    }

    /// Presses Ctrl-C: Wine makes it of this signal.
    ///
    /// # Panics
    /// The program has already ended.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("it has an id");
        kill_process(pid, Signal::INT).expect("it runs");
    }

    /// Standard output so far.
    ///
    /// # Panics
    /// The output cannot be read.
    #[must_use]
    pub fn written(&self) -> String {
        text(&self.output[0])
    }

    /// Waits until the program has written something to standard output or standard error.
    ///
    /// # Panics
    /// It does not write anything in time.
    pub fn await_told(&self, what: &str) {
        wait(&format!("{what:?} of {}", self.arguments), || {
            self.output.iter().any(|path| text(path).contains(what)).then_some(())
        });
    }

    /// Waits until the program has written these words and a number, in one line, to standard error. Returns the number.
    ///
    /// # Panics
    /// It does not write that in time.
    pub fn await_number(&self, words: &str) -> u32 {
        wait(&format!("{words:?} of {}", self.arguments), || {
            let text = text(&self.output[1]);
            let (number, _) = text.split_once(words)?.1.split_once(|char: char| !char.is_ascii_digit())?;
            number.parse().ok()
        })
    }

    /// Whether the program has ended.
    ///
    /// # Panics
    /// The system call fails.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }

    /// Waits until the program ends.
    ///
    /// # Panics
    /// It does not end in time.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let status =
            wait(&format!("end of {}", self.arguments), || self.child.try_wait().expect("it is a child"));
        let [stdout, stderr] = self.output.each_ref().map(|path| text(path));
        let (wine, stderr) = stderr.split_inclusive('\n').partition(|line| is_wines(line));
        Ended { code: status.code(), stdout, stderr, wine }
    }

    /// Presses Ctrl-C ([`interrupt`](Self::interrupt)) and waits until the program ends.
    #[must_use]
    pub fn interrupted(self) -> Ended {
        self.interrupt();
        self.end()
    }
}

impl Drop for Honeutil {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for path in &self.output {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a file for output and reserves its space. Otherwise a full disk could stop a program from writing its error
/// message, and the test would take it for a program that has no error.
fn create(path: &Path) -> File {
    let file = File::create(path).expect("the folder is there");
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
        Ok(()) | Err(Errno::OPNOTSUPP) => file,
        Err(error) => panic!("no room for {}: {error}", path.display()),
    }
}

/// Whether a line is Wine's own: `THREAD:CLASS:CHANNEL:...`.
fn is_wines(line: &str) -> bool {
    line.split_once(':').is_some_and(|(thread, rest)| {
        thread.len() == 4
            && thread.bytes().all(|byte| byte.is_ascii_hexdigit())
            && ["err:", "trace:"].iter().any(|class| rest.starts_with(class))
    })
}

fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it was made");
    String::from_utf8_lossy(&bytes).into_owned()
}

impl crate::Probe {
    /// Presses Ctrl-Break for every running `honeutil.exe`. Returns how many there are.
    ///
    /// # Panics
    /// The event cannot be sent to one of them.
    pub fn break_honeutils(&mut self) -> usize {
        let programs = self.command(&format!("programs {PROGRAM}")).expect("Wine lists them");
        let programs: Vec<_> = programs.split_whitespace().collect();
        for pid in &programs {
            self.command(&format!("signal {pid} {BREAK}")).expect("it runs");
        }
        programs.len()
    }
}
