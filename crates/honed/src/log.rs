//! The log: messages on standard error. The level mask selects them and may change at any time.
//!
//! In systemd's journal each line begins with its priority (sd-daemon(3)), elsewhere with the time. A log file is
//! started anew when it reaches its largest size, and one former file is kept. Owns the mask and the file. Called by
//! every thread.

mod limit;

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hone_client::{LogLevels, state_file};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static MASK: AtomicU32 = AtomicU32::new(LogLevels::ERROR);

/// Where messages go: the configured file, or else standard error.
static OUTPUT: OnceLock<Output> = OnceLock::new();

enum Output {
    Journal,
    Standard,
    File(Mutex<LogFile>),
}

/// Largest size of a log file, bytes. Together with the former file, the log takes twice as much at most.
const FILE_BYTES: u64 = 8 << 20;

struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
}

impl LogFile {
    fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = state_file::open_log(path).map_err(io::Error::other)?;
        let found = file.metadata()?;
        let bytes = found.len();
        // A device, such as /dev/null, is never full and keeps its name.
        let most = if found.is_file() { most } else { u64::MAX };
        Ok(Self { path: path.to_owned(), file, bytes, most })
    }

    /// Adds a line. If the next file cannot be started, the old one is continued.
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.bytes + line.len() as u64 > self.most && self.bytes > 0 {
            let mut former = self.path.clone().into_os_string();
            former.push(".1");
            if let Ok(next) =
                std::fs::rename(&self.path, former).and_then(|()| Self::open(&self.path, self.most))
            {
                *self = next;
            }
        }
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

/// Sends messages from now on to a file, or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn start(levels: LogLevels, file: Option<&Path>) -> io::Result<()> {
    set_levels(levels);
    let output = match file {
        Some(path) => Output::File(Mutex::new(LogFile::open(path, FILE_BYTES)?)),
        None if is_journal() => Output::Journal,
        None => Output::Standard,
    };
    let _ = OUTPUT.set(output);
    let subscriber = tracing_subscriber::registry().with(Log);
    // Fails only if it was called before.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Writes how many messages were left out: those whose period is over, or all. Call it from time to time.
pub(crate) fn say_what_was_left_out(all: bool) {
    for (level, text) in limit::left_out(all) {
        write(level, &text);
    }
}

/// Writes a line in one system call, so that lines of several threads do not mix. The service continues even if it
/// fails.
fn write(level: Level, text: &str) {
    let Some(output) = OUTPUT.get() else { return };
    let (_, priority, name) = meaning(level);
    let mut line = String::new();
    let _ = match output {
        Output::Journal => write!(line, "<{priority}>"),
        _ => {
            // UTC, with microseconds.
            let _ = SystemTime.format_time(&mut Writer::new(&mut line));
            write!(line, " honed: {name}")
        }
    };
    line.push_str(text);
    line.push('\n');
    let _ = match output {
        Output::File(file) => file.lock().write(&line),
        _ => io::stderr().write_all(line.as_bytes()),
    };
}

/// Whether standard error is the journal's: a process that systemd did not start may have inherited the variable, but
/// not the stream (systemd.exec(5)).
fn is_journal() -> bool {
    let stream = rustix::fs::fstat(std::io::stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| stream.is_ok_and(|stream| stream == named))
}

/// Sets which messages are written.
pub(crate) fn set_levels(levels: LogLevels) {
    MASK.store(levels.mask(), Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Which messages are written.
pub(crate) fn levels() -> LogLevels {
    LogLevels::from_mask(MASK.load(Relaxed)).unwrap_or_default()
}

/// Whether messages about the lock are written.
pub(crate) fn shows_lock_status() -> bool {
    MASK.load(Relaxed) & LogLevels::LOCK_STATUS != 0
}

/// A level's bit, its priority in the journal and its name.
const fn meaning(level: Level) -> (u32, u8, &'static str) {
    match level {
        Level::ERROR => (LogLevels::ERROR, 3, "error: "),
        Level::WARN => (LogLevels::WARNING, 4, "warning: "),
        Level::INFO => (LogLevels::INFORMATION, 6, ""),
        Level::DEBUG => (LogLevels::VERBOSE, 7, ""),
        Level::TRACE => (LogLevels::LOCK_STATUS, 7, "lock: "),
    }
}

struct Log;

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        MASK.load(Relaxed) & meaning(*metadata.level()).0 != 0
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line(String::new());
        event.record(&mut line);
        // More verbose messages are not limited: a user who enables them wants all of them.
        if *metadata.level() <= Level::INFO {
            let (admitted, before) = limit::admit_now(metadata, &line.0);
            if let Some((level, text)) = before {
                write(level, &text);
            }
            if !admitted {
                return;
            }
        }
        write(*metadata.level(), &line.0);
    }
}

/// A message without line ends, or anything else that could steer a terminal, within it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let start = self.0.len();
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        // Control characters, and those that turn the direction of writing (Unicode, bidirectional formatting).
        let steers = |c: char| {
            c.is_control()
                || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        };
        if self.0[start..].contains(steers) {
            let text = self.0[start..].replace(steers, " ");
            self.0.replace_range(start.., &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_is_bounded_and_follows_no_link() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path, 100).expect("it can be made");
        for number in 0..30 {
            log.write(&format!("line {number:04}\n")).expect("there is room");
        }
        let read = |path: &Path| std::fs::read_to_string(path).expect("it is there");
        let (former, now) = (read(&directory.path().join("log.1")), read(&path));
        assert_eq!((former.len(), now.len()), (100, 100));
        assert!(former.starts_with("line 0010") && now.ends_with("line 0029\n"), "{former}{now}");
        assert_eq!(LogFile::open(&path, 100).expect("it goes on").bytes, 100);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("it can be made");
        assert!(LogFile::open(&link, 100).is_err());
        assert_eq!(LogFile::open(Path::new("/dev/null"), 100).expect("it is there").most, u64::MAX);
    }
}
