//! The console that messages go to, and standard input.

use ratatui::crossterm::terminal::size;

/// Columns of the console; 0: not known.
#[must_use]
pub fn width() -> usize {
    size().map_or(0, |(columns, _)| columns.into())
}

/// Whether it can be written to without waiting. Windows does not say: while text is selected in the window, a write waits.
#[must_use]
pub const fn is_ready() -> bool {
    true
}

/// Whether it has hung up; a console does not, its end is a signal.
#[must_use]
pub const fn has_hung_up() -> bool {
    false
}

/// Whether nothing can be read from it any more; a console does not hang up, its end is a signal.
#[must_use]
pub const fn has_input_hung_up() -> bool {
    false
}

/// Whether it is said to draw block elements, such as the ones of sparklines. Windows Terminal does; the fonts of the older console
/// lack some.
#[must_use]
pub fn has_block_elements() -> bool {
    std::env::var_os("WT_SESSION").is_some()
}

/// Waits for Enter.
pub fn wait_for_enter() {
    let _ = std::io::stdin().read_line(&mut String::new());
}
