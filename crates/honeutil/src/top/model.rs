//! The data of `top`: traffic of processes, which the [`Tally`] counts, traffic of connections, the names of both, and the rates
//! since the last tick. Memory is limited.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hone_engine::{BYTE_ORDER, Nanos};
use hone_names::{Found, Named, Names as Finder, Noted};
use hone_pcapng::view::{self, PacketView};
use hone_pcapng::{Direction, ProcessEvent, block};

use super::flow::{FlowKey, Flows, Gone, User};
use super::programs::Programs;
use super::rows::{Key, Owner, Row};
use super::selected::Selected;
use crate::text::escaped;
use crate::traffic::tally::Tally;
use crate::traffic::{Names, Traffic};
use crate::users;
use hone_rows::ip::Headers;
use hone_rows::names::NOTHING;

/// Most characters of a program's name, and of a user, a unit or a container: their tables are not as wide.
const MAX_PROGRAM: usize = 64;
const MAX_NAME: usize = 256;
/// Most addresses of which names are kept, for the processes that use them.
const MAX_NAMED: usize = 1 << 14;

/// What is shown: as it was at a tick.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The programs of processes, also those that have ended, and what has no process.
    pub processes: Vec<Row>,
    /// The connections that have traffic, and what has no connection.
    pub connections: Vec<Row>,
    /// What connections have had that are forgotten.
    pub gone: Rc<Gone>,
    /// The number of the program that a process runs.
    pub by_pid: HashMap<u32, u64>,
    /// All packets, per second.
    pub rate: Traffic,
    /// Packets lost so far.
    pub dropped: u64,
    /// How long it has run.
    pub elapsed: Duration,
    /// When this was.
    pub now: Nanos,
    /// Whether the packets come from the service.
    pub of_service: bool,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Model {
    tally: Tally,
    flows: Flows,
    finder: Finder,
    /// What the addresses are called that processes use.
    named: HashMap<User, Arc<Named>>,
    /// What processes run.
    pub programs: Programs,
    /// If packets are selected here.
    selected: Option<Selected>,
    total_before: Traffic,
    nobody_before: Traffic,
    nobody: Row,
    elapsed: Duration,
    /// Whether the packets come from the service.
    pub of_service: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self::new(Key::None, "(no process)".into())
    }
}

impl Model {
    /// Nothing seen yet. `selected`: which packets count; `None`: all.
    #[must_use]
    pub fn new(selected: Option<Selected>) -> Self {
        Self { selected, ..Self::default() }
    }

    /// Counts whole blocks.
    pub fn add(&mut self, stream: &[u8]) {
        for block in view::blocks(stream, BYTE_ORDER) {
            match block.kind() {
                block::PACKET => {
                    if let Some(packet) = block.packet() {
                        self.packet(&packet);
                    }
                }
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(block.body(), BYTE_ORDER) {
                        self.tally.process(&event);
                        self.programs.note(&event);
                        self.selected.iter_mut().for_each(|selected| selected.process(&event));
                    }
                }
                block::CONNECTION => {
                    let Some(event) = block.connection() else { continue };
                    if let Some(correction) = &event.correction {
                        self.tally.correct(&event, correction);
                        if correction.has_process() {
                            self.flows.set_process(event.connection, event.process);
                        }
                    }
                    self.flows.event(&event);
                    self.selected.iter_mut().for_each(|selected| selected.connection(&event));
                }
                _ => {}
            }
        }
    }

    fn packet(&mut self, packet: &PacketView<'_>) {
        let headers = Headers::parse(packet.data).ok();
        let direction = if packet.is_outbound() { Direction::Outbound } else { Direction::Inbound };
        let noted = match headers {
            Some(headers) => self.finder.note(&hone_names::Packet {
                nanos: packet.timestamp,
                direction: Some(direction),
                process: packet.process,
                connection: packet.connection,
                headers,
                length: packet.original_length,
            }),
            None => NOTHING,
        };
        let headers = headers.as_ref();
        if let Some(selected) = &self.selected
            && !selected.admits(packet, headers, &names(&noted))
        {
            return;
        }
        self.tally.packet(packet, headers);
        if let Some((address, named)) = self.flows.packet(packet, headers, &noted) {
            if self.named.len() >= MAX_NAMED {
                self.named.clear();
            }
            self.named.insert(address, named);
        }
    }

    /// Computes rates from the traffic since the last tick. `now`: the time by the clock of the blocks.
    pub fn tick(&mut self, passed: Duration, dropped: u64, now: Nanos) -> Snapshot {
        self.elapsed += passed;
        let rate = |now: &Traffic, before: &Traffic| per_second(now, before, passed);
        let total_rate = rate(&self.tally.total, &self.total_before);
        self.total_before = self.tally.total;
        let (mut processes, mut by_pid) = (Vec::new(), HashMap::new());
        let mut owners: HashMap<u32, Rc<Owner>> = HashMap::new();
        let programs = Names::of(self.tally.with_traffic().map(|process| &process.path[..]));
        for process in self.tally.with_traffic() {
            let shown = |text: &str| -> Arc<str> { escaped(text.as_bytes(), MAX_NAME).into() };
            let owner = Rc::new(Owner {
                name: escaped(programs.name(&process.path), MAX_PROGRAM),
                user: shown(&users::shown(&process.user)),
                unit: shown(&process.unit),
                container: shown(&process.container),
            });
            let rate = rate(&process.traffic, &process.seen);
            process.seen = process.traffic;
            process.history.push(rate.bytes());
            // An id may have several: of the programs that a process ran before, or of processes that have ended.
            if !process.is_ended() || !owners.contains_key(&process.pid) {
                owners.insert(process.pid, Rc::clone(&owner));
                by_pid.insert(process.pid, process.number);
            }
            let peer = process.peers.busiest(1).first().copied();
            let name = if owner.name.is_empty() { "?" } else { &owner.name };
            processes.push(Row {
                pid: Some(process.pid),
                peer,
                peer_name: peer
                    .and_then(|peer| self.named.get(&(Some(process.pid), peer.address())).cloned()),
                total: process.traffic,
                rate,
                history: process.history.clone(),
                is_over: process.is_ended(),
                ..Row::new(Key::Process(process.number), name.into()).of(&owner)
            });
        }
        if self.tally.nobody.packets() > 0 {
            let nobody = &mut self.nobody;
            nobody.total = self.tally.nobody;
            nobody.rate = rate(&nobody.total, &self.nobody_before);
            nobody.history.push(nobody.rate.bytes());
            nobody.peer = self.tally.nobody_peers.busiest(1).first().copied();
            nobody.peer_name = nobody.peer.and_then(|peer| self.named.get(&(None, peer.address())).cloned());
            self.nobody_before = self.tally.nobody;
            processes.push(nobody.clone());
        }
        let others = *self.tally.others();
        if others.packets() > 0 {
            let row = Row::new(Key::Others, "(others, ended)".into());
            // When processes are no longer kept apart, that is not traffic of this moment.
            processes.push(Row { total: others, is_over: true, ..row });
        }
        self.flows.tick(rate);
        let mut connections = Vec::new();
        for (key, flow) in self.flows.iter_mut() {
            let facts = &flow.facts;
            if flow.owner.is_none() {
                flow.owner = facts.pid.and_then(|pid| owners.get(&pid)).cloned();
            }
            let key = match key {
                FlowKey::Connection(connection) => Key::Connection(*connection),
                FlowKey::Loose(..) => Key::None,
            };
            let owner = flow.owner.clone().unwrap_or_default();
            let name = match (&*owner.name, facts.pid) {
                ("", Some(_)) => "?",
                ("", None) => "(no process)",
                (name, _) => name,
            };
            connections.push(Row {
                pid: facts.pid,
                peer: facts.peer,
                peer_name: facts
                    .named
                    .as_ref()
                    .filter(|(_, is_remote)| *is_remote)
                    .map(|(name, _)| Arc::clone(name)),
                facts: Some(Rc::clone(facts)),
                total: facts.total,
                rate: flow.rate,
                history: flow.history.clone(),
                is_over: facts.closed.is_some(),
                ..Row::new(key, name.into()).of(&owner)
            });
        }
        Snapshot {
            processes,
            connections,
            gone: Rc::clone(&self.flows.gone),
            by_pid,
            rate: total_rate,
            dropped,
            elapsed: self.elapsed,
            now,
            of_service: self.of_service,
        }
    }
}

impl Row {
    fn of(self, owner: &Rc<Owner>) -> Self {
        Self { owner: Rc::clone(owner), ..self }
    }
}

/// All names of a packet and its connection.
fn names<'a>(noted: &Noted<'a>) -> Vec<&'a str> {
    let found = noted.found.iter().flat_map(Found::names);
    found.chain(noted.name.map(|(named, _)| &*named.name)).collect()
}

fn per_second(now: &Traffic, before: &Traffic, passed: Duration) -> Traffic {
    let millis = passed.as_millis().max(1);
    let rate = |now: u64, before: u64| {
        // Rounded, so that one packet in two seconds is not shown as 0.
        let rate = (u128::from(now.saturating_sub(before)) * 1000 + millis / 2) / millis;
        u64::try_from(rate).unwrap_or(u64::MAX)
    };
    Traffic {
        packets_in: rate(now.packets_in, before.packets_in),
        packets_out: rate(now.packets_out, before.packets_out),
        bytes_in: rate(now.bytes_in, before.bytes_in),
        bytes_out: rate(now.bytes_out, before.bytes_out),
    }
}
