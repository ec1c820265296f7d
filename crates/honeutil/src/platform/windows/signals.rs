//! Ctrl-C stops, Ctrl-Break begins the next file.

use std::io;
use std::process::exit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hone_windows::console::{Signal, on_signal};

use crate::record::control::{Control, FORCE_AFTER, FORCED_STATUS};

/// Has Ctrl-C, Ctrl-Break and the window's end reach the control.
///
/// # Errors
/// If Windows refuses the handler.
pub fn register(control: &Control) -> io::Result<()> {
    let (stop, restart, force) = (control.stop_flag(), control.restart_flag(), control.force_flag());
    // A write that waits for a pipe's reader holds up the one thread that looks at the control. This one is Windows' own.
    let first = OnceLock::<Instant>::new();
    on_signal(move |signal| match signal {
        Signal::Interrupt if first.get_or_init(Instant::now).elapsed() >= FORCE_AFTER => exit(FORCED_STATUS),
        Signal::Interrupt if force.load(Ordering::Relaxed) => exit(FORCED_STATUS),
        Signal::Interrupt | Signal::Close => stop.store(true, Ordering::Relaxed),
        Signal::Break => restart.store(true, Ordering::Relaxed),
    })
}

/// Has this program outlast one Ctrl-C; a second one ends it at once.
///
/// # Errors
/// If Windows refuses the handler.
pub fn outlast_one_interrupt() -> io::Result<()> {
    let interrupted = AtomicBool::new(false);
    on_signal(move |signal| match signal {
        // It goes to every program of a pipeline, and is for the recorder there.
        Signal::Break => {}
        Signal::Interrupt if !interrupted.swap(true, Ordering::Relaxed) => {}
        Signal::Interrupt | Signal::Close => exit(FORCED_STATUS),
    })
}
