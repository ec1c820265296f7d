//! `top`: a live table of the traffic of processes or connections. One thread reads the feed into the [`model`],
//! handles keys and signals, and draws what [`view`] makes of it. Owns the terminal, and always restores it.

pub mod model;
pub mod view;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use hone_engine::{BYTE_ORDER, Read, SnapLength};
use hone_select::{Selection, Word};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::record::control::Control;
use crate::record::feed::Feed;
use model::Model;
use view::{Sort, Table, View};

/// Bytes kept of each packet: enough for its headers, also for IPv6 with some extensions.
const HEADERS: SnapLength = SnapLength::lenient(128);
/// Longest wait for the feed. A key is handled at most this much later.
const WAIT: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 1 << 20;

/// The terminal, in the state that drawing needs. A panic restores it as well: ratatui does that.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| ratatui::restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Bytes wanted of each packet: its headers, but all of it where an expression can look at any byte.
#[must_use]
pub fn snap_length(selection: &Selection) -> SnapLength {
    let has_filter = selection.conditions().any(|condition| condition.word == Word::Filter);
    if has_filter { SnapLength::ALL } else { HEADERS }
}

/// Whether there is a terminal to draw on and to read keys from.
///
/// # Errors
/// There is none.
pub fn check_terminal() -> anyhow::Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("top draws on a terminal and reads its keys; for files and pipes use `honeutil read`");
    }
    Ok(())
}

/// Shows the feed's traffic until the user quits.
///
/// # Errors
/// The feed fails or ends, or the terminal does.
pub fn run(mut feed: Box<dyn Feed>, control: &mut Control, interval: Duration) -> anyhow::Result<()> {
    let mut screen = Screen::open().map_err(|error| anyhow!("cannot set up the terminal: {error}"))?;
    let mut model = Model::new();
    model.of_service = feed.losses().of_service;
    let mut view = View::new(std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()));
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let mut ticked = Instant::now();
    let mut stale = true;
    loop {
        if control.stopping().is_some() || control.take_restart() {
            return Ok(());
        }
        take(&mut *feed, &mut model, &mut buffer, &mut filled)?;
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
                    if !press(&mut view, key.code, is_control) {
                        return Ok(());
                    }
                    stale = true;
                }
                Event::Resize(..) => stale = true,
                _ => {}
            }
        }
        let passed = ticked.elapsed();
        if passed >= interval {
            ticked = Instant::now();
            model.tick(passed, feed.dropped_packets());
            stale = true;
        }
        if stale {
            screen.0.draw(|frame| view.render(&model, frame))?;
            stale = false;
        }
    }
}

/// Reads one round of the feed into the model.
fn take(
    feed: &mut dyn Feed,
    model: &mut Model,
    buffer: &mut Vec<u8>,
    filled: &mut usize,
) -> anyhow::Result<()> {
    feed.fetch(WAIT, usize::MAX)?;
    loop {
        match feed.read(&mut buffer[*filled..])? {
            Read::Bytes(count) => *filled += count,
            Read::Empty | Read::SectionEnd => return Ok(()),
        }
        let whole = hone_pcapng::view::whole(&buffer[..*filled], BYTE_ORDER);
        if whole == 0 && *filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
            continue;
        }
        model.add(&buffer[..whole]);
        buffer.copy_within(whole..*filled, 0);
        *filled -= whole;
    }
}

/// Handles a key. Returns false to quit.
fn press(view: &mut View, key: KeyCode, is_control: bool) -> bool {
    match key {
        KeyCode::Char('c' | 'C') if is_control => return false,
        _ if is_control => {}
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => return false,
        KeyCode::Char('p') => view.show(Table::Processes),
        KeyCode::Char('c') => view.show(Table::Connections),
        KeyCode::Char('i') => view.sort = Sort::In,
        KeyCode::Char('o') => view.sort = Sort::Out,
        KeyCode::Char('t') => view.sort = Sort::Both,
        KeyCode::Char('a') => view.sort = Sort::Total,
        KeyCode::Char('n') => view.sort = Sort::Name,
        KeyCode::Down | KeyCode::Char('j') => view.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => view.scroll(-1),
        KeyCode::PageDown => view.scroll(10),
        KeyCode::PageUp => view.scroll(-10),
        KeyCode::Home => view.scroll(isize::MIN),
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_can_look_at_any_byte() {
        let of = |text: &[u8]| snap_length(&Selection::parse(text).unwrap());
        assert_eq!(of(b"--port\x0053\0--name\0curl\0"), HEADERS);
        assert_eq!(of(b"--not-filter\0udp[200] = 1\0"), SnapLength::ALL);
    }

    #[test]
    fn keys() {
        let mut view = View::new(true);
        assert!(press(&mut view, KeyCode::Char('c'), false));
        assert_eq!(view.table, Table::Connections);
        assert!(press(&mut view, KeyCode::Char('o'), false));
        assert_eq!(view.sort, Sort::Out);
        for _ in 0..3 {
            assert!(press(&mut view, KeyCode::Up, false), "beyond the first row there is none");
        }
        assert!(!press(&mut view, KeyCode::Char('c'), true), "Ctrl-C");
        assert!(!press(&mut view, KeyCode::Char('q'), false) && !press(&mut view, KeyCode::Esc, false));
        assert!(press(&mut view, KeyCode::Char('x'), false));
    }
}
