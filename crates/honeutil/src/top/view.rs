//! How `top` looks. Draws a [`Snapshot`] into any area, of whatever size.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::columns::{Column, Shapes, fitting};
use super::details;
use super::keys::HELP;
use super::model::Snapshot;
use super::programs::Programs;
use super::rows::{Choice, Key, Row, Sort, Table, rows};
use crate::platform::SERVICE;
use crate::text::{bytes, duration, thousands, utc};
use crate::traffic::history::TICKS;

/// What the keys are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The table, or a page of details.
    Table,
    /// The help is there.
    Help,
    /// A text to find is typed.
    Find,
    /// The name of a file is typed, for the picture.
    Save(String),
}

/// What is shown of the snapshot.
#[derive(Debug)]
pub struct View {
    table: Table,
    /// What comes first.
    pub sort: Sort,
    /// It comes last.
    pub is_reversed: bool,
    /// Whether names are shown instead of addresses.
    pub by_name: bool,
    /// Only rows that have this text.
    pub find: String,
    /// The picture stays as it is.
    pub is_paused: bool,
    /// What the keys are for.
    pub mode: Mode,
    /// What was done last.
    pub message: Option<String>,
    plain: bool,
    shapes: Shapes,
    /// Shows the connections of this row, and what is known of it.
    within: Option<(Table, Row)>,
    /// Shows what is known of this connection.
    connection: Option<Row>,
    /// The row that was chosen, and its place.
    chosen: Option<(Key, usize)>,
    /// The first row, or line of details, that is shown.
    first: usize,
    /// Rows as they were drawn last.
    drawn: Vec<Row>,
    /// Once there were some, their columns stay.
    has_units: bool,
    has_containers: bool,
}

impl View {
    /// Processes, busiest first. `plain`: without color.
    #[must_use]
    pub fn new(plain: bool, shapes: Shapes) -> Self {
        Self {
            table: Table::Processes,
            sort: Sort::Both,
            is_reversed: false,
            by_name: true,
            find: String::new(),
            is_paused: false,
            mode: Mode::Table,
            message: None,
            plain,
            shapes,
            within: None,
            connection: None,
            chosen: None,
            first: 0,
            drawn: Vec::new(),
            has_units: false,
            has_containers: false,
        }
    }

    /// Which table is shown.
    #[must_use]
    pub fn table(&self) -> Table {
        if self.within.is_some() { Table::Connections } else { self.table }
    }

    /// The table that is so many places after this one.
    pub(super) fn next_table(&self, places: usize) -> Table {
        Table::ALL[(self.table as usize + places) % Table::ALL.len()]
    }

    /// Shows another table, from its beginning.
    pub fn show(&mut self, table: Table) {
        (self.connection, self.within, self.table) = (None, None, table);
        self.to_top();
    }

    pub(super) fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.is_reversed = false;
    }

    /// Chooses another row, so many places below; or moves the lines that are shown.
    pub fn scroll(&mut self, rows: isize) {
        if self.connection.is_some() {
            self.first = self.first.saturating_add_signed(rows);
            return;
        }
        let Some(last) = self.drawn.len().checked_sub(1) else { return };
        let at = match &self.chosen {
            Some((_, at)) => at.saturating_add_signed(rows),
            // The first key shows which one is chosen.
            None if rows == 1 => 0,
            None => 0_usize.saturating_add_signed(rows),
        };
        let at = at.min(last);
        self.chosen = Some((self.drawn[at].key.clone(), at));
    }

    /// Chooses no row, and shows the beginning.
    pub fn to_top(&mut self) {
        (self.chosen, self.first) = (None, 0);
    }

    /// Shows what is known of the row that is chosen, or of the first one.
    pub fn open(&mut self) {
        if self.connection.is_some() {
            return;
        }
        let at = self.chosen.as_ref().map_or(0, |(_, at)| *at);
        let Some(row) = self.drawn.get(at).cloned() else { return };
        if self.table() == Table::Connections {
            self.connection = Some(row);
            self.first = 0;
        } else {
            self.within = Some((self.table, row));
            // The text was one of that table.
            self.find.clear();
            self.to_top();
        }
    }

    /// Waits for a text to find.
    pub(super) fn begin_find(&mut self) {
        if self.connection.take().is_some() {
            self.first = 0;
        }
        self.mode = Mode::Find;
    }

    /// Goes back; returns whether there was anything to go back from.
    pub fn back(&mut self) -> bool {
        if self.connection.take().is_some() {
            self.first = 0;
            return true;
        }
        if !self.find.is_empty() {
            self.find.clear();
            self.to_top();
            return true;
        }
        if let Some((_, row)) = self.within.take() {
            self.to_top();
            self.chosen = Some((row.key, 0));
            return true;
        }
        false
    }

    /// Draws.
    pub fn draw(&mut self, snapshot: &Snapshot, programs: &Programs, area: Rect, out: &mut Buffer) {
        self.has_units |= snapshot.processes.iter().any(|row| !row.owner.unit.is_empty());
        self.has_containers |= snapshot.processes.iter().any(|row| !row.owner.container.is_empty());
        let (head, rest) = split(area, 1);
        let (tabs, rest) = split(rest, 1);
        // What is typed is more important than a row.
        let (body, footer) = split(rest, rest.height.saturating_sub(1));
        line(out, head, &self.head(snapshot, area.width));
        line(out, tabs, &self.tabs(area.width));
        match &self.mode {
            Mode::Help => {
                let lines: Vec<_> = HELP.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
                facts(out, body, &lines, HELP_WIDTH);
            }
            _ if self.connection.is_some() => self.details(snapshot, programs, out, body),
            _ => self.rows(snapshot, programs, out, body),
        }
        line(out, footer, &self.footer(area.width));
    }

    /// Draws as a picture is kept: without keys, and with the time.
    pub fn draw_picture(&mut self, snapshot: &Snapshot, programs: &Programs, area: Rect, out: &mut Buffer) {
        self.draw(snapshot, programs, area, out);
        let (_, bottom) = split(area, area.height.saturating_sub(1));
        (bottom.left()..bottom.right()).for_each(|column| out[(column, bottom.y)].reset());
        line(out, bottom, &[(utc(snapshot.now), dim())]);
    }

    /// Sums, and what is lost. What has no room is left out, the least important first.
    fn head(&self, snapshot: &Snapshot, width: u16) -> Vec<(String, Style)> {
        let way = if snapshot.of_service { "through" } else { "without" };
        let is_lossy = snapshot.dropped > 0;
        let lossy = if is_lossy { self.colored(bold(), Color::Red) } else { Style::new() };
        let rate = &snapshot.rate;
        let mut parts = vec![
            (3, "honeutil top".to_owned(), bold()),
            (5, duration(snapshot.elapsed), Style::new()),
            (1, format!("in {}/s", bytes(rate.bytes_in)), Style::new()),
            (1, format!("out {}/s", bytes(rate.bytes_out)), Style::new()),
            (4, format!("{} packets/s", thousands(rate.packets())), Style::new()),
            (if is_lossy { 0 } else { 2 }, format!("{} dropped", thousands(snapshot.dropped)), lossy),
            (6, format!("{way} {SERVICE}"), Style::new()),
        ];
        if self.is_paused {
            parts.insert(1, (0, "PAUSED".to_owned(), self.colored(bold(), Color::Yellow)));
        }
        let needed = |parts: &[(u8, String, Style)]| {
            parts.iter().map(|(_, text, _)| text.len() + GAP.len()).sum::<usize>()
        };
        while needed(&parts) > usize::from(width) + GAP.len() && parts.len() > 1 {
            let least = parts.iter().enumerate().max_by_key(|(_, (rank, ..))| *rank).map_or(0, |(at, _)| at);
            parts.remove(least);
        }
        parts
            .into_iter()
            .flat_map(|(_, text, style)| [(text, style), (GAP.to_owned(), Style::new())])
            .collect()
    }

    /// The tables with their numbers, or what is shown instead.
    fn tabs(&self, width: u16) -> Vec<(String, Style)> {
        if let Some((table, row)) = &self.within {
            let pid = row.pid.map_or_else(String::new, |pid| format!(" {pid}"));
            return vec![
                (format!("{} ", table.word()), dim()),
                (format!("> {}{pid}", row.name), bold()),
                (format!("{GAP}Esc back"), dim()),
            ];
        }
        if self.connection.is_some() {
            return vec![
                (format!("{} ", self.table.word()), dim()),
                ("> details".to_owned(), bold()),
                (format!("{GAP}Esc back"), dim()),
            ];
        }
        let whole: usize = Table::ALL.iter().map(|table| table.word().len() + 3).sum();
        let is_short = whole > usize::from(width) + 1;
        let mut parts = Vec::new();
        for (number, table) in (1..).zip(Table::ALL) {
            let is_shown = table == self.table;
            let style = if is_shown { self.colored(bold(), Color::Cyan) } else { dim() };
            let text =
                if is_short && !is_shown { number.to_string() } else { format!("{number} {}", table.word()) };
            parts.push((text, style));
            parts.push((" ".to_owned(), Style::new()));
        }
        parts
    }

    /// What is typed, what was done, or the keys.
    fn footer(&self, width: u16) -> Vec<(String, Style)> {
        let typing = |what: &str, text: &str, more: &str| {
            // The end of what is typed must be seen.
            let room = usize::from(width).saturating_sub(what.len() + 1);
            let text: String = text.chars().skip(text.chars().count().saturating_sub(room)).collect();
            let cursor = (" ".to_owned(), Style::new().add_modifier(Modifier::REVERSED));
            vec![(what.to_owned(), bold()), (text, Style::new()), cursor, (format!("{GAP}{more}"), dim())]
        };
        match (&self.mode, &self.message) {
            (Mode::Help, _) => vec![("Any key goes back".to_owned(), dim())],
            (Mode::Find, _) => typing("Find: ", &self.find, "Enter keeps it, Esc shows all"),
            (Mode::Save(name), _) => {
                typing("Write picture to: ", name, "Enter, or Esc; .svg .html .txt .ans")
            }
            (Mode::Table, Some(message)) => vec![(message.clone(), bold())],
            (Mode::Table, None) if !self.find.is_empty() && self.connection.is_none() => vec![
                (format!("Only with {:?}", self.find), self.colored(bold(), Color::Yellow)),
                (format!("{GAP}/ changes it{GAP}Esc shows all"), dim()),
            ],
            (Mode::Table, None) => {
                vec![(
                    "? help  Enter details  / find  d addresses  Space pause  w picture  q quit".to_owned(),
                    dim(),
                )]
            }
        }
    }

    /// The rows of a table; of what lies within a row, below what is known of that one.
    fn rows(&mut self, snapshot: &Snapshot, programs: &Programs, out: &mut Buffer, area: Rect) {
        let mut area = area;
        if let Some((table, row)) = &mut self.within {
            let choice =
                Choice { table: *table, within: None, find: "", sort: Sort::Name, is_reversed: false };
            if let Some(now) = rows(snapshot, &choice).into_iter().find(|now| now.key == row.key) {
                *row = now;
            } else if let Some(now) = snapshot.processes.iter().find(|now| now.key == row.key) {
                *row = now.clone();
            }
            let known = details::facts(*table, row, snapshot, programs);
            let lines = details::lines(&known, area.width.into(), LINES_IN_PANEL);
            let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height / 2);
            let (above, below) = split(area, height);
            facts(out, above, &lines, details::HEADING);
            area = below;
        }
        let choice = Choice {
            table: self.table(),
            within: self.within.as_ref().map(|(table, row)| (*table, &row.key)),
            find: &self.find,
            sort: self.sort,
            is_reversed: self.is_reversed,
        };
        let rows = rows(snapshot, &choice);
        let (heading, body) = split(area, 1);
        self.follow(&rows, body.height.into());
        let table = self.table();
        let columns = fitting(table, area.width, self.has_units, self.has_containers);
        let headings = columns.iter().map(|(column, width)| {
            let mark = if self.is_sorted_by(*column) { if self.is_reversed { "^" } else { "*" } } else { "" };
            column.fit(&(column.heading(table).to_owned() + mark), *width, table)
        });
        let style = self.colored(Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED), Color::Cyan);
        line(out, heading, &[(headings.collect::<Vec<_>>().join(" "), style)]);
        out.set_style(heading, style);
        for (row, y) in rows.iter().skip(self.first).zip(body.top()..body.bottom()) {
            let here = Rect { y, height: 1, ..body };
            let is_chosen = self.chosen.as_ref().is_some_and(|(key, _)| *key == row.key);
            let of_row = if row.is_over { dim() } else { Style::new() };
            let parts: Vec<_> = columns
                .iter()
                .flat_map(|(column, width)| {
                    let text = column.text(row, self.by_name, (*width).into(), self.shapes);
                    let style =
                        if *column == Column::Recent { self.colored(of_row, Color::Cyan) } else { of_row };
                    [(column.fit(&text, *width, table), style), (" ".to_owned(), of_row)]
                })
                .collect();
            line(out, here, &parts);
            if is_chosen {
                out.set_style(here, Style::new().add_modifier(Modifier::REVERSED));
            }
        }
        if rows.is_empty() {
            let text = if self.find.is_empty() { "Nothing yet" } else { "Nothing has this text" };
            line(out, split(body, 1).0, &[(text.to_owned(), dim())]);
        }
        self.drawn = rows;
    }

    /// The row that was chosen stays chosen, wherever it is now, and is in sight. If it is gone, the one at its place is.
    fn follow(&mut self, rows: &[Row], visible: usize) {
        let last = rows.len().saturating_sub(1);
        if let Some((key, at)) = &self.chosen {
            let is_there = rows.get(*at).is_some_and(|row| row.key == *key);
            let at = if is_there { Some(*at) } else { rows.iter().position(|row| row.key == *key) }
                .unwrap_or_else(|| (*at).min(last));
            self.chosen = rows.get(at).map(|row| (row.key.clone(), at));
            self.first = self.first.min(at).max((at + 1).saturating_sub(visible.max(1)));
        }
        self.first = self.first.min(last);
    }

    /// What is known of a connection.
    fn details(&mut self, snapshot: &Snapshot, programs: &Programs, out: &mut Buffer, area: Rect) {
        let Some(row) = &mut self.connection else { return };
        let now = snapshot.connections.iter().find(|now| match (&now.facts, &row.facts) {
            // What has no connection is known by its ends.
            (Some(now), Some(known)) if row.key == Key::None => now.ends == known.ends,
            _ => now.key == row.key,
        });
        let is_gone = now.is_none();
        if let Some(now) = now {
            *row = now.clone();
        }
        let mut known = details::facts(Table::Connections, row, snapshot, programs);
        if is_gone {
            known.insert(1, ("", "silent for so long that it is no longer in the table".to_owned()));
        }
        let recent = Column::Recent.text(row, true, TICKS, self.shapes);
        known.push(("Recent", recent));
        let lines = details::lines(&known, area.width.into(), usize::MAX);
        self.first = self.first.min(lines.len().saturating_sub(area.height.into()));
        facts(out, area, &lines[self.first..], details::HEADING);
    }

    fn is_sorted_by(&self, column: Column) -> bool {
        match self.sort {
            Sort::In => column == Column::In,
            Sort::Out => column == Column::Out,
            Sort::Both => matches!(column, Column::In | Column::Out),
            Sort::Total => column == Column::Total,
            Sort::Name => matches!(column, Column::Process | Column::Group),
        }
    }

    fn colored(&self, style: Style, color: Color) -> Style {
        if self.plain { style } else { style.fg(color) }
    }
}

/// Lines of a fact above a table.
const LINES_IN_PANEL: usize = 2;
/// Between parts of a line.
const GAP: &str = "  ";
/// Columns of a key in the help.
const HELP_WIDTH: usize = 17;

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// So many lines, and the rest.
fn split(area: Rect, lines: u16) -> (Rect, Rect) {
    let lines = lines.min(area.height);
    (Rect { height: lines, ..area }, Rect { y: area.y + lines, height: area.height - lines, ..area })
}

/// Draws one line, as far as it fits.
fn line(out: &mut Buffer, area: Rect, parts: &[(String, Style)]) {
    if area.is_empty() {
        return;
    }
    let mut column = area.left();
    for (text, style) in parts {
        let room = usize::from(area.right().saturating_sub(column));
        (column, _) = out.set_stringn(column, area.y, text, room, *style);
    }
}

/// Draws headings and what belongs to them; `width`: of a heading.
fn facts(out: &mut Buffer, area: Rect, lines: &[(&str, String)], width: usize) {
    for ((heading, text), y) in lines.iter().zip(area.top()..area.bottom()) {
        let heading = (format!("{heading:<width$}"), bold());
        line(out, Rect { y, height: 1, ..area }, &[heading, (text.clone(), Style::new())]);
    }
}
