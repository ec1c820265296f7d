//! The keys: what each does to the [`View`].

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::crossterm::event::KeyCode;

use super::model::Snapshot;
use super::rows::{Sort, Table};
use super::view::{Mode, View};
use crate::text::utc;

/// What is to be done after a key.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// To go on.
    Nothing,
    /// To quit.
    Quit,
    /// To write the picture to this file.
    Save(PathBuf),
}

/// Rows that a page key moves.
const PAGE: isize = 10;
/// Most characters of what is typed.
const MAX_TYPED: usize = 1024;

/// The keys, as the help lists them on the screen and below `honeutil top --help`.
pub const HELP: [(&str, &str); 19] = [
    ("1 to 7, Tab", "processes, connections, units, containers, users, hosts,"),
    ("", "names; also p and c for the first two"),
    ("Up, Down, j, k", "choose a row; PgUp, PgDn, Home, End"),
    ("Enter", "all that is known of a connection; of another row, what is"),
    ("", "known and its connections"),
    ("Esc, Left", "back"),
    ("i, o", "sort by bytes in, out"),
    ("t", "sort by bytes both ways"),
    ("a", "sort by all bytes since the start"),
    ("n", "sort by name"),
    ("r", "reverse the order"),
    ("/", "only rows that have a text: program, user, unit, container,"),
    ("", "name, address, or process id; Esc shows all again"),
    ("d", "addresses instead of names, and back"),
    ("Space", "pause; what comes is still counted"),
    ("w", "write the picture to a file: .svg, .html, .txt, .ans (colors)"),
    ("?, h", "help on the screen"),
    ("q, Ctrl-C", "quit; also Esc where there is nothing to go back from"),
    ("RECENT", "bytes of the last 30 pictures; each row has its own scale"),
];

/// The keys, a line each.
#[must_use]
pub fn list() -> String {
    HELP.iter().fold(String::new(), |mut list, (key, text)| {
        let _ = writeln!(list, "  {key:<16} {text}");
        list
    })
}

/// Handles a key.
pub fn press(view: &mut View, snapshot: &Snapshot, key: KeyCode, is_control: bool) -> After {
    if is_control && matches!(key, KeyCode::Char('c' | 'C')) {
        return After::Quit;
    }
    view.message = None;
    match std::mem::replace(&mut view.mode, Mode::Table) {
        Mode::Find => {
            view.mode = match typed(&mut view.find, key, is_control) {
                Typed::More => Mode::Find,
                Typed::Done => Mode::Table,
                Typed::Given => {
                    view.find.clear();
                    Mode::Table
                }
            };
            view.to_top();
            After::Nothing
        }
        Mode::Save(mut name) => match typed(&mut name, key, is_control) {
            Typed::More => {
                view.mode = Mode::Save(name);
                After::Nothing
            }
            Typed::Done if name.trim().is_empty() => After::Nothing,
            Typed::Done => After::Save(name.into()),
            Typed::Given => After::Nothing,
        },
        Mode::Help => match key {
            KeyCode::Char('q' | 'Q') => After::Quit,
            _ => After::Nothing,
        },
        Mode::Table if is_control => After::Nothing,
        Mode::Table => of_table(view, snapshot, key),
    }
}

fn of_table(view: &mut View, snapshot: &Snapshot, key: KeyCode) -> After {
    match key {
        KeyCode::Char('q' | 'Q') => return After::Quit,
        KeyCode::Esc if !view.back() => return After::Quit,
        KeyCode::Left | KeyCode::Backspace => _ = view.back(),
        KeyCode::Char(digit @ '1'..='7') => {
            let at = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1);
            view.show(Table::ALL[at - 1]);
        }
        KeyCode::Tab => view.show(view.next_table(1)),
        KeyCode::BackTab => view.show(view.next_table(Table::ALL.len() - 1)),
        KeyCode::Char('p') => view.show(Table::Processes),
        KeyCode::Char('c') => view.show(Table::Connections),
        KeyCode::Char('i') => view.sort_by(Sort::In),
        KeyCode::Char('o') => view.sort_by(Sort::Out),
        KeyCode::Char('t') => view.sort_by(Sort::Both),
        KeyCode::Char('a') => view.sort_by(Sort::Total),
        KeyCode::Char('n') => view.sort_by(Sort::Name),
        KeyCode::Char('r') => view.is_reversed = !view.is_reversed,
        KeyCode::Char('d') => view.by_name = !view.by_name,
        KeyCode::Char(' ') => view.is_paused = !view.is_paused,
        KeyCode::Char('/') => view.begin_find(),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => view.mode = Mode::Help,
        KeyCode::Char('w') => view.mode = Mode::Save(file_name(snapshot)),
        KeyCode::Enter | KeyCode::Right => view.open(),
        KeyCode::Down | KeyCode::Char('j') => view.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => view.scroll(-1),
        KeyCode::PageDown => view.scroll(PAGE),
        KeyCode::PageUp => view.scroll(-PAGE),
        KeyCode::Home | KeyCode::Char('g') => view.to_top(),
        KeyCode::End | KeyCode::Char('G') => view.scroll(isize::MAX),
        _ => {}
    }
    After::Nothing
}

/// What a key has done to what is typed.
enum Typed {
    More,
    Done,
    /// It was given up.
    Given,
}

fn typed(text: &mut String, key: KeyCode, is_control: bool) -> Typed {
    match key {
        KeyCode::Enter => return Typed::Done,
        KeyCode::Esc => return Typed::Given,
        KeyCode::Backspace => _ = text.pop(),
        KeyCode::Char('u' | 'U') if is_control => text.clear(),
        KeyCode::Char(char) if !is_control && text.len() < MAX_TYPED && crate::text::prints(char) => {
            text.push(char);
        }
        _ => {}
    }
    Typed::More
}

/// A name for a picture of this time.
fn file_name(snapshot: &Snapshot) -> String {
    let digits: String = utc(snapshot.now).chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    format!("honeutil-top-{date}-{time}.svg")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::columns::Shapes;

    fn view() -> View {
        View::new(true, Shapes::Blocks)
    }

    fn press_all(view: &mut View, keys: &[KeyCode]) -> After {
        let snapshot = Snapshot { now: 1_764_267_300_000_000_000, ..Snapshot::default() };
        keys.iter().fold(After::Nothing, |_, key| press(view, &snapshot, *key, false))
    }

    fn text(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn keys() {
        let mut view = view();
        assert_eq!(press_all(&mut view, &text("co")), After::Nothing);
        assert_eq!((view.table(), view.sort), (Table::Connections, Sort::Out));
        press_all(&mut view, &text("7"));
        assert_eq!(view.table(), Table::Names);
        press_all(&mut view, &[KeyCode::Tab]);
        assert_eq!(view.table(), Table::Processes);
        press_all(&mut view, &[KeyCode::BackTab, KeyCode::Up, KeyCode::Up, KeyCode::Char('x')]);
        assert_eq!(view.table(), Table::Names);
        assert_eq!(press(&mut view, &Snapshot::default(), KeyCode::Char('c'), true), After::Quit, "Ctrl-C");
        assert_eq!(press_all(&mut view, &text("q")), After::Quit);
        assert_eq!(press_all(&mut view, &[KeyCode::Esc]), After::Quit);
    }

    #[test]
    fn escape_goes_back_first() {
        let mut view = view();
        press_all(&mut view, &text("/curlq"));
        assert_eq!(view.find, "curlq", "letters are no keys now");
        press_all(&mut view, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(view.find, "curl");
        assert_eq!(press_all(&mut view, &[KeyCode::Char('?'), KeyCode::Esc]), After::Nothing);
        assert_eq!(view.find, "curl", "only the help is closed");
        assert_eq!(press_all(&mut view, &[KeyCode::Esc]), After::Nothing);
        assert_eq!(view.find, "");
        assert_eq!(press_all(&mut view, &[KeyCode::Esc]), After::Quit);
    }

    #[test]
    fn a_picture_is_saved_under_a_name_that_can_be_changed() {
        let mut view = view();
        let enter = [KeyCode::Char('w'), KeyCode::Enter];
        assert_eq!(press_all(&mut view, &enter), After::Save("honeutil-top-20251127-181500.svg".into()));
        let mut keys = text("w");
        keys.extend([KeyCode::Backspace; 40]);
        keys.extend(text("x.txt"));
        keys.push(KeyCode::Enter);
        assert_eq!(press_all(&mut view, &keys), After::Save("x.txt".into()));
        assert_eq!(press_all(&mut view, &[KeyCode::Char('w'), KeyCode::Esc]), After::Nothing);
        assert_eq!(press_all(&mut view, &text("q")), After::Quit, "nothing is typed any more");
    }
}
