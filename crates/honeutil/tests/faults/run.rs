//! honeutil, run to its end, and what must hold however it ends.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use hone_pcapng::{Block, Reader};
use hone_testing::{Class, Failed, Fault, Faults, Guarded};
use tempfile::TempDir;

pub(crate) const HONEUTIL: &str = env!("CARGO_BIN_EXE_honeutil");
/// SIGABRT.
const ABORT: i32 = 6;
/// The descriptor of messages.
const STDERR: u64 = 2;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// Which call was to fail, and how; none: nothing fails.
    pub(crate) fault: Option<(Class, u64, Fault)>,
    pub(crate) failed: Option<Failed>,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs it with this fault.
pub(crate) fn run(faults: &Faults, fault: Option<(Class, u64, Fault)>, command: &mut Command) -> Run {
    let directory = hone_testing::directory();
    let stdout = directory.path().join("stdout");
    let stderr = directory.path().join("stderr");
    let file = |path: &Path| File::create(path).expect("the directory is ours");
    faults.load(command);
    command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr));
    if let Some((class, nth, fault)) = fault {
        faults.arm(class, nth, 1, fault);
    }
    let status = Guarded::spawn(command).wait(format!("{command:?} ends with {fault:?}"));
    Run {
        fault,
        failed: fault.and_then(|_| faults.failed()),
        status,
        stdout: std::fs::read(stdout).expect("it is there"),
        stderr: String::from_utf8_lossy(&std::fs::read(stderr).expect("it is there")).into_owned(),
    }
}

/// How many calls of each class a command makes where none fails; it must succeed.
pub(crate) fn count(faults: &Faults, command: &mut Command) -> [(Class, u64); 9] {
    faults.disarm();
    let run = run(faults, None, command);
    assert!(run.status.success(), "{run:#?}");
    Class::ALL.map(|class| (class, faults.calls(class)))
}

impl Run {
    /// Checks that it ended by itself: with success, or with an error message. Returns whether it succeeded.
    pub(crate) fn assert_orderly(&self) -> bool {
        let class = self.fault.map(|(class, ..)| class);
        if self.status.signal() == Some(ABORT) {
            let said = class.map_or(&[][..], Class::last_words);
            assert!(said.iter().any(|words| self.stderr.contains(words)), "{self:#?}");
            return false;
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        match self.status.code() {
            Some(0) => true,
            Some(1) => {
                let unsaid = self.failed.is_some_and(|failed| failed.argument == STDERR);
                assert!(unsaid || self.says_why(), "{self:#?}");
                false
            }
            _ => panic!("{self:#?}"),
        }
    }

    /// Whether a line says what failed: more than a bare error of the system.
    fn says_why(&self) -> bool {
        self.stderr.lines().any(|line| {
            let error = line.strip_prefix("honeutil: ").or_else(|| line.trim_start().strip_prefix("WARN "));
            error.is_some_and(|error| error.split_whitespace().count() > 3)
        })
    }

    /// Packets that the summary counts, where there is one.
    pub(crate) fn recorded(&self) -> Option<u64> {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("Recorded "))?;
        line.split_whitespace().next()?.replace(',', "").parse().ok()
    }
}

/// The files in a directory, by name.
pub(crate) fn files(directory: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is ours");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the directory is ours").path()).collect();
    files.sort();
    files
}

/// What is in a recording.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) sections: u64,
    /// Sections that end with their statistics.
    pub(crate) ended: u64,
    pub(crate) packets: u64,
    /// Packets that the statistics count as in there, and as lost.
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    /// Earliest and latest packet, in ns since 1970.
    pub(crate) times: Option<(u64, u64)>,
}

/// Reads a recording, which must be whole blocks to its last byte.
pub(crate) fn contents(path: &Path) -> Contents {
    let mut bytes = Vec::new();
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let done = if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::stream::read::Decoder::new(file).and_then(|mut decoder| decoder.read_to_end(&mut bytes))
    } else {
        (&file).read_to_end(&mut bytes)
    };
    done.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader::new();
    let mut contents = Contents::default();
    reader.feed(&bytes).expect("there is memory");
    while let Some(item) = reader.next_block().unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        match item.block {
            Block::Section(_) => contents.sections += 1,
            Block::Statistics(block) => {
                contents.ended += 1;
                contents.delivered += block.delivered.unwrap_or(0);
                contents.dropped += block.dropped_by_source.unwrap_or(0) + block.dropped_by_ring.unwrap_or(0);
            }
            Block::Packet(_) => {
                contents.packets += 1;
                let at = item.nanos.expect("a packet has a time");
                let (first, last) = contents.times.unwrap_or((at, at));
                contents.times = Some((first.min(at), last.max(at)));
            }
            _ => {}
        }
    }
    reader.finish().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    contents
}
