//! Rows of the events of one input. Owned by the loop in [`super`].

use std::collections::BTreeMap;

use hone_pcapng::{ConnectionEventKind, Direction, Section, Statistics, words};
use hone_select::Selection;
use hone_tables::{PacketRow, Rows, SectionRow, Table};

use super::connections::Connections;
use super::flow::{Counted, Ends, endpoints, tcp_flags};
use super::names::{self, Asked};
use super::programs::Programs;
use super::scope::{Owner, Scope};
use crate::event::{Event, Packet, Shown};
use crate::names::{NOTHING, PacketNames, Said};
use crate::span::Span;

/// Makes rows of events, one section after the other.
#[derive(Debug)]
pub struct Maker<'a> {
    selection: &'a Selection,
    span: Span,
    input: String,
    /// The file's name without its folder, for recordings that name no host.
    stem: String,
    has_section: bool,
    scope: Scope,
    programs: Programs,
    connections: Connections,
    names: PacketNames,
    facts: Facts,
    /// The latest time so far.
    now: Option<u64>,
}

/// What is known of a section.
#[derive(Debug, Default)]
struct Facts {
    application: Option<String>,
    os: Option<String>,
    hardware: Option<String>,
    first: Option<u64>,
    last: Option<u64>,
    packets: u64,
    bytes: u64,
    dropped: Option<u64>,
    unowned: u64,
    reasons: BTreeMap<&'static str, u64>,
}

impl<'a> Maker<'a> {
    /// Makes rows of what is selected.
    pub fn new(selection: &'a Selection, span: Span) -> Self {
        Self {
            selection,
            span,
            input: String::new(),
            stem: String::new(),
            has_section: false,
            scope: Scope::default(),
            programs: Programs::default(),
            connections: Connections::default(),
            names: PacketNames::default(),
            facts: Facts::default(),
            now: None,
        }
    }

    /// The names of connections, which a selection may need before the first input begins.
    pub fn names(&mut self) -> &mut PacketNames {
        &mut self.names
    }

    /// An input of this name begins; `stem`: the name of its file.
    pub fn begin(&mut self, input: String, stem: String) {
        self.scope = Scope::of(None, &stem);
        (self.input, self.stem, self.now) = (input, stem, None);
    }

    /// Handles an event. A packet that is recorded once for its sender and its receiver counts for each of them, as if it
    /// were recorded twice.
    pub fn event<R: Rows>(&mut self, shown: &Shown<'_>, rows: &mut R) -> Result<(), R::Error> {
        match shown.of_each() {
            None => self.event_of_owner(shown, rows),
            Some(each) => each.iter().try_for_each(|shown| self.event_of_owner(shown, rows)),
        }
    }

    fn event_of_owner<R: Rows>(&mut self, shown: &Shown<'_>, rows: &mut R) -> Result<(), R::Error> {
        if shown.nanos > self.now {
            self.now = shown.nanos;
        }
        if let Some(now) = self.now {
            self.connections.expire(now, &self.scope, rows)?;
            self.programs.expire(now, &self.scope, rows)?;
        }
        // Names are taken from all packets, as those that are not selected may have them.
        let mut names = std::mem::take(&mut self.names);
        let has_names =
            rows.wants(Table::Names) || rows.wants(Table::Connections) || self.selection.needs_names();
        let said = match has_names {
            true => names.note(shown, self.selection),
            false => Said { noted: NOTHING, names: Vec::new() },
        };
        let handled = self.handle(shown, &said, rows);
        self.names = names;
        handled
    }

    fn handle<R: Rows>(&mut self, shown: &Shown<'_>, said: &Said<'_>, rows: &mut R) -> Result<(), R::Error> {
        match &shown.event {
            Event::Section(section) => self.section(section, rows),
            Event::Process(event) => {
                let is_wanted = !self.selection.has_packet_words() && self.is_selected(shown, &[]);
                let Some(process) = shown.process else { return Ok(()) };
                let Self { programs, scope, .. } = self;
                programs.event(event, shown.nanos, process, is_wanted, scope, rows)
            }
            Event::Connection(event) => self.connection(event.connection, event.kind, shown, rows),
            Event::Packet(packet) => self.packet(packet, shown, said, rows),
            Event::Statistics(statistics) => {
                self.statistics(statistics);
                Ok(())
            }
        }
    }

    /// Makes the rows that are left: the section ends here.
    fn finish<R: Rows>(&mut self, rows: &mut R) -> Result<(), R::Error> {
        let Self { connections, programs, scope, facts, now, .. } = self;
        connections.finish_all(scope, rows)?;
        programs.finish_all(*now, scope, rows)?;
        if !std::mem::take(&mut self.has_section) && facts.packets == 0 {
            return Ok(());
        }
        let reasons: Vec<_> = facts.reasons.iter().map(|(reason, count)| (*reason, *count)).collect();
        rows.section(&SectionRow {
            host: &scope.host,
            boot: scope.boot.as_deref(),
            input: &self.input,
            application: facts.application.as_deref().map(Into::into),
            os: facts.os.as_deref().map(Into::into),
            hardware: facts.hardware.as_deref().map(Into::into),
            first: facts.first,
            last: facts.last,
            packets: facts.packets,
            bytes: facts.bytes,
            dropped: facts.dropped,
            unowned: facts.unowned,
            unowned_reasons: &reasons,
        })?;
        self.facts = Facts::default();
        Ok(())
    }

    /// Ends the input: makes the rows that are left.
    pub fn end<R: Rows>(&mut self, rows: &mut R) -> Result<(), R::Error> {
        self.finish(rows)?;
        self.names.next_input();
        Ok(())
    }

    fn section<R: Rows>(&mut self, section: &Section<'_>, rows: &mut R) -> Result<(), R::Error> {
        self.finish(rows)?;
        self.scope = Scope::of(Some(section), &self.stem);
        let text = |text: &Option<std::borrow::Cow<'_, [u8]>>| {
            text.as_deref().map(|text| String::from_utf8_lossy(text).into_owned())
        };
        self.facts = Facts {
            application: text(&section.application),
            os: text(&section.os),
            hardware: text(&section.hardware),
            ..Facts::default()
        };
        (self.has_section, self.now) = (true, None);
        Ok(())
    }

    /// Whether an event is selected; `names`: those of a packet and its connection.
    fn is_selected(&self, shown: &Shown<'_>, names: &[&str]) -> bool {
        shown.is_selected(self.selection, names) && self.span.contains(shown.nanos)
    }

    fn statistics(&mut self, statistics: &Statistics<'_>) {
        let dropped = [statistics.dropped_by_source, statistics.dropped_by_ring]
            .into_iter()
            .flatten()
            .reduce(u64::saturating_add);
        self.facts.dropped = dropped.or(self.facts.dropped);
    }

    fn connection<R: Rows>(
        &mut self,
        id: u64,
        kind: ConnectionEventKind,
        shown: &Shown<'_>,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        if !rows.wants(Table::Connections) && !rows.wants(Table::Packets) {
            return Ok(());
        }
        let is_wanted = !self.selection.has_packet_words() && self.is_selected(shown, &[]);
        let owner = self.owner(shown, is_wanted);
        let Self { connections, scope, .. } = self;
        match kind {
            ConnectionEventKind::Opened => connections.open(id, shown.nanos, owner, is_wanted, scope, rows),
            ConnectionEventKind::Closed => connections.close(id, shown.nanos, owner, is_wanted, scope, rows),
            ConnectionEventKind::Correction | ConnectionEventKind::Other(_) => Ok(()),
        }
    }

    /// The process of an event; takes note that it is wanted.
    fn owner(&mut self, shown: &Shown<'_>, is_wanted: bool) -> Option<Owner> {
        // Connection events have process 0 where nobody is known to have the connection.
        let pid = shown.pid().filter(|pid| *pid != 0 || matches!(shown.event, Event::Packet(_)))?;
        let owner = self.scope.owner(pid, shown.process);
        if is_wanted {
            self.programs.want(pid, shown.process, &owner.uid);
        }
        Some(owner.clone())
    }

    fn packet<R: Rows>(
        &mut self,
        packet: &Packet<'_>,
        shown: &Shown<'_>,
        said: &Said<'_>,
        rows: &mut R,
    ) -> Result<(), R::Error> {
        let Said { noted, names } = said;
        if !self.is_selected(shown, names) {
            return Ok(());
        }
        self.facts.packet(packet, shown.nanos);
        let owner = self.owner(shown, true);
        let is_outbound = packet.direction().map(|direction| direction == Direction::Outbound);
        let ends = packet.headers.as_ref().map(endpoints);
        let has_packets = rows.wants(Table::Packets);
        let mut uid = None;
        if (has_packets || rows.wants(Table::Names) || rows.wants(Table::Connections))
            && let (Some(headers), Some([source, destination])) = (&packet.headers, ends)
        {
            let protocol = headers.protocol;
            let out = Ends { protocol, local: source, remote: destination };
            let back = Ends { protocol, local: destination, remote: source };
            // Without a direction, the sender of the first packet is taken for this host.
            let is_outbound = is_outbound.unwrap_or_else(|| !self.connections.knows(&back));
            let ends = if is_outbound { out } else { back };
            let counted = Counted {
                packet,
                headers,
                nanos: shown.nanos,
                ends,
                owner: owner.as_ref(),
                is_outbound,
                named: noted.name.map(|(named, _)| named),
            };
            uid = Some(self.connections.packet(&counted, &self.scope, rows)?);
        }
        if rows.wants(Table::Names) {
            let pid = packet.process.or(noted.process);
            let process_uid = match &owner {
                Some(owner) => Some(&owner.uid),
                None => pid.and_then(|pid| self.programs.uid(pid)),
            };
            let of = Asked {
                time: shown.nanos,
                scope: &self.scope,
                pid,
                process_uid: process_uid.map(|uid| &**uid),
                connection_uid: uid.as_deref(),
            };
            names::rows(noted.found, &of, rows)?;
        }
        if !has_packets {
            return Ok(());
        }
        rows.packet(&PacketRow {
            time: shown.nanos,
            host: &self.scope.host,
            boot: self.scope.boot.as_deref(),
            connection_uid: uid.as_deref(),
            process_uid: owner.as_ref().map(|owner| &*owner.uid),
            pid: packet.process,
            thread: packet.thread,
            frame: packet.frame,
            interface: packet.interface,
            direction: packet.direction(),
            protocol: packet.headers.map(|headers| headers.protocol),
            source: ends.map(|ends| ends[0]),
            destination: ends.map(|ends| ends[1]),
            length: packet.original_length,
            captured: u32::try_from(packet.data.len()).unwrap_or(u32::MAX),
            tcp_flags: packet.headers.as_ref().and_then(tcp_flags),
            how: packet.how.map(words),
            is_corrected: packet.is_corrected,
        })
    }
}

impl Facts {
    fn packet(&mut self, packet: &Packet<'_>, nanos: Option<u64>) {
        self.first = match (self.first, nanos) {
            (Some(first), Some(nanos)) => Some(first.min(nanos)),
            (first, nanos) => first.or(nanos),
        };
        self.last = self.last.max(nanos);
        self.packets += 1;
        self.bytes += u64::from(packet.original_length);
        if packet.process.is_none() {
            self.unowned += 1;
            if let Some(how @ Err(_)) = packet.how {
                *self.reasons.entry(words(how)).or_default() += 1;
            }
        }
    }
}
