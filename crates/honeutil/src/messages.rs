//! Messages on standard error, and a progress line that is redrawn during a recording.
//!
//! Uses no escape codes. A line is erased by writing blanks over it, which works on any terminal.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::platform::file::is_pipe_closed;
use crate::platform::terminal;
use crate::text::printable_lines;

const REDRAW: Duration = Duration::from_millis(250);
const DEFAULT_WIDTH: usize = 80;
/// Columns left free at the end of the line for the `^C` that terminals show.
const ECHO: usize = 2;

/// Length of the line that is on the terminal now, in characters.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    wanted: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// Draws on standard error, if that is a terminal and the line is `wanted`.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self { terminal: io::stderr().is_terminal(), wanted, drawn: None }
    }

    /// Draws the line that `text` returns, unless the last one was drawn too recently.
    pub fn update(&mut self, text: impl FnOnce() -> String) {
        if !self.terminal || !self.wanted || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        // A terminal that was stopped (Ctrl-S) must not block the recording.
        if !terminal::is_ready() {
            return;
        }
        let width = match terminal::width() {
            0 => DEFAULT_WIDTH,
            width => width,
        };
        let line = fit(&text(), width.saturating_sub(ECHO + 1));
        let blanks = SHOWN.swap(line.chars().count(), Ordering::Relaxed);
        let _ = write!(io::stderr(), "\r{line:blanks$}");
    }

    /// Erases the line from the terminal.
    pub fn erase(&mut self) {
        erase();
    }

    /// Whether the line's terminal has hung up.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.terminal && terminal::has_hung_up()
    }
}

fn erase() {
    let shown = SHOWN.swap(0, Ordering::Relaxed);
    if shown > 0 {
        let shown = shown + ECHO;
        let _ = write!(io::stderr(), "\r{:shown$}\r", "");
    }
}

/// As much of `text` as fits.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut line: String = text.chars().take(width.saturating_sub(2)).collect();
    line.push_str(&".."[..width.min(2)]);
    line
}

/// Standard error for messages. Each begins on a new line, and errors of writing are ignored. Quoted text (a path, a
/// name from the kernel, a log) is escaped so that it cannot control the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        erase();
        let _ = io::stderr().write_all(printable_lines(&String::from_utf8_lossy(bytes)).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message on standard error, on a line of its own.
pub(crate) fn say(message: impl fmt::Display) {
    let _ = writeln!(Messages, "{message}");
}

/// Writes the output of a command to standard output. Returns the exit status, because the output's reader may have
/// closed it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_pipe_closed(&error) => Ok(ExitCode::FAILURE),
        Err(error) => bail!("cannot write standard output: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_line_fits_every_width() {
        for width in 0..20 {
            assert!(fit("0123456789", width).chars().count() <= width);
        }
        assert_eq!(fit("0123456789", 10), "0123456789");
        assert_eq!(fit("0123456789", 9), "0123456..");
        assert_eq!(fit("üüüü", 3), "ü..");
    }
}
