//! The log: messages on standard error, by the levels of the mask, which may change at any time.
//!
//! In systemd's journal each line begins with its priority (sd-daemon(3)), elsewhere with the time. Owns the mask; called
//! by every thread.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hone_reader::LogLevels;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static MASK: AtomicU32 = AtomicU32::new(LogLevels::ERROR);

/// Sends messages to standard error from now on.
pub(crate) fn start(levels: LogLevels) {
    set_levels(levels);
    let subscriber = tracing_subscriber::registry().with(Log { journal: is_journal() });
    // Fails only if it was called before.
    let _ = tracing::subscriber::set_global_default(subscriber);
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

struct Log {
    journal: bool,
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        MASK.load(Relaxed) & meaning(*metadata.level()).0 != 0
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (_, priority, name) = meaning(*event.metadata().level());
        let mut line = Line(String::new());
        let _ = if self.journal {
            write!(line.0, "<{priority}>")
        } else {
            // UTC, with microseconds.
            let _ = SystemTime.format_time(&mut Writer::new(&mut line.0));
            write!(line.0, " honed: {name}")
        };
        event.record(&mut line);
        line.0.push('\n');
        // One write a line; a log that cannot be written is no reason to stop.
        let _ = std::io::stderr().write_all(line.0.as_bytes());
    }
}

/// A message without line ends within it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let start = self.0.len();
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        if self.0[start..].contains('\n') {
            let text = self.0[start..].replace('\n', " ");
            self.0.replace_range(start.., &text);
        }
    }
}
