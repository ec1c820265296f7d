//! The terminal that messages go to, and standard input.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;

use super::file::writable;

/// Columns of the terminal on standard error; 0: not known.
#[must_use]
pub fn width() -> usize {
    tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col))
}

/// Whether it can be written to without waiting. A terminal that was stopped with Ctrl-S can't.
#[must_use]
pub fn is_ready() -> bool {
    writable(&io::stderr(), Duration::ZERO).is_ok_and(|state| state.contains(PollFlags::OUT))
}

/// Whether it has hung up.
#[must_use]
pub fn has_hung_up() -> bool {
    writable(&io::stderr(), Duration::ZERO).is_ok_and(|state| state.contains(PollFlags::HUP))
}

/// Whether the terminal on standard input has hung up: nothing can be read from it any more.
#[must_use]
pub fn has_input_hung_up() -> bool {
    let stdin = io::stdin();
    let mut inputs = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut inputs, Some(&Timespec::default())).is_ok()
        && inputs[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Whether it is said to draw block elements, such as the ones of sparklines. The console of Linux has few characters, and a locale
/// that is given may have none of these.
#[must_use]
pub fn has_block_elements() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let is_utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    is_utf8 && std::env::var_os("TERM").is_none_or(|terminal| terminal != "linux")
}

/// Waits for Enter; any signal will do as well.
pub fn wait_for_enter() {
    let stdin = io::stdin();
    if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None).is_ok() {
        let _ = stdin.read_line(&mut String::new());
    }
}
