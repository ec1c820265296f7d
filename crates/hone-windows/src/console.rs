//! Signals of the console.

use std::io;
use std::sync::OnceLock;
use std::thread;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

use crate::check;

/// What the user or Windows requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Break.
    Break,
    /// The window is closed, the user logs off, or the computer shuts down. Windows ends the program after some seconds
    /// (five when a window is closed, `HandlerRoutine`).
    Close,
}

type Handler = Box<dyn Fn(Signal) + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Calls the handler for each signal, on a thread of Windows, instead of ending the program (`SetConsoleCtrlHandler`).
/// Only once in a program.
///
/// After [`Signal::Close`], Windows would end the program as soon as its handler returns, even if other threads are
/// still working. So this waits after the handler until the program has ended.
///
/// # Errors
/// There is a handler already, or Windows refuses.
pub fn on_signal(handler: impl Fn(Signal) + Send + Sync + 'static) -> io::Result<()> {
    HANDLER.set(Box::new(handler)).map_err(|_| {
        io::Error::new(io::ErrorKind::AlreadyExists, "the console's signals have a handler already")
    })?;
    // SAFETY: the function may be called at any time, on any thread.
    check(unsafe { SetConsoleCtrlHandler(Some(handle), 1) })
}

extern "system" fn handle(event: u32) -> BOOL {
    let signal = match event {
        CTRL_C_EVENT => Signal::Interrupt,
        CTRL_BREAK_EVENT => Signal::Break,
        _ => Signal::Close,
    };
    if let Some(handler) = HANDLER.get() {
        handler(signal);
    }
    if signal == Signal::Close {
        loop {
            thread::park();
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use std::os::windows::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use windows_sys::Win32::System::Console::{
        CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, GenerateConsoleCtrlEvent,
    };
    use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Runs in a program of its own, because every program that shares the console receives the signal.
    #[test]
    #[ignore = "is a part of the next test"]
    fn child() {
        let (sender, told) = channel();
        let sender = Mutex::new(sender);
        on_signal(move |signal| sender.lock().expect("it is sound").send(signal).expect("it is awaited"))
            .expect("there is no handler yet");
        assert!(on_signal(|_| {}).is_err(), "there is one");
        // SAFETY: it takes numbers: to all programs of this console.
        check(unsafe { GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) }).expect("there is a console");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Signal::Interrupt));
        // Wine sends Ctrl-C only, and Windows nothing but these two.
        assert_eq!(handle(CTRL_BREAK_EVENT), 1, "the program runs on");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Signal::Break));
        for event in [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT] {
            let thread = thread::spawn(move || handle(event));
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Signal::Close));
            thread.thread().unpark();
            thread::sleep(Duration::from_millis(20));
            assert!(!thread.is_finished(), "Windows would end the program");
        }
    }

    #[test]
    fn signals_arrive_and_after_the_last_nothing_ends_before_the_program() {
        let mut child = Command::new(std::env::current_exe().expect("it has a path"));
        child.args(["--exact", "console::tests::child", "--include-ignored", "--nocapture"]);
        let child = child.creation_flags(CREATE_NO_WINDOW).stdin(Stdio::null());
        assert!(child.status().expect("it starts").success());
    }
}
