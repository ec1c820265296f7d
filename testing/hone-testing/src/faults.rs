//! Injects faults: makes a chosen call of a program fail, or makes it slow. `shim.c` does this inside the program.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

/// Classes of calls. The numbers are the same in `shim.c`, which lists the calls of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Class {
    /// write(2) and other calls that send bytes.
    Write = 1,
    /// read(2) and other calls that receive bytes.
    Read,
    /// Calls that open a descriptor: files, sockets, eventfds.
    Descriptor,
    /// Calls that use files by name or change settings: rename(2), fsync(2), fstat(2), ioctl(2), bind(2).
    Name,
    /// Calls that wait for descriptors.
    Wait,
    /// mmap(2).
    Map,
    /// bpf(2).
    Bpf,
    /// `pthread_create`.
    Thread,
    /// `malloc` and similar functions.
    Memory,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 9] = [
        Self::Write,
        Self::Read,
        Self::Descriptor,
        Self::Name,
        Self::Wait,
        Self::Map,
        Self::Bpf,
        Self::Thread,
        Self::Memory,
    ];

    /// What a program says that aborts because a call of this class fails: Rust's standard library or the C library aborts
    /// where it has no memory, or no room for the stack of signal handlers. Nothing, where no program may abort.
    #[must_use]
    pub const fn last_words(self) -> &'static [&'static str] {
        match self {
            Self::Memory => {
                &["memory allocation of", "fatal runtime error", "failed to register TLS destructor"]
            }
            Self::Map => &["failed to allocate an alternative stack", "fatal runtime error"],
            _ => &[],
        }
    }

    /// How calls of this class can fail in practice.
    #[must_use]
    pub const fn faults(self) -> &'static [Fault] {
        use Fault::{Error, Short};
        match self {
            Self::Write => &[Error(Errno::NOSPC), Short, Error(Errno::INTR), Error(Errno::IO)],
            Self::Read => &[Error(Errno::IO), Short, Error(Errno::INTR)],
            Self::Descriptor => &[Error(Errno::MFILE), Error(Errno::ACCESS)],
            Self::Name => &[Error(Errno::IO), Error(Errno::PERM)],
            Self::Wait => &[Error(Errno::INTR), Error(Errno::NOMEM)],
            Self::Map | Self::Memory => &[Error(Errno::NOMEM)],
            Self::Bpf => &[Error(Errno::NOMEM), Error(Errno::PERM)],
            Self::Thread => &[Error(Errno::AGAIN)],
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It returns this error.
    Error(Errno),
    /// It does only half of the requested work.
    Short,
}

/// A call that was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The system call's number. For memory, the requested number of bytes.
    pub call: u64,
    /// The call's first argument, usually a descriptor.
    pub argument: u64,
}

/// Controls which calls of a program fail.
#[derive(Debug)]
pub struct Faults {
    directory: TempDir,
    control: File,
}

/// Number of values in the control file, as in `shim.c`.
const NUMBERS: usize = 8 + 10;

impl Faults {
    /// Compiles the shim. Where that is not possible, prints `skipped:` and returns `None`.
    ///
    /// # Panics
    /// The shim does not compile; or it is not available although `HONE_LIVE=required` is set.
    #[must_use]
    pub fn build() -> Option<Self> {
        if cfg!(not(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))) {
            crate::skip("the shim that makes calls fail knows glibc on x86_64 and aarch64");
            return None;
        }
        let directory = crate::directory();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(library(directory.path()))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shim.c"))
            .arg("-ldl");
        let output = match cc.output() {
            Ok(output) => output,
            Err(error) => {
                crate::skip(&format!("no C compiler: cannot start cc: {error}"));
                return None;
            }
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let control = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(directory.path().join("control"))
            .expect("the directory is ours");
        let faults = Self { directory, control };
        faults.disarm();
        Some(faults)
    }

    /// Makes the command load the shim.
    pub fn load(&self, command: &mut Command) {
        let directory = self.directory.path();
        command.env("LD_PRELOAD", library(directory)).env("HONE_FAULTS", directory.join("control"));
    }

    fn set(&self, class: u64, [nth, times, error, delay]: [u64; 4]) {
        // Set to 0 first, so that no call fails while the numbers change.
        for class in [0, class] {
            let mut numbers = [0; NUMBERS];
            numbers[..5].copy_from_slice(&[class, nth, times, error, delay]);
            self.control.write_all_at(&numbers.map(u64::to_ne_bytes).concat(), 0).expect("the file is ours");
        }
    }

    /// Ends all faults, and starts to count calls from 0.
    pub fn disarm(&self) {
        self.set(0, [0; 4]);
    }

    /// Makes the `nth` call of a class from now on fail (the first call is 1), and the next ones until `times` calls
    /// have failed.
    pub fn arm(&self, class: Class, nth: u64, times: u64, fault: Fault) {
        let error = match fault {
            Fault::Error(error) => error.raw_os_error().unsigned_abs().into(),
            Fault::Short => 0,
        };
        self.set(class as u64, [nth, times, error, 0]);
    }

    /// Delays each call of a class by `delay`.
    pub fn delay(&self, class: Class, delay: Duration) {
        let micros = delay.as_micros().try_into().expect("it is short");
        self.set(class as u64, [0, 0, 0, micros]);
    }

    fn number(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, index * 8).expect("the file is ours");
        u64::from_ne_bytes(bytes)
    }

    /// Number of calls of a class that were counted.
    #[must_use]
    pub fn calls(&self, class: Class) -> u64 {
        self.number(8 + class as u64)
    }

    /// The last call that was made to fail. `None` if there was none.
    #[must_use]
    pub fn failed(&self) -> Option<Failed> {
        (self.number(5) > 0).then(|| Failed { call: self.number(6), argument: self.number(7) })
    }
}

fn library(directory: &Path) -> PathBuf {
    directory.join("shim.so")
}

/// Chooses which of `calls` calls fail, one at a time, and how: `most` of them, spread evenly. The environment variable
/// `HONE_FAULT_POINTS` sets another number; `HONE_FAULT_POINTS=all` makes each call fail in every possible way.
///
/// # Panics
/// The variable has another value.
#[must_use]
pub fn points(class: Class, calls: u64, most: u64) -> Vec<(u64, Fault)> {
    let faults = class.faults();
    let most = match std::env::var("HONE_FAULT_POINTS").ok().as_deref() {
        Some("all") => {
            return (1..=calls).flat_map(|nth| faults.iter().map(move |fault| (nth, *fault))).collect();
        }
        Some(number) => number.parse().expect("HONE_FAULT_POINTS is a number or `all`"),
        None => most,
    };
    let most = most.min(calls);
    let spread = |index: u64| match most {
        1 => calls.div_ceil(2),
        _ => 1 + index * (calls - 1) / (most - 1),
    };
    // Uses the possible faults in turn.
    (0..most).zip(faults.iter().cycle()).map(|(index, fault)| (spread(index), *fault)).collect()
}
