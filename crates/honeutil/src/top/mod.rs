//! `top`: live tables of the traffic of processes, connections, units and so on. One thread reads the feed into the [`model`],
//! handles keys and signals, and draws what [`view`] makes of it; another one waits for keys. Owns the terminal, and always restores it.

pub mod columns;
pub mod details;
pub mod flow;
pub mod keys;
pub mod model;
pub mod picture;
pub mod programs;
pub mod rows;
pub mod selected;
pub mod view;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use hone_engine::{BYTE_ORDER, Read, SnapLength};
use hone_select::{Selection, Word};
use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;

use crate::platform::{accounts, terminal};
use crate::record::control::Control;
use crate::record::feed::Feed;
use crate::record::wanted::Wanted;
use crate::text::shown_path;
use columns::Shapes;
use keys::After;
use model::{Model, Snapshot};
use selected::Selected;
use view::View;

/// Bytes kept of each packet: enough for names, also if several segments were put together: a client's first message in
/// TLS has some 1,800 bytes with the keys of today, an answer of DNS over UDP seldom more than 1,232.
const NAMES: SnapLength = SnapLength::lenient(4096);
/// Longest wait for the feed. A key is handled at most this much later.
const WAIT: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 1 << 20;

/// The terminal, in the state that drawing needs. A panic restores it as well: ratatui does that.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| _ = ratatui::try_restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // `restore` would say so on standard error, which is gone with the terminal, and panic.
        let _ = ratatui::try_restore();
    }
}

/// What is asked of the feed, and what is selected here. Names are only known here, and many of them from packets that the
/// other words leave out, such as answers of DNS: with a word about names, the feed brings all packets.
#[must_use]
pub fn wanted(selection: &Rc<Selection>) -> (Wanted, Option<Selected>) {
    let has_filter = selection.conditions().any(|condition| condition.word == Word::Filter);
    let snap_length = if has_filter { SnapLength::ALL } else { NAMES };
    if selection.needs_names() {
        return (
            Wanted::new(snap_length, &Selection::default()),
            Some(Selected::new(&accounts::for_recordings(selection))),
        );
    }
    (Wanted::new(snap_length, selection), None)
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

/// Shows the feed's traffic until the user quits. `selected`: which packets count; `None`: all.
///
/// # Errors
/// The feed fails or ends, or the terminal does.
pub fn run(
    mut feed: Box<dyn Feed>,
    selected: Option<Selected>,
    control: &mut Control,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut screen = Screen::open().map_err(|error| anyhow!("cannot set up the terminal: {error}"))?;
    let mut model = Model::new(selected);
    model.of_service = feed.losses().of_service;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let shapes = if terminal::has_block_elements() { Shapes::Blocks } else { Shapes::Ascii };
    let mut view = View::new(plain, shapes);
    let mut snapshot = Snapshot { of_service: model.of_service, now: feed.now(), ..Snapshot::default() };
    let events = events();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let mut ticked = Instant::now();
    let mut stale = true;
    loop {
        if control.stopping().is_some() || control.take_restart() {
            return Ok(());
        }
        take(&mut *feed, &mut model, &mut buffer, &mut filled)?;
        if terminal::has_input_hung_up() {
            return Ok(());
        }
        while let Ok(event) = events.try_recv() {
            match event? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    // AltGr is both.
                    let is_control = key.modifiers.contains(KeyModifiers::CONTROL)
                        && !key.modifiers.contains(KeyModifiers::ALT);
                    match keys::press(&mut view, &snapshot, key.code, is_control) {
                        After::Nothing => {}
                        After::Quit => return Ok(()),
                        After::Save(path) => {
                            let area = Rect::from((ratatui::layout::Position::ORIGIN, screen.0.size()?));
                            let mut picture = Buffer::empty(area);
                            view.draw_picture(&snapshot, &model.programs, area, &mut picture);
                            view.message = Some(saved(&path, &picture));
                        }
                    }
                    stale = true;
                    // The next key may be meant for what this one changes.
                    draw(&mut screen, &mut view, &snapshot, &model)?;
                }
                Event::Resize(..) => stale = true,
                _ => {}
            }
        }
        let passed = ticked.elapsed();
        if passed >= interval {
            ticked = Instant::now();
            let latest = model.tick(passed, feed.dropped_packets(), feed.now());
            if !view.is_paused {
                snapshot = latest;
                stale = true;
            }
        }
        if stale {
            draw(&mut screen, &mut view, &snapshot, &model)?;
            stale = false;
        }
    }
}

/// What comes from the terminal. A thread reads it: when the terminal is closed, crossterm reads the end of the input again and
/// again, and never returns. The thread ends with the program.
fn events() -> Receiver<io::Result<Event>> {
    let (sender, events) = channel();
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.send(event).is_err() || is_last {
                return;
            }
        }
    });
    events
}

fn draw(screen: &mut Screen, view: &mut View, snapshot: &Snapshot, model: &Model) -> io::Result<()> {
    screen.0.draw(|frame| view.draw(snapshot, &model.programs, frame.area(), frame.buffer_mut()))?;
    Ok(())
}

/// Writes a picture; returns what to say about it.
fn saved(path: &Path, picture: &Buffer) -> String {
    match picture::write(path, picture) {
        Ok(()) => format!("Written to {}", shown_path(path)),
        Err(error) => format!("Not written to {}: {error}", shown_path(path)),
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

#[cfg(test)]
mod tests;

#[cfg(test)]
mod wanted_tests {
    use super::*;

    #[test]
    fn a_feed_brings_what_words_need() {
        let of = |words: &[(Word, &str)]| {
            let mut selection = Selection::default();
            words.iter().for_each(|(word, value)| selection.add(*word, false, value).unwrap());
            let (wanted, selected) = wanted(&Rc::new(selection));
            (wanted.snap_length, String::from_utf8(wanted.selection).unwrap(), selected.is_some())
        };
        let words = [(Word::Name, "curl"), (Word::Port, "53")];
        assert_eq!(of(&words), (NAMES, "--name\0curl\0--port\x0053\0".to_owned(), false));
        assert_eq!(of(&[(Word::Filter, "udp[200] = 1")]).0, SnapLength::ALL, "it can look at any byte");
        let words = [(Word::Name, "curl"), (Word::Domain, "example.com")];
        assert_eq!(of(&words), (NAMES, String::new(), true), "others may have asked for the name");
    }
}
