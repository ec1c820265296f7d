//! How `top` looks. Draws a [`Model`] into any terminal, of whatever size.

use std::cmp::Reverse;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Table as Grid};

use super::model::{Model, Row};
use crate::platform::SERVICE;
use crate::text::{bytes, duration, thousands};

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// One for each process.
    Processes,
    /// One for each connection.
    Connections,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Most bytes received per second.
    In,
    /// Most bytes sent per second.
    Out,
    /// Most bytes per second.
    Both,
    /// Most bytes since the start.
    Total,
    /// The alphabet.
    Name,
}

/// What is shown of the model.
#[derive(Debug)]
pub struct View {
    /// Which table.
    pub table: Table,
    /// In which order.
    pub sort: Sort,
    first: usize,
    plain: bool,
}

/// Columns: heading, width, whether numbers.
type Column = (&'static str, Constraint, bool);

const PROCESSES: [Column; 8] = [
    ("PID", Constraint::Length(8), true),
    ("USER", Constraint::Length(10), false),
    ("PROCESS", Constraint::Length(18), false),
    ("IN/s", Constraint::Length(10), true),
    ("OUT/s", Constraint::Length(10), true),
    ("PACKETS/s", Constraint::Length(9), true),
    ("TOTAL", Constraint::Length(10), true),
    ("MOSTLY WITH", Constraint::Fill(1), false),
];
const CONNECTIONS: [Column; 8] = [
    ("CONNECTION", Constraint::Length(10), true),
    ("PID", Constraint::Length(8), true),
    ("PROCESS", Constraint::Length(18), false),
    ("IN/s", Constraint::Length(10), true),
    ("OUT/s", Constraint::Length(10), true),
    ("PACKETS/s", Constraint::Length(9), true),
    ("TOTAL", Constraint::Length(10), true),
    ("WITH", Constraint::Fill(1), false),
];

impl View {
    /// Processes, busiest first. `plain`: without color.
    #[must_use]
    pub fn new(plain: bool) -> Self {
        Self { table: Table::Processes, sort: Sort::Both, first: 0, plain }
    }

    /// Shows the other table, from its beginning.
    pub fn show(&mut self, table: Table) {
        (self.table, self.first) = (table, 0);
    }

    /// Moves the rows that are shown.
    pub fn scroll(&mut self, rows: isize) {
        self.first = self.first.saturating_add_signed(rows);
    }

    /// The rows in order.
    fn rows(&self, model: &Model) -> Vec<Row> {
        let mut rows = match self.table {
            Table::Processes => model.processes(),
            Table::Connections => model.connections(),
        };
        // Rows that are equal in what counts keep their places from picture to picture.
        rows.sort_by_key(|row| (row.pid, row.connection));
        match self.sort {
            Sort::In => rows.sort_by_key(|row| Reverse((row.rate.bytes_in, row.total.bytes_in))),
            Sort::Out => rows.sort_by_key(|row| Reverse((row.rate.bytes_out, row.total.bytes_out))),
            Sort::Both => rows.sort_by_key(|row| Reverse((row.rate.bytes(), row.total.bytes()))),
            Sort::Total => rows.sort_by_key(|row| Reverse(row.total.bytes())),
            Sort::Name => rows.sort_by(|one, two| one.name.cmp(&two.name)),
        }
        rows
    }

    /// Draws.
    pub fn render(&mut self, model: &Model, frame: &mut Frame<'_>) {
        let [head, keys, body] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)])
                .areas(frame.area());
        frame.render_widget(self.head(model), head);
        let rows = self.rows(model);
        self.first = self.first.min(rows.len().saturating_sub(1));
        let help = "q quit  p processes  c connections  sort: i in  o out  t both  a total  n name";
        frame.render_widget(Paragraph::new(help).style(Style::new().dim()), keys);
        let (columns, sorted) = match self.table {
            Table::Processes => (PROCESSES, [3, 4, 3, 6, 2]),
            Table::Connections => (CONNECTIONS, [3, 4, 3, 6, 2]),
        };
        let sorted = sorted[self.sort as usize];
        let headings = columns.iter().enumerate().map(|(at, (heading, width, is_number))| {
            let is_sorted = at == sorted || (self.sort == Sort::Both && at == 4);
            let text = if is_sorted { format!("{heading}*") } else { (*heading).to_owned() };
            cell(&text, *width, *is_number)
        });
        let headings = Cells::new(headings).style(self.colored(Style::new().bold().reversed(), Color::Cyan));
        let visible = usize::from(body.height.saturating_sub(1));
        let table = self.table;
        let cells = rows.iter().skip(self.first).take(visible).map(|row| {
            let texts = texts(table, row);
            Cells::new(
                columns
                    .iter()
                    .zip(texts)
                    .map(|((_, width, is_number), text)| cell(&text, *width, *is_number)),
            )
        });
        let grid = Grid::new(cells, columns.map(|(_, width, _)| width)).header(headings).column_spacing(1);
        frame.render_widget(grid, body);
    }

    fn head(&self, model: &Model) -> Line<'static> {
        let rows = match self.table {
            Table::Processes => "processes",
            Table::Connections => "connections",
        };
        let way = if model.of_service { "through" } else { "without" };
        let dropped = format!("{} dropped", thousands(model.dropped));
        let is_lossy = model.dropped > 0;
        Line::from(vec![
            format!("honeutil top: {rows}").bold(),
            format!(
                "  {}  in {}/s  out {}/s  {} packets/s  ",
                duration(model.elapsed),
                bytes(model.rate.bytes_in),
                bytes(model.rate.bytes_out),
                thousands(model.rate.packets()),
            )
            .into(),
            if is_lossy {
                dropped.bold().style(self.colored(Style::new().bold(), Color::Red))
            } else {
                dropped.into()
            },
            format!("  {way} {SERVICE}").into(),
        ])
    }

    fn colored(&self, style: Style, color: Color) -> Style {
        if self.plain { style } else { style.fg(color) }
    }
}

fn texts(table: Table, row: &Row) -> [String; 8] {
    let name = if row.name.is_empty() { "?".to_owned() } else { row.name.clone() };
    let pid = row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let (first, second) = match table {
        Table::Processes => (pid, row.user.clone()),
        Table::Connections => (row.connection.map(|id| id.to_string()).unwrap_or_default(), pid),
    };
    let rates = &row.rate;
    [
        first,
        second,
        name,
        bytes(rates.bytes_in),
        bytes(rates.bytes_out),
        thousands(rates.packets()),
        bytes(row.total.bytes()),
        row.with.clone(),
    ]
}

/// Numbers stand on the right of their column.
fn cell(text: &str, width: Constraint, is_number: bool) -> Cell<'static> {
    let line = Line::from(text.to_owned());
    match width {
        Constraint::Length(_) if is_number => Cell::new(line.right_aligned()),
        _ => Cell::new(line),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use hone_engine::BYTE_ORDER;
    use hone_pcapng::{
        ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, Method, Packet, ProcessEvent,
        ProcessEventKind,
    };
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn start(out: &mut Vec<u8>, process: u32, path: &'static str) {
        let event = ProcessEvent {
            process,
            kind: ProcessEventKind::Started,
            path: Some(Cow::Borrowed(path.as_bytes())),
            user_name: Some(Cow::Borrowed(b"alice")),
            ..ProcessEvent::default()
        };
        event.emit(BYTE_ORDER, out).unwrap();
    }

    /// A UDP packet to 192.0.2.1:53, or from there.
    fn packet(out: &mut Vec<u8>, process: Option<u32>, connection: u64, is_outbound: bool, bytes: u32) {
        let mut data = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        let (here, there) = ([10, 0, 0, 1], [192, 0, 2, 1]);
        let (ports_out, ports_in) = ([0x9C, 0x40, 0, 53], [0, 53, 0x9C, 0x40]);
        if is_outbound {
            data.extend([here, there, ports_out].concat());
        } else {
            data.extend([there, here, ports_in].concat());
        }
        data.extend([0, 8, 0, 0]);
        let packet = Packet {
            original_length: bytes,
            data: Cow::Owned(data),
            flags: Some(if is_outbound { 2 } else { 1 }),
            connection: Some(connection),
            process,
            ..Packet::default()
        };
        packet.emit(BYTE_ORDER, out).unwrap();
    }

    fn model() -> Model {
        let mut stream = Vec::new();
        start(&mut stream, 7, "/usr/bin/curl");
        start(&mut stream, 8, "/opt/evil\x1b[2Jname");
        packet(&mut stream, Some(7), 100, true, 1000);
        packet(&mut stream, Some(7), 100, false, 6000);
        packet(&mut stream, Some(8), 101, true, 3000);
        packet(&mut stream, None, 102, true, 84);
        let mut model = Model::new();
        model.of_service = true;
        model.add(&stream);
        model.tick(Duration::from_secs(2), 5);
        model
    }

    fn drawn(view: &mut View, model: &Model, width: u16, height: u16) -> (String, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.render(model, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let is_colored =
            buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        let lines: Vec<String> = buffer
            .content()
            .chunks(usize::from(width))
            .map(|line| {
                line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned()
            })
            .collect();
        (lines.join("\n"), is_colored)
    }

    #[test]
    fn processes_with_their_rates() {
        let (text, _) = drawn(&mut View::new(false), &model(), 110, 7);
        assert_eq!(
            text,
            format!(
                "\
honeutil top: processes  2.0 s  in 2.9 KiB/s  out 2.0 KiB/s  3 packets/s  5 dropped  through {SERVICE}
q quit  p processes  c connections  sort: i in  o out  t both  a total  n name
     PID USER       PROCESS                 IN/s*     OUT/s* PACKETS/s      TOTAL MOSTLY WITH
       7 alice      curl                  2.9 KiB      500 B         2    6.8 KiB 192.0.2.1:53 udp
       8 alice      evil\\x1b[2Jname           0 B    1.5 KiB         1    2.9 KiB 192.0.2.1:53 udp
       -            (no process)              0 B       42 B         1       84 B 192.0.2.1:53 udp
"
            )
        );
    }

    #[test]
    fn connections_in_the_order_asked_for() {
        let mut view = View::new(false);
        view.show(Table::Connections);
        view.sort = Sort::Out;
        let (text, _) = drawn(&mut view, &model(), 110, 6);
        let rows: Vec<_> = text.lines().skip(3).map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(rows, ["101", "100", "102"]);
        assert!(text.contains("OUT/s*") && !text.contains("IN/s*"), "{text}");
        view.scroll(2);
        assert!(drawn(&mut view, &model(), 110, 6).0.lines().nth(3).unwrap().contains("102"));
        view.scroll(100);
        let text = drawn(&mut view, &model(), 110, 6).0;
        assert_eq!(text.trim_end().lines().skip(3).count(), 1, "the last row stays: {text}");
    }

    #[test]
    fn a_connection_that_was_handed_on_is_its_readers() {
        let mut model = model();
        let mut stream = Vec::new();
        start(&mut stream, 9, "/opt/worker");
        let event = ConnectionEvent {
            connection: 100,
            process: 9,
            kind: ConnectionEventKind::Correction,
            correction: Some(Correction {
                packets: Corrected::Time(0),
                direction: Direction::Inbound,
                how: Some(Ok(Method::Reader)),
            }),
            ..ConnectionEvent::default()
        };
        event.emit(BYTE_ORDER, &mut stream).unwrap();
        model.add(&stream);
        model.tick(Duration::from_secs(1), 5);
        let text = drawn(&mut View::new(false), &model, 110, 8).0;
        let worker = text.lines().find(|line| line.contains("worker")).unwrap();
        assert!(worker.contains("5.9 KiB"), "what it read: {text}");
        let curl = text.lines().find(|line| line.contains("curl")).unwrap();
        assert!(curl.contains("1000 B"), "what it sent: {text}");
        let connection = model.connections().into_iter().find(|row| row.connection == Some(100)).unwrap();
        assert_eq!((connection.pid, &*connection.name), (Some(9), "worker"));
    }

    #[test]
    fn what_is_over_goes_after_a_while() {
        let mut model = model();
        let mut stream = Vec::new();
        let event = ProcessEvent { process: 8, kind: ProcessEventKind::Ended, ..ProcessEvent::default() };
        event.emit(BYTE_ORDER, &mut stream).unwrap();
        model.add(&stream);
        for _ in 0..40 {
            model.tick(Duration::from_secs(1), 5);
        }
        let pids: Vec<_> = model.processes().iter().map(|row| row.pid).collect();
        assert_eq!(pids, [Some(7), None]);
        assert!(model.connections().is_empty());
        assert_eq!(model.rate, crate::traffic::Traffic::default());
    }

    #[test]
    fn every_size_can_be_drawn() {
        let mut view = View::new(false);
        let model = model();
        for table in [Table::Processes, Table::Connections] {
            view.show(table);
            for (width, height) in [(1, 1), (2, 3), (20, 2), (40, 10), (80, 24), (300, 100)] {
                drawn(&mut view, &model, width, height);
            }
        }
        drawn(&mut view, &Model::new(), 80, 24);
    }

    #[test]
    fn no_color_means_none() {
        assert!(drawn(&mut View::new(false), &model(), 100, 10).1);
        assert!(!drawn(&mut View::new(true), &model(), 100, 10).1);
    }
}
