//! The columns of each table: which fit into the terminal, how wide they are, and what is in them.

use ratatui::buffer::CellWidth as _;
use ratatui::style::Style;
use ratatui::text::Span;

use super::rows::{Key, Row, Table};
use crate::text::{bytes, thousands};
use crate::traffic::history::{History, TICKS};

/// What a column shows. Columns stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The connection's id.
    Connection,
    /// The process id.
    Pid,
    /// The user.
    User,
    /// The program.
    Process,
    /// The systemd unit.
    Unit,
    /// The container.
    Container,
    /// What the rows of a group have in common.
    Group,
    /// How many processes there are.
    Processes,
    /// How many connections there are.
    Connections,
    /// Bytes received per second.
    In,
    /// Bytes sent per second.
    Out,
    /// Packets per second.
    Packets,
    /// All bytes since the start.
    Total,
    /// The latest rates, as a picture.
    Recent,
    /// The other end.
    With,
}

use Column::{
    Connection, Connections, Container, Group, In, Out, Packets, Pid, Process, Processes, Recent, Total,
    Unit, User, With,
};

/// Blanks between columns.
const SPACING: u16 = 1;
/// The width at which all rates are seen.
#[expect(clippy::cast_possible_truncation, reason = "it is 30")]
const ALL_TICKS: u16 = TICKS as u16;

impl Column {
    /// Its heading in a table.
    #[must_use]
    pub fn heading(self, table: Table) -> &'static str {
        match self {
            Pid => "PID",
            Connection => "CONNECTION",
            User => "USER",
            Process => "PROCESS",
            Unit => "UNIT",
            Container => "CONTAINER",
            Group => match table {
                Table::Units => "UNIT",
                Table::Containers => "CONTAINER",
                Table::Users => "USER",
                Table::Hosts => "HOST",
                _ => "NAME",
            },
            Processes => "PROCS",
            Connections => "CONNS",
            In => "IN/s",
            Out => "OUT/s",
            Packets => "PACKETS/s",
            Total => "TOTAL",
            Recent => "RECENT",
            With => match table {
                Table::Connections => "WITH",
                Table::Hosts => "CALLED",
                _ => "MOSTLY WITH",
            },
        }
    }

    /// What a table wishes for, the most important first: a column of this width, or that it is as wide as this.
    const fn wishes(table: Table) -> &'static [(Self, u16)] {
        match table {
            Table::Processes => &[
                (Process, 15),
                (In, 9),
                (Out, 9),
                (Pid, 7),
                (With, 22),
                (Recent, 8),
                (User, 8),
                (With, 32),
                (Total, 9),
                (Unit, 16),
                (Process, 22),
                (Container, 12),
                (Packets, 9),
                (Unit, 26),
                (With, 42),
                (Recent, ALL_TICKS),
                (With, u16::MAX),
            ],
            Table::Connections => &[
                (Process, 15),
                (With, 24),
                (In, 9),
                (Out, 9),
                (Pid, 7),
                (Recent, 8),
                (With, 36),
                (Total, 9),
                (Unit, 16),
                (Connection, 10),
                (Process, 22),
                (User, 8),
                (Container, 12),
                (Packets, 9),
                (Unit, 26),
                (With, 50),
                (Recent, ALL_TICKS),
                (With, u16::MAX),
            ],
            Table::Hosts => &[
                (Group, 20),
                (In, 9),
                (Out, 9),
                (Recent, 8),
                (Total, 9),
                (With, 20),
                (Connections, 5),
                (Processes, 5),
                (Packets, 9),
                (Group, 39),
                (Recent, ALL_TICKS),
                (With, u16::MAX),
            ],
            _ => &[
                (Group, 20),
                (In, 9),
                (Out, 9),
                (Recent, 8),
                (Total, 9),
                (Connections, 5),
                (Processes, 5),
                (Group, 30),
                (Packets, 9),
                (Recent, ALL_TICKS),
                (Group, u16::MAX),
            ],
        }
    }

    /// Whether what it shows is a number, which stands on the right.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Pid | Connection | Processes | Connections | In | Out | Packets | Total)
    }

    /// What it shows of a row.
    #[must_use]
    pub fn text(self, row: &Row, by_name: bool, width: usize, shapes: Shapes) -> String {
        match self {
            Pid => row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            Connection => match row.key {
                Key::Connection(id) => id.to_string(),
                _ => "-".to_owned(),
            },
            User => row.owner.user.to_string(),
            Process | Group => row.name.to_string(),
            Unit => row.owner.unit.to_string(),
            Container => row.owner.container.to_string(),
            Processes => thousands(row.members.0),
            Connections => thousands(row.members.1),
            In => bytes(row.rate.bytes_in),
            Out => bytes(row.rate.bytes_out),
            Packets => thousands(row.rate.packets()),
            Total => bytes(row.total.bytes()),
            Recent => shapes.draw(&row.history, width),
            With if row.facts.is_none() && row.peer.is_none() => match &row.peer_name {
                Some(named) if by_name => named.name.to_string(),
                _ => String::new(),
            },
            With => row.with(by_name),
        }
    }

    /// Whether the end of a text that is too long says more than its beginning: example.com more than www.
    fn is_cut_in_front(self, text: &str, table: Table) -> bool {
        match self {
            // A client, and what it uses here.
            With => !text.contains(" to "),
            Group => table == Table::Names,
            _ => false,
        }
    }

    /// A text in this column, filled up with blanks.
    #[must_use]
    pub fn fit(self, text: &str, width: u16, table: Table) -> String {
        let width = usize::from(width);
        let has = usize::from(text.cell_width());
        if has > width {
            let cut = if self.is_cut_in_front(text, table) { tail(text, width) } else { head(text, width) };
            let blanks = width.saturating_sub(usize::from(cut.cell_width()));
            return cut + &" ".repeat(blanks);
        }
        let blanks = " ".repeat(width - has);
        if self.is_number() { blanks + text } else { text.to_owned() + &blanks }
    }
}

/// The columns that fit, and how wide they are. `has_units`, `has_containers`: whether there is any to show.
#[must_use]
pub fn fitting(table: Table, width: u16, has_units: bool, has_containers: bool) -> Vec<(Column, u16)> {
    let mut columns: Vec<(Column, u16)> = Vec::new();
    let (mut left, mut is_full) = (width, false);
    for &(column, wish) in Column::wishes(table) {
        let is_none = match column {
            Unit => !has_units,
            Container => !has_containers,
            _ => false,
        };
        if is_none {
            continue;
        }
        if let Some((_, has)) = columns.iter_mut().find(|(known, _)| *known == column) {
            let more = wish.saturating_sub(*has).min(left);
            *has += more;
            left -= more;
        } else if columns.is_empty() {
            columns.push((column, wish.min(width)));
            left = left.saturating_sub(wish);
        } else if !is_full && wish + SPACING <= left {
            columns.push((column, wish));
            left -= wish + SPACING;
        } else {
            // What is less important may be narrow enough, but then columns would come and go.
            is_full = true;
        }
    }
    columns.sort_by_key(|(column, _)| *column);
    columns
}

/// Cuts a text to so many columns of the terminal, and says so.
#[must_use]
pub fn head(text: &str, width: usize) -> String {
    cut(text.to_owned(), width, false)
}

/// The end of a text.
fn tail(text: &str, width: usize) -> String {
    cut(text.to_owned(), width, true)
}

fn cut(text: String, width: usize, in_front: bool) -> String {
    if usize::from(text.cell_width()) <= width {
        return text;
    }
    let dots = ".".repeat(width.min(2));
    let span = Span::raw(text);
    let mut pieces: Vec<&str> = span.styled_graphemes(Style::new()).map(|piece| piece.symbol).collect();
    if in_front {
        pieces.reverse();
    }
    let mut left = width - dots.len();
    let fits = |piece: &&str| {
        let needed = usize::from(piece.cell_width());
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    let mut kept: Vec<&str> = pieces.into_iter().take_while(fits).collect();
    if in_front {
        kept.reverse();
        dots + &kept.concat()
    } else {
        kept.concat() + &dots
    }
}

/// What sparklines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shapes {
    /// Block elements of Unicode.
    Blocks,
    /// Characters of ASCII, for terminals that have no others.
    Ascii,
}

impl Shapes {
    /// Draws the latest rates, the last one on the right. The row's own highest rate is the whole height.
    fn draw(self, history: &History, width: usize) -> String {
        let levels = match self {
            Self::Blocks => [
                '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
                '\u{2588}',
            ],
            Self::Ascii => ['.', ':', '-', '=', '+', '*', '#', '@'],
        };
        let rates: Vec<u64> = history.latest_first().take(width).collect();
        let most = rates.iter().copied().max().unwrap_or(0);
        let blanks = " ".repeat(width - rates.len());
        let drawn = rates.into_iter().rev().map(|rate| match rate {
            0 => ' ',
            rate => {
                let level = u128::from(rate) * levels.len() as u128 / (u128::from(most) + 1);
                levels[usize::try_from(level).unwrap_or(0).min(levels.len() - 1)]
            }
        });
        blanks.chars().chain(drawn).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_they_say_least_and_wide_characters_stay_whole() {
        let fit = |column: Column, text: &str, width| column.fit(text, width, Table::Connections);
        assert_eq!(fit(With, "a.very.long.example.com:443 tcp", 20), "..xample.com:443 tcp");
        assert_eq!(fit(Process, "a-very-long-program", 10), "a-very-l..");
        assert_eq!(fit(Process, "\u{6f22}\u{5b57}\u{6f22}\u{5b57}", 7), "\u{6f22}\u{5b57}.. ");
        assert_eq!(fit(With, "\u{6f22}\u{5b57}\u{6f22}\u{5b57}", 7), "..\u{6f22}\u{5b57} ");
        assert_eq!(fit(In, "1 B", 5), "  1 B");
        assert_eq!(fit(Process, "abc", 2), "..");
        assert_eq!(fit(Process, "abc", 1), ".");
        assert_eq!(fit(Process, "abc", 0), "");
    }

    #[test]
    fn a_sparkline_ends_with_the_latest_rate() {
        let mut history = History::default();
        for rate in [5, 0, 1000, 1, 500] {
            history.push(rate);
        }
        assert_eq!(Shapes::Blocks.draw(&history, 7), "  \u{2581} \u{2588}\u{2581}\u{2584}");
        assert_eq!(Shapes::Ascii.draw(&history, 3), "@.=");
        let mut history = History::default();
        history.push(u64::MAX);
        assert_eq!(Shapes::Ascii.draw(&history, 1), "@");
    }

    #[test]
    fn a_narrow_terminal_has_what_matters_most() {
        let names = |table, width| {
            fitting(table, width, true, true).into_iter().map(|(column, _)| column).collect::<Vec<_>>()
        };
        assert_eq!(names(Table::Processes, 80), [Pid, Process, In, Out, Recent, With]);
        assert_eq!(names(Table::Connections, 80), [Pid, Process, In, Out, Recent, With]);
        assert_eq!(names(Table::Names, 80), [Group, Processes, Connections, In, Out, Total, Recent]);
        assert_eq!(names(Table::Processes, 40), [Process, In, Out]);
        assert_eq!(names(Table::Processes, 5), [Process]);
        for table in Table::ALL {
            for width in 1..300 {
                let columns = fitting(table, width, true, true);
                let sum: u16 = columns.iter().map(|(_, width)| width + SPACING).sum();
                assert!(sum - SPACING <= width, "{table:?} {width} {columns:?}");
            }
            let wishes = Column::wishes(table).iter();
            let wanted: std::collections::BTreeSet<_> = wishes.map(|(column, _)| *column).collect();
            assert_eq!(fitting(table, 300, true, true).len(), wanted.len(), "{table:?}");
        }
    }
}
