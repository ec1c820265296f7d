//! What is known of one row, line by line.

use std::time::Duration;

use hone_engine::Nanos;
use hone_names::version_name;
use hone_pcapng::words;
use ratatui::buffer::CellWidth as _;
use ratatui::style::Style;
use ratatui::text::Span;

use super::flow::{Address, Facts};
use super::model::Snapshot;
use super::programs::Programs;
use super::rows::{Key, Row, Table};
use crate::text::{bytes, counted, duration, escaped, known, thousands, utc};
use hone_rows::ip;

/// A heading and what belongs to it.
pub type Fact = (&'static str, String);

/// Columns of a heading.
pub const HEADING: usize = 14;
/// Characters of a path.
const MAX_PATH: usize = 1024;
/// Most protocols of a client hello.
const MAX_ALPN: usize = 16;

/// What is known of a row. `table`: where it is from.
#[must_use]
pub fn facts(table: Table, row: &Row, snapshot: &Snapshot, programs: &Programs) -> Vec<Fact> {
    let mut facts = match table {
        Table::Processes => process(row, snapshot, programs),
        Table::Connections => connection(row, snapshot, programs),
        _ => {
            let (processes, connections) = row.members;
            let members = format!("{}, {}", plural(processes), counted(connections, "connection"));
            let name = match &row.peer_name {
                Some(named) if table == Table::Hosts => format!("{}, called {}", row.name, named.name),
                _ => row.name.to_string(),
            };
            vec![(table.one(), name), ("Has", members)]
        }
    };
    if table != Table::Connections {
        facts.push(("Received", amount(row.total.packets_in, row.total.bytes_in, row.rate.bytes_in)));
        facts.push(("Sent", amount(row.total.packets_out, row.total.bytes_out, row.rate.bytes_out)));
    }
    facts
}

fn plural(processes: u64) -> String {
    format!("{} {}", thousands(processes), if processes == 1 { "process" } else { "processes" })
}

fn amount(packets: u64, sum: u64, rate: u64) -> String {
    format!("{} in {}; now {}/s", bytes(sum), counted(packets, "packet"), bytes(rate))
}

fn process(row: &Row, snapshot: &Snapshot, programs: &Programs) -> Vec<Fact> {
    let Some(pid) = row.pid else { return vec![("Process", "none: the kernel, or not known".to_owned())] };
    let state = if row.is_over { ": it has ended, or runs another program now" } else { "" };
    let mut facts = vec![("Process", format!("{} {pid}{state}", row.name))];
    if row.is_over && snapshot.by_pid.get(&pid).is_some_and(|number| row.key != Key::Process(*number)) {
        // What is known of the id is about another one.
        facts.push(("User", row.owner.user.to_string()));
        return facts;
    }
    facts.extend(program(pid, row, snapshot.now, programs));
    facts
}

/// The facts of the program that a process runs.
fn program(pid: u32, row: &Row, now: Nanos, programs: &Programs) -> Vec<Fact> {
    let mut facts = vec![("Parents", programs.chain(pid))];
    let owner = &row.owner;
    let mut belongs = vec![format!("user {}", known(&owner.user))];
    if let Some(program) = programs.get(pid) {
        let line = program.command_line();
        if !line.is_empty() {
            facts.push(("Command", line));
        }
        let path = escaped(&program.path, MAX_PATH);
        if !path.is_empty() {
            facts.push(("Executable", path));
        }
        facts.extend(program.hash().map(|hash| ("SHA-256", hash)));
        if !program.group.is_empty() {
            belongs.push(format!("group {}", program.group));
        }
        if program.start > 0 {
            facts.push(("Since", since(program.start, now)));
        }
        if let Some(end) = program.end {
            facts.push(("Ended", since(end, now)));
        }
    }
    if !owner.unit.is_empty() {
        belongs.push(format!("unit {}", owner.unit));
    }
    if !owner.container.is_empty() {
        belongs.push(format!("container {}", owner.container));
    }
    facts.push(("Belongs to", belongs.join(", ")));
    facts
}

fn connection(row: &Row, snapshot: &Snapshot, programs: &Programs) -> Vec<Fact> {
    let Some(of) = &row.facts else { return Vec::new() };
    let now = snapshot.now;
    let id = match row.key {
        Key::Connection(id) => format!("{id}, {}", of.state()),
        _ => "none: packets that belong to no connection".to_owned(),
    };
    let mut facts = vec![("Connection", id)];
    let protocol = ip::name(of.protocol).map_or_else(|| format!("protocol {}", of.protocol), str::to_owned);
    if let Some((local, remote)) = of.ends {
        facts.push(("Local end", format!("{} {protocol}", end(local, of, false))));
        facts.push(("Other end", format!("{} {protocol}", end(remote, of, true))));
    }
    if let Some((named, _)) = &of.named {
        facts.push(("Name", format!("{}, from {}", named.name, source(named.source.word()))));
    }
    facts.extend(hello(of));
    match row.pid {
        Some(pid) => {
            facts.push(("Process", format!("{} {pid}", row.name)));
            facts.extend(
                program(pid, row, now, programs).into_iter().filter(|(heading, _)| *heading != "Since"),
            );
        }
        None => facts.push(("Process", "none: see how it is attributed".to_owned())),
    }
    match (of.opened, of.seen) {
        (Some(opened), _) => facts.push(("Opened", since(opened, now))),
        (None, Some((first, _))) => facts.push(("First packet", since(first, now))),
        (None, None) => {}
    }
    if let Some((_, last)) = of.seen {
        facts.push(("Last packet", since(last, now)));
    }
    if let Some(closed) = of.closed {
        facts.push(("Closed", since(closed, now)));
    }
    let (total, rate) = (&row.total, &row.rate);
    facts.push(("Received", amount(total.packets_in, total.bytes_in, rate.bytes_in)));
    facts.push(("Sent", amount(total.packets_out, total.bytes_out, rate.bytes_out)));
    let how: Vec<_> = of
        .how
        .iter()
        .map(|(how, count)| {
            let kind = if how.is_ok() { "" } else { "no process: " };
            format!("{kind}{} ({})", words(*how), thousands(*count))
        })
        .collect();
    if !how.is_empty() {
        facts.push(("Attributed", how.join(", ")));
    }
    facts
}

/// An end of a connection, with its name if it has one.
fn end((address, port): Address, facts: &Facts, is_remote: bool) -> String {
    let address = match port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    match &facts.named {
        Some((named, of_remote)) if *of_remote == is_remote => format!("{} ({address})", named.name),
        _ => address,
    }
}

/// Where a name is from, for people.
fn source(word: &str) -> String {
    match word {
        "dns" => "an answer of DNS before it".to_owned(),
        "http" => "a request of HTTP".to_owned(),
        word => format!("its client's first message ({})", word.to_uppercase()),
    }
}

/// What a client has said first, in TLS or QUIC.
fn hello(facts: &Facts) -> Option<Fact> {
    let hello = facts.hello.as_ref()?;
    let mut parts = Vec::new();
    parts.push(match version_name(hello.version) {
        Some(version) => format!("offers version {version}"),
        None => "offers a version that is not known".to_owned(),
    });
    if !hello.alpn.is_empty() {
        let alpn: Vec<_> = hello.alpn.iter().take(MAX_ALPN).map(String::as_str).collect();
        parts.push(format!("protocols {}", alpn.join(",")));
    }
    if let Some(ja4) = &hello.ja4 {
        parts.push(format!("JA4 {ja4}"));
    }
    if hello.is_encrypted {
        parts.push("the real hello is encrypted".to_owned());
    }
    if hello.is_cut {
        parts.push("cut off".to_owned());
    }
    Some((if hello.is_quic { "QUIC" } else { "TLS" }, parts.join("; ")))
}

/// A time, and how long ago it was.
fn since(time: Nanos, now: Nanos) -> String {
    format!("{}, {} ago", utc(time), duration(Duration::from_nanos(now.saturating_sub(time))))
}

/// The lines of facts in so many columns: each heading, and what belongs to it, in `most` lines at most.
#[must_use]
pub fn lines(facts: &[Fact], width: usize, most: usize) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for (heading, text) in facts {
        let mut heading = *heading;
        let mut parts = wrapped(text, width.saturating_sub(HEADING));
        if parts.len() > most {
            parts.truncate(most);
            parts.iter_mut().skip(most - 1).for_each(|last| last.push_str(".."));
        }
        for part in parts {
            lines.push((heading, part));
            heading = "";
        }
    }
    lines
}

/// A text in lines of so many columns, cut between words where this is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let span = Span::raw(text);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for piece in span.styled_graphemes(Style::new()) {
        let needed = usize::from(piece.symbol.cell_width());
        if used + needed > width {
            // Not too early: a long word is cut.
            let rest = match line.rfind(' ').filter(|at| *at > line.len() / 2) {
                Some(at) => line.split_off(at + 1),
                None => String::new(),
            };
            used = usize::from(rest.as_str().cell_width());
            lines.push(std::mem::replace(&mut line, rest).trim_end().to_owned());
        }
        if line.is_empty() && piece.symbol == " " && !lines.is_empty() {
            continue;
        }
        line.push_str(piece.symbol);
        used += needed;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_facts_are_wrapped_between_words() {
        let facts = [
            ("Command", "curl --silent https://example.com/a/very/long/path x".to_owned()),
            ("Sent", "1 B".to_owned()),
        ];
        assert_eq!(
            lines(&facts, 32, 9),
            [
                ("Command", "curl --silent".to_owned()),
                ("", "https://example.co".to_owned()),
                ("", "m/a/very/long/path".to_owned()),
                ("", "x".to_owned()),
                ("Sent", "1 B".to_owned()),
            ]
        );
        let short = lines(&facts, 32, 2);
        assert_eq!(short[1..], [("", "https://example.co..".to_owned()), ("Sent", "1 B".to_owned())]);
        assert_eq!(wrapped("", 20), [""]);
        assert_eq!(
            wrapped("\u{6f22}\u{6f22}\u{6f22}\u{6f22}\u{6f22}", 8),
            ["\u{6f22}\u{6f22}\u{6f22}\u{6f22}", "\u{6f22}"]
        );
    }
}
