//! SIGINT and SIGTERM stop, SIGHUP begins the next file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

use crate::record::control::{Control, FORCED_STATUS};

/// Has SIGINT, SIGTERM and SIGHUP reach the control. Also keeps SIGXFSZ from killing the program, so that a write over
/// the limit is an error like a full disk.
///
/// # Errors
/// If the system refuses a handler.
pub fn register(control: &Control) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, FORCED_STATUS, control.force_flag())?;
        flag::register(signal, control.stop_flag())?;
    }
    flag::register(SIGHUP, control.restart_flag())?;
    ignore_file_size_signal()
}

/// Has SIGUSR1 ask for what is kept to be saved.
///
/// # Errors
/// If the system refuses the handler.
pub fn save_on_request(control: &Control) -> io::Result<()> {
    flag::register(SIGUSR1, control.save_flag()).map(drop)
}

/// Makes a write over the file size limit fail with `EFBIG` instead of killing the process.
///
/// # Errors
/// If the system refuses the handler.
pub fn ignore_file_size_signal() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Has this program outlast one SIGINT; a second one ends it at once.
///
/// # Errors
/// If the system refuses the handler.
pub fn outlast_one_interrupt() -> io::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    flag::register_conditional_shutdown(SIGINT, FORCED_STATUS, Arc::clone(&interrupted))?;
    flag::register(SIGINT, interrupted).map(drop)
}
