//! What a report has, collected from the rows of recordings in bounded memory.

use std::collections::HashMap;
use std::convert::Infallible;

use hone_tables::{ConnectionRow, Endpoint, NameRow, PacketRow, ProcessRow, Rows, SectionRow, Table};

use super::columns::table;
use super::hosts::Hosts;
use super::texts::Texts;
use super::timeline::Timeline;

/// No process.
pub(super) const NONE: u32 = u32::MAX;
/// No time.
const NO_TIME: f64 = f64::NAN;

/// Most rows of each table. A table of connections becomes twice as long, then its smaller half is left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) processes: usize,
    pub(super) connections: usize,
    pub(super) names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 300_000, connections: 250_000, names: 200_000 }
    }
}

table! {
    /// Programs that processes ran.
    Processes, Process, "processes" {
        host: u16,
        pid: u32,
        /// The place of the parent.
        parent: u32,
        start: f64,
        end: f64,
        /// Whether it started after the first packet of its host.
        is_new: u8,
        name: u32,
        path: u32,
        args: u32,
        user: u32,
        group: u32,
        unit: u32,
        container: u32,
        /// The hash of its executable, or why it is not known.
        sha256: u32,
        /// Packets of which it is the process.
        packets: f64,
        bytes: f64,
    }
}

table! {
    /// Connections, and flows of packets without one.
    Connections, Connection, "connections" {
        host: u16,
        process: u32,
        /// The id's lower half; both halves are 2^32-1 if there is none.
        id_low: u32,
        id_high: u32,
        /// 255 if unknown.
        protocol: u8,
        /// 1: by this host; 2: by the other side; 0: unknown.
        initiated: u8,
        local_address: u32,
        local_port: u16,
        remote_address: u32,
        remote_port: u16,
        remote_name: u32,
        /// What a client of this host asked for.
        local_name: u32,
        /// When it was opened, or its first packet.
        open: f64,
        /// When it was closed, or its last packet.
        close: f64,
        packets_out: f64,
        packets_in: f64,
        bytes_out: f64,
        bytes_in: f64,
        packets_unowned: f64,
        how: u32,
        state: u32,
    }
}

table! {
    /// Names.
    Names, Name, "names" {
        time: f64,
        host: u16,
        process: u32,
        kind: u32,
        name: u32,
        answers: u32,
        details: u32,
    }
}

/// What had no room.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LeftOut {
    pub(super) processes: u64,
    pub(super) connections: u64,
    pub(super) connection_packets: u64,
    pub(super) connection_bytes: u64,
    pub(super) names: u64,
}

/// The collected rows.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) texts: Texts,
    pub(super) hosts: Hosts,
    pub(super) processes: Processes,
    pub(super) connections: Connections,
    pub(super) names: Names,
    pub(super) timeline: Timeline,
    pub(super) left_out: LeftOut,
    limits: Limits,
    process_of_uid: HashMap<Box<str>, u32>,
}

/// Microseconds, exact for all times of this era.
fn micros(nanos: u64) -> f64 {
    (nanos / 1000) as f64
}

fn maybe_micros(nanos: Option<u64>) -> f64 {
    nanos.map_or(NO_TIME, micros)
}

/// A sum of whole numbers.
#[allow(clippy::cast_possible_truncation, reason = "it has none but whole numbers below 2^53")]
fn whole(sum: f64) -> u64 {
    sum as u64
}

impl Collected {
    /// With these limits.
    #[cfg(test)]
    pub(super) fn within(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The place of a process. One whose row has not come yet gets its place now.
    fn place(&mut self, uid: Option<&str>, host: u16, pid: Option<u32>, name: Option<&str>) -> u32 {
        let Some(uid) = uid else { return NONE };
        if let Some(place) = self.process_of_uid.get(uid) {
            return *place;
        }
        let place = match u32::try_from(self.process_of_uid.len()) {
            Ok(place) if self.process_of_uid.len() < self.limits.processes => place,
            _ => {
                self.left_out.processes += 1;
                return NONE;
            }
        };
        let name = self.texts.maybe(name);
        self.processes.push(Process {
            host,
            pid: pid.unwrap_or(0),
            parent: NONE,
            start: NO_TIME,
            end: NO_TIME,
            is_new: 0,
            name,
            path: 0,
            args: 0,
            user: 0,
            group: 0,
            unit: 0,
            container: 0,
            sha256: 0,
            packets: 0.0,
            bytes: 0.0,
        });
        self.process_of_uid.insert(uid.into(), place);
        place
    }

    /// An address, and a port or 0.
    fn end(&mut self, end: Option<Endpoint>) -> (u32, u16) {
        let Some(end) = end else { return (0, 0) };
        (self.texts.number(&end.address.to_string()), end.port.unwrap_or(0))
    }

    /// Leaves out the connections with the fewest bytes, so that the others are within the limit.
    fn shorten(&mut self) {
        let all = &self.connections;
        let bytes = |at: usize| all.bytes_in[at] + all.bytes_out[at];
        let mut order: Vec<_> = (0..all.open.len()).collect();
        order.sort_by(|&a, &b| bytes(b).total_cmp(&bytes(a)));
        let mut marks = vec![false; order.len()];
        for (rank, at) in order.into_iter().enumerate() {
            marks[at] = rank < self.limits.connections;
            if !marks[at] {
                self.left_out.connections += 1;
                self.left_out.connection_packets += whole(all.packets_in[at] + all.packets_out[at]);
                self.left_out.connection_bytes += whole(bytes(at));
            }
        }
        self.connections.keep(&marks);
    }

    /// Completes what only the end shows.
    pub(super) fn finish(&mut self) {
        if self.connections.open.len() > self.limits.connections {
            self.shorten();
        }
        for place in 0..self.processes.pid.len() {
            let first = self.hosts.first(self.processes.host[place]);
            let is_new = first.is_some_and(|first| self.processes.start[place] > micros(first));
            self.processes.is_new[place] = u8::from(is_new);
        }
    }
}

impl Rows for Collected {
    type Error = Infallible;

    fn wants(&self, _: Table) -> bool {
        true
    }

    fn input(&mut self, _: &str) -> Result<(), Infallible> {
        self.hosts.next_input();
        Ok(())
    }

    fn process(&mut self, row: &ProcessRow<'_>) -> Result<(), Infallible> {
        let host = self.hosts.number(row.host);
        let parent = self.place(row.parent_uid, host, row.parent_pid, None);
        let place = self.place(Some(row.process_uid), host, Some(row.pid), None);
        let Ok(at) = usize::try_from(place) else { return Ok(()) };
        if place == NONE {
            return Ok(());
        }
        let account = |name: &Option<_>, id: Option<u32>| match name {
            Some(name) => String::from(AsRef::<str>::as_ref(name)),
            None => id.map_or_else(String::new, |id| id.to_string()),
        };
        let user = match (&row.user_name, row.security_id) {
            (None, Some(sid)) => sid.to_owned(),
            _ => account(&row.user_name, row.user_id),
        };
        let group = account(&row.group_name, row.group_id);
        let texts = &mut self.texts;
        let process = Process {
            host,
            pid: row.pid,
            parent: if parent == place { NONE } else { parent },
            start: maybe_micros(row.start),
            end: maybe_micros(row.end),
            is_new: 0,
            name: texts.number(&row.name),
            path: texts.number(&row.path),
            args: texts.maybe(row.command_line),
            user: texts.number(&user),
            group: texts.number(&group),
            unit: texts.maybe(row.unit.as_deref()),
            container: texts.maybe(row.container.as_deref()),
            sha256: texts.maybe(row.sha256.or(row.no_hash)),
            packets: self.processes.packets[at],
            bytes: self.processes.bytes[at],
        };
        self.processes.set(at, process);
        Ok(())
    }

    fn connection(&mut self, row: &ConnectionRow<'_>) -> Result<(), Infallible> {
        let host = self.hosts.number(row.host);
        let process = self.place(row.process_uid, host, row.pid, row.process_name.as_deref());
        let (local_address, local_port) = self.end(row.local);
        let (remote_address, remote_port) = self.end(row.remote);
        // What a client asked for names the server. If that is this host, the other side has no name.
        let is_of_remote = row.is_local_initiated != Some(false) || row.name_source == Some("dns");
        let remote_name = self.texts.maybe(row.name.filter(|_| is_of_remote));
        let local_name = self.texts.maybe(row.name.filter(|_| !is_of_remote));
        let id = row.connection_id.unwrap_or(u64::MAX);
        self.connections.push(Connection {
            host,
            process,
            id_low: u32::try_from(id & u64::from(u32::MAX)).unwrap_or(NONE),
            id_high: u32::try_from(id >> 32).unwrap_or(NONE),
            protocol: row.protocol.unwrap_or(u8::MAX),
            initiated: row.is_local_initiated.map_or(0, |is_local| if is_local { 1 } else { 2 }),
            local_address,
            local_port,
            remote_address,
            remote_port,
            remote_name,
            local_name,
            open: maybe_micros(row.opened.or(row.first)),
            close: maybe_micros(row.closed.or(row.last)),
            packets_out: row.packets_out as f64,
            packets_in: row.packets_in as f64,
            bytes_out: row.bytes_out as f64,
            bytes_in: row.bytes_in as f64,
            packets_unowned: row.packets_unowned as f64,
            how: self.texts.maybe(row.how.or(row.no_process)),
            state: self.texts.number(row.state.word()),
        });
        if self.connections.open.len() >= 2 * self.limits.connections {
            self.shorten();
        }
        Ok(())
    }

    fn packet(&mut self, row: &PacketRow<'_>) -> Result<(), Infallible> {
        let host = self.hosts.number(row.host);
        let place = self.place(row.process_uid, host, row.pid, None);
        let length = u64::from(row.length);
        if place != NONE
            && let Ok(at) = usize::try_from(place)
        {
            self.processes.packets[at] += 1.0;
            self.processes.bytes[at] += length as f64;
        }
        if let Some(time) = row.time {
            // Packets without a process are told apart by host.
            let series = if place == NONE { NONE - u32::from(host) } else { place };
            self.timeline.add(time, series, length);
        }
        Ok(())
    }

    fn name(&mut self, row: &NameRow<'_>) -> Result<(), Infallible> {
        let host = self.hosts.number(row.host);
        let process = self.place(row.process_uid, host, row.pid, None);
        let name = self.texts.maybe(row.name);
        if self.names.time.len() >= self.limits.names {
            self.left_out.names += 1;
            return Ok(());
        }
        let details = [row.question_type, row.response_code, row.version, row.alpn, row.ja4];
        let cut = row.is_cut.then_some("cut off");
        let encrypted = row.is_encrypted.then_some("encrypted hello");
        let details: Vec<_> = details.into_iter().chain([cut, encrypted]).flatten().collect();
        let texts = &mut self.texts;
        self.names.push(Name {
            time: maybe_micros(row.time),
            host,
            process,
            kind: texts.number(row.kind.word()),
            name,
            answers: texts.number(&row.answers.join(", ")),
            details: texts.number(&details.join(" ")),
        });
        Ok(())
    }

    fn section(&mut self, row: &SectionRow<'_>) -> Result<(), Infallible> {
        self.hosts.section(row);
        Ok(())
    }
}
