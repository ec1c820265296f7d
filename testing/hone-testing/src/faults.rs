//! Faults on purpose: makes a chosen call of a program fail, or slow. `shim.c` does it, within the program.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

/// Kinds of calls, one of which may fail. The same numbers are in `shim.c`, which lists the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Class {
    /// write(2) and what else sends bytes.
    Write = 1,
    /// read(2) and what else receives bytes.
    Read,
    /// What opens a descriptor: files, sockets, eventfds.
    Descriptor,
    /// What works with files by their names, and sets things: rename(2), fsync(2), fstat(2), ioctl(2), bind(2).
    Name,
    /// Waiting for descriptors.
    Wait,
    /// mmap(2).
    Map,
    /// bpf(2).
    Bpf,
    /// `pthread_create`.
    Thread,
    /// `malloc` and its like.
    Memory,
}

impl Class {
    /// All of them.
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

    /// How its calls fail in life.
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
    /// With this error.
    Error(Errno),
    /// It does half of what was asked for.
    Short,
}

/// A call that was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The system call's number; of memory, the bytes asked for.
    pub call: u64,
    /// Its first argument: mostly a descriptor.
    pub argument: u64,
}

/// What makes calls of a program fail.
#[derive(Debug)]
pub struct Faults {
    directory: TempDir,
    control: File,
}

/// Numbers in the control file, as in `shim.c`.
const NUMBERS: usize = 8 + 10;

impl Faults {
    /// Compiles the shim; `None`, and `skipped:` is said, where it cannot be had.
    ///
    /// # Panics
    /// It does not compile, or `HONE_LIVE=required` is set and it cannot be had.
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

    /// Has the command loaded with the shim.
    pub fn load(&self, command: &mut Command) {
        let directory = self.directory.path();
        command.env("LD_PRELOAD", library(directory)).env("HONE_FAULTS", directory.join("control"));
    }

    fn set(&self, class: u64, [nth, times, error, delay]: [u64; 4]) {
        // Nothing fails while the numbers change.
        for class in [0, class] {
            let mut numbers = [0; NUMBERS];
            numbers[..5].copy_from_slice(&[class, nth, times, error, delay]);
            self.control.write_all_at(&numbers.map(u64::to_ne_bytes).concat(), 0).expect("the file is ours");
        }
    }

    /// Lets all be as it is, and counts calls from now on.
    pub fn disarm(&self) {
        self.set(0, [0; 4]);
    }

    /// Has the `nth` call of a class from now on fail, from 1, and those after it until `times` have.
    pub fn arm(&self, class: Class, nth: u64, times: u64, fault: Fault) {
        let error = match fault {
            Fault::Error(error) => error.raw_os_error().unsigned_abs().into(),
            Fault::Short => 0,
        };
        self.set(class as u64, [nth, times, error, 0]);
    }

    /// Has each call of a class take so much longer.
    pub fn delay(&self, class: Class, delay: Duration) {
        let micros = delay.as_micros().try_into().expect("it is short");
        self.set(class as u64, [0, 0, 0, micros]);
    }

    fn number(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, index * 8).expect("the file is ours");
        u64::from_ne_bytes(bytes)
    }

    /// Calls of a class that were counted.
    #[must_use]
    pub fn calls(&self, class: Class) -> u64 {
        self.number(8 + class as u64)
    }

    /// The call that failed last, if one did.
    #[must_use]
    pub fn failed(&self) -> Option<Failed> {
        (self.number(5) > 0).then(|| Failed { call: self.number(6), argument: self.number(7) })
    }
}

fn library(directory: &Path) -> PathBuf {
    directory.join("shim.so")
}

/// Which of `calls` calls are to fail, one after the other, and how: `most` of them, spread evenly over all. With
/// `HONE_FAULT_POINTS` in the environment, as many as that says; with `HONE_FAULT_POINTS=all`, each in every way.
///
/// # Panics
/// The variable is something else.
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
    // The ways in turn.
    (0..most).zip(faults.iter().cycle()).map(|(index, fault)| (spread(index), *fault)).collect()
}
