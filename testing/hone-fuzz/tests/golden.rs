//! Golden recordings: data that the kernel has sent, kept as it came from the ring buffer, and played through decoder,
//! engine and readers. The SHA-256 digests of the bytes that the readers get are compared with the digests from the day
//! when the recording was made. So they show whether a change that should not affect these bytes does affect them.
//!
//! A recording is a pair of files: `NAME.restated` is the snapshot of the host at the start, `NAME.live` is what
//! followed. Set `HONE_GOLDEN` to a directory with more recordings; set `HONE_GOLDEN_KEEP` to write new digests into
//! its file `digests`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use hone_engine::{Config, Engine, Event, Filter, Nanos, Read, ReaderId, ReaderOptions, SnapLength};
use hone_linux::fuzzing::Records;
use sha2::{Digest as _, Sha256};

/// Number of events between two reads.
const BATCH: usize = 100;

/// A reader, and the digest of what it has read.
struct Reader {
    id: ReaderId,
    /// It reads in every `every`th round.
    every: usize,
    digest: Sha256,
    bytes: u64,
}

struct Play {
    engine: Engine,
    readers: Vec<Reader>,
    /// The latest time of any event.
    now: Nanos,
    events: usize,
}

impl Play {
    fn new() -> Self {
        let config = Config { max_ring_bytes: 1 << 20, ..Config::default() };
        Self { engine: Engine::new(config).expect("there is memory"), readers: vec![], now: 0, events: 0 }
    }

    /// Attaches typical readers: one for everything, one for headers only, one with a filter, and one that is so slow
    /// that its ring buffer overflows.
    fn attach(&mut self) {
        for (ring_bytes, snap_length, every) in
            [(1 << 20, 0, 1), (1 << 20, 68, 1), (1 << 20, 1500, 3), (1024, 0, 10)]
        {
            let options = ReaderOptions {
                ring_bytes: Some(ring_bytes),
                pinned_bytes: 128 << 20,
                snap_length: SnapLength::lenient(snap_length),
            };
            let id = self.engine.attach(&options, self.now).expect("there is memory");
            self.readers.push(Reader { id, every, digest: Sha256::new(), bytes: 0 });
        }
        let filtered = self.readers[2].id;
        self.engine.set_filter(filtered, Filter::ExcludeProcesses(&[0, 1])).expect("there is memory");
    }

    fn event(&mut self, event: &Event<'_>) {
        let before = self.now;
        self.now = self.now.max(event.at());
        // A long pause, in which the sensor reports nothing.
        if before > 0 && self.now - before > 100_000_000 {
            self.engine.tick(before + 100_000_000);
        }
        let _ = self.engine.handle(event);
        self.events += 1;
        if self.events.is_multiple_of(BATCH) {
            self.read(self.events / BATCH);
        }
        if self.events.is_multiple_of(50 * BATCH) {
            for reader in &self.readers {
                // The engine refuses it while the mark before has not been read.
                let _ = self.engine.mark_restart(reader.id, self.now);
            }
        }
    }

    fn read(&mut self, round: usize) {
        let mut buffer = vec![0; 65_536];
        for reader in &mut self.readers {
            if !round.is_multiple_of(reader.every) {
                continue;
            }
            loop {
                match self.engine.read(reader.id, &mut buffer, self.now).expect("it is attached") {
                    Read::Bytes(length) => {
                        reader.digest.update(&buffer[..length]);
                        reader.bytes += length as u64;
                    }
                    Read::SectionEnd => reader.digest.update(b"section end"),
                    Read::Empty => break,
                }
            }
        }
    }

    fn end(&mut self) {
        self.engine.flush_held();
        for reader in &self.readers {
            let _ = self.engine.mark_restart(reader.id, self.now);
        }
        self.read(0);
    }
}

/// The digests of a recording, one per reader.
fn digests(stem: &Path) -> String {
    let part = |extension| {
        let path = stem.with_extension(extension);
        let packed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut bytes = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut bytes).expect("it is gzip");
        bytes
    };
    let (restated, live) = (part("restated.gz"), part("live.gz"));
    let mut records = Records::since_boot();
    let mut play = Play::new();
    let taken = records.deliver(&restated, &mut |event| {
        play.now = play.now.max(event.at());
        let _ = play.engine.restate(&event);
    });
    assert_eq!(taken, restated.len(), "{} is read to its end", stem.display());
    play.attach();
    let taken = records.deliver(&live, &mut |event| play.event(&event));
    assert_eq!(taken, live.len(), "{} is read to its end", stem.display());
    play.end();
    play.readers.into_iter().fold(String::new(), |mut text, reader| {
        for byte in reader.digest.finalize() {
            write!(text, "{byte:02x}").expect("a String takes it");
        }
        write!(text, ":{} ", reader.bytes).expect("a String takes it");
        text
    })
}

fn check(directory: &Path) {
    let found: BTreeMap<PathBuf, String> = fs::read_dir(directory)
        .expect("the directory can be read")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter_map(|path| {
            let stem = path.file_name()?.to_str()?.strip_suffix(".live.gz")?;
            Some((directory.join(stem), digests(&directory.join(stem))))
        })
        .collect();
    assert!(!found.is_empty(), "no recording in {}", directory.display());
    let text = found.iter().fold(String::new(), |text, (stem, digests)| {
        let name = stem.file_name().unwrap_or_default().to_string_lossy();
        format!("{text}{name} {}\n", digests.trim_end())
    });
    let kept = directory.join("digests");
    if env::var_os("HONE_GOLDEN_KEEP").is_some() {
        fs::write(&kept, &text).expect("the digests can be written");
    }
    let kept = fs::read_to_string(&kept).expect("there are digests");
    assert_eq!(text, kept, "what readers get has changed");
}

#[test]
fn recordings_give_the_bytes_that_they_always_gave() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    if let Some(directory) = env::var_os("HONE_GOLDEN") {
        check(Path::new(&directory));
    }
}
