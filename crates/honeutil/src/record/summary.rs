//! The summary at the end: how much was recorded, what is missing, and who talked to whom.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::time::Duration;

use hone_engine::PerKind;
use hone_pcapng::{NoOwner, attribution};

use crate::output::Paths;
use crate::platform::SERVICE_DROPS;
use crate::record::losses::Losses;
use crate::text::{bytes, counted, duration, escaped, share, thousands};
use crate::traffic::peers::Peers;
use crate::traffic::tally::Tally;
use crate::traffic::{Names, Traffic};
use crate::users;

/// Processes shown.
const MAX_ROWS: usize = 10;
/// Peers shown for each.
const MAX_PEERS: usize = 3;
/// Characters of a process's name.
const NAME_WIDTH: usize = 24;
/// Characters of a user's name.
const USER_WIDTH: usize = 16;

/// The outcome of a recording, besides the tally.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How long it recorded.
    pub elapsed: Duration,
    /// The file or files, fit to be shown.
    pub files: String,
    /// The same for programs.
    pub paths: Paths,
    /// Total size of these files, bytes.
    pub written: u64,
    /// Bytes of the compressed files made of them; 0 if there are none.
    pub compressed: u64,
    /// What was lost.
    pub missing: Losses,
    /// Corrections in favour of a selected process, of packets that are not recorded.
    pub late_corrections: u64,
}

#[cfg(target_os = "linux")]
impl Outcome {
    /// What was recorded is in these files now.
    pub(crate) fn is_of(&mut self, saves: crate::recent::Saves) {
        self.files = saves.to_string();
        (self.paths, self.written, self.compressed) = (saves.paths, saves.bytes, 0);
    }
}

/// The summary, as lines that each end with a newline.
#[must_use]
pub fn render(outcome: &Outcome, tally: &Tally) -> String {
    let mut out = String::new();
    let total = &tally.total;
    let mut line = |label: &str, text: String| {
        let _ = writeln!(out, "{label:12}{text}");
    };
    line(
        "Recorded",
        format!(
            "{}, {} on the wire, in {}",
            counted(tally.recorded_packets(), "packet"),
            bytes(tally.recorded_bytes()),
            duration(outcome.elapsed)
        ),
    );
    if tally.joined_packets() > 0 {
        let joined = counted(tally.joined_packets(), "packet");
        line("", format!("{joined} of them once, with both owners, who have one each in the numbers below"));
    }
    let compressed = match outcome.compressed {
        0 => String::new(),
        length => format!(", compressed to {},", bytes(length)),
    };
    line("Written", format!("{}{compressed} to {}", bytes(outcome.written), outcome.files));
    let dropped = dropped(outcome);
    let mut dropped = dropped.iter();
    line("Dropped", dropped.next().map_or_else(|| "nothing".to_owned(), Clone::clone));
    for more in dropped {
        line("", more.clone());
    }
    if outcome.missing.left_out > 0 {
        let in_kernel = match outcome.missing.left_out_in_kernel {
            0 => String::new(),
            packets => format!("; {} of them filtered in the kernel", thousands(packets)),
        };
        let left_out = counted(outcome.missing.left_out, "packet");
        line("Left out", format!("{left_out}, by what was selected{in_kernel}"));
    }
    if outcome.late_corrections > 0 {
        let found = counted(outcome.late_corrections, "time");
        line(
            "",
            format!("{found}, a packet that is not recorded was found later to be of a selected process"),
        );
    }
    if total.packets() > 0 {
        let attributed = total.packets() - tally.nobody.packets();
        let [(nobodys, because), (unknown, why)] = [true, false].map(|nobodys| reasons(tally, nobodys));
        let part = share(attributed, attributed + unknown);
        line("Attributed", format!("{part} of the packets that have a process, to {}", processes(tally)));
        if nobodys > 0 {
            line("", format!("without a process: {because}"));
        }
        if unknown > 0 {
            line("", format!("not attributed: {why}"));
        }
        if tally.missed_corrections > 0 {
            let missed = counted(tally.missed_corrections, "correction");
            line("", format!("{missed} came too late for these numbers; honeutil show applies them"));
        }
        out.push('\n');
        out.push_str(&table(tally));
    }
    out
}

fn processes(tally: &Tally) -> String {
    match tally.process_count() {
        1 => "1 process".to_owned(),
        count => format!("{} processes", thousands(count)),
    }
}

/// What is missing from the recording, a line for each place where it was lost.
fn dropped(outcome: &Outcome) -> Vec<String> {
    let missing = &outcome.missing;
    let (source, ring) = if missing.of_service {
        SERVICE_DROPS
    } else {
        (
            "by the full kernel buffer (a larger --buffer-size or a smaller -s can help)",
            "by the reader's full ring buffer",
        )
    };
    let places = [
        (&missing.by_source, source),
        (&missing.by_ring, ring),
        (&missing.by_engine, "for lack of memory in the engine"),
    ];
    places.iter().filter_map(|(counts, place)| Some(format!("{} {place}", kinds(counts)?))).collect()
}

/// `3 packets, 1 process event`; `None` if there are none.
fn kinds(counts: &PerKind) -> Option<String> {
    let kinds = [
        (counts.packets, "packet"),
        (counts.processes, "process event"),
        (counts.connections, "connection event"),
    ];
    let texts: Vec<_> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| counted(*n, what)).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Packets without a process, with the reason in words, most frequent first: packets that belong to no process, or
/// whose process could not be found.
fn reasons(tally: &Tally, nobodys: bool) -> (u64, String) {
    let mut reasons: Vec<_> =
        tally.reasons.iter().filter(|(reason, _)| is_nobodys(**reason) == nobodys).collect();
    reasons.sort_by_key(|(reason, count)| (Reverse(**count), attribution::code(Err(**reason))));
    let texts: Vec<_> =
        reasons.iter().map(|(reason, count)| format!("{} {}", thousands(**count), words(**reason))).collect();
    (reasons.iter().map(|(_, count)| **count).sum(), texts.join(", "))
}

/// Whether packets with this reason belong to no process at all.
const fn is_nobodys(reason: NoOwner) -> bool {
    matches!(
        reason,
        NoOwner::Kernel | NoOwner::NoSocket | NoOwner::TimeWait | NoOwner::Forwarded | NoOwner::Filtered
    )
}

/// The words after the number of packets.
const fn words(reason: NoOwner) -> &'static str {
    match reason {
        NoOwner::Kernel => "of the kernel itself",
        NoOwner::NoSocket => "to closed ports",
        NoOwner::TimeWait => "of connections that have ended",
        NoOwner::Forwarded => "forwarded",
        NoOwner::Filtered => "dropped by a firewall rule",
        NoOwner::Shared => "of sockets that several processes share, not read in time",
        NoOwner::HoldFull => "that there was no room to wait with for a process",
        NoOwner::UnknownSocket | NoOwner::HoldExpired => "of sockets whose user is unknown",
    }
}

const COLUMNS: usize = 8;
const HEADINGS: [&str; COLUMNS] =
    ["PROCESS", "PID", "USER", "BYTES IN", "BYTES OUT", "PACKETS IN", "PACKETS OUT", "MOSTLY WITH"];
const RIGHT: [bool; COLUMNS] = [false, true, false, true, true, true, true, false];

type Row = [String; COLUMNS];

fn table(tally: &Tally) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let busiest = tally.busiest(MAX_ROWS);
    let names = Names::of(busiest.iter().map(|process| &process.path[..]));
    let mut rest = tally.total;
    for process in &busiest {
        rest = difference(&rest, &process.traffic);
        let name = match names.name(&process.path) {
            b"" => "?".to_owned(),
            name => escaped(name, NAME_WIDTH),
        };
        let user = escaped(users::shown(&process.user).as_bytes(), USER_WIDTH);
        add(&mut rows, [name, process.pid.to_string(), user], &process.traffic, &process.peers);
    }
    let others = difference(&rest, &tally.nobody);
    if others.packets() > 0 {
        let count = tally.process_count() - busiest.len() as u64;
        let name = format!("({})", if count == 1 { "1 other".to_owned() } else { counted(count, "other") });
        add(&mut rows, [name, String::new(), String::new()], &others, &Peers::default());
    }
    if tally.nobody.packets() > 0 {
        let name = ["(no process)".to_owned(), String::new(), String::new()];
        add(&mut rows, name, &tally.nobody, &tally.nobody_peers);
    }
    aligned(&rows)
}

fn difference(whole: &Traffic, part: &Traffic) -> Traffic {
    Traffic {
        packets_in: whole.packets_in - part.packets_in,
        packets_out: whole.packets_out - part.packets_out,
        bytes_in: whole.bytes_in - part.bytes_in,
        bytes_out: whole.bytes_out - part.bytes_out,
    }
}

/// Adds a row, and one more for each further peer.
fn add(rows: &mut Vec<Row>, [name, pid, user]: [String; 3], traffic: &Traffic, peers: &Peers) {
    let mut with: Vec<_> = peers.busiest(MAX_PEERS).iter().map(ToString::to_string).collect();
    match (peers.known(), with.last_mut()) {
        (Some(known), Some(last)) if known > MAX_PEERS => {
            let _ = write!(last, ", and {} more", known - MAX_PEERS);
        }
        (None, Some(last)) => last.push_str(", and many more"),
        _ => {}
    }
    let mut with = with.into_iter();
    rows.push([
        name,
        pid,
        user,
        bytes(traffic.bytes_in),
        bytes(traffic.bytes_out),
        thousands(traffic.packets_in),
        thousands(traffic.packets_out),
        with.next().unwrap_or_default(),
    ]);
    for peer in with {
        let mut row = Row::default();
        row[COLUMNS - 1] = peer;
        rows.push(row);
    }
}

fn aligned(rows: &[Row]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(RIGHT) {
            let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:width$}  ") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
