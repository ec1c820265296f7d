//! The data of `top`: traffic of processes, which the [`Tally`] counts, traffic of connections, and the rates of both
//! since the last tick. Memory is limited.

use std::collections::HashMap;
use std::time::Duration;

use hone_engine::BYTE_ORDER;
use hone_pcapng::view::{self, PacketView};
use hone_pcapng::{ConnectionEvent, Correction, block};

use crate::text::escaped;
use crate::traffic::peers::Peer;
use crate::traffic::tally::Tally;
use crate::traffic::{Names, Traffic};
use crate::users;

/// Most connections that are counted separately.
const MAX_CONNECTIONS: usize = 16_384;
/// How many ticks a connection without traffic is kept.
const IDLE_TICKS: u32 = 30;
/// Characters of a name.
const NAME_WIDTH: usize = 24;

/// A row of either table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The connection's id, in the table of connections.
    pub connection: Option<u64>,
    /// The process's id; `None`: no process.
    pub pid: Option<u32>,
    /// The process's name.
    pub name: String,
    /// The process's user.
    pub user: String,
    /// Its peers.
    pub with: String,
    /// Its traffic since the start.
    pub total: Traffic,
    /// Its traffic per second.
    pub rate: Traffic,
}

/// One connection.
#[derive(Debug)]
struct Flow {
    pid: Option<u32>,
    /// The process's name and user, once known.
    owner: (String, String),
    peer: Option<Peer>,
    total: Traffic,
    before: Traffic,
    rate: Traffic,
    idle: u32,
}

impl Flow {
    fn set_process(&mut self, pid: u32) {
        if self.pid != Some(pid) {
            self.pid = Some(pid);
            // Found at the next tick.
            self.owner = Default::default();
        }
    }
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Model {
    tally: Tally,
    flows: HashMap<u64, Flow>,
    /// Processes with their rates, as of the last tick.
    processes: Vec<Row>,
    total_before: Traffic,
    nobody_before: Traffic,
    /// All packets, per second.
    pub rate: Traffic,
    /// Packets lost so far.
    pub dropped: u64,
    /// How long it has run.
    pub elapsed: Duration,
    /// Whether the packets come from the service.
    pub of_service: bool,
}

impl Model {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts whole blocks.
    pub fn add(&mut self, stream: &[u8]) {
        self.tally.add(stream);
        for block in view::blocks(stream, BYTE_ORDER) {
            match block.kind() {
                block::PACKET => {
                    if let Some(packet) = block.packet() {
                        self.packet(&packet);
                    }
                }
                block::CONNECTION => {
                    if let Some((event, correction)) = block.correction() {
                        self.correct(&event, &correction);
                    }
                }
                _ => {}
            }
        }
    }

    /// A connection belongs to the process that read from it last.
    fn correct(&mut self, event: &ConnectionEvent<'_>, correction: &Correction) {
        if let Some(flow) = self.flows.get_mut(&event.connection).filter(|_| correction.has_process()) {
            flow.set_process(event.process);
        }
    }

    fn packet(&mut self, packet: &PacketView<'_>) {
        let Some(connection) = packet.connection else { return };
        if self.flows.len() >= MAX_CONNECTIONS && !self.flows.contains_key(&connection) {
            return;
        }
        let flow = self.flows.entry(connection).or_insert_with(|| Flow {
            pid: None,
            owner: Default::default(),
            peer: None,
            total: Traffic::default(),
            before: Traffic::default(),
            rate: Traffic::default(),
            idle: 0,
        });
        flow.total.count(packet.is_outbound(), packet.original_length.into());
        if let Some(pid) = packet.process {
            flow.set_process(pid);
        }
        if let Some(peer) = Peer::of(packet.data, packet.is_outbound()) {
            flow.peer = Some(peer);
        }
    }

    /// Computes rates from the traffic since the last tick.
    pub fn tick(&mut self, passed: Duration, dropped: u64) {
        self.dropped = dropped;
        self.elapsed += passed;
        let rate = |now: &Traffic, before: &Traffic| per_second(now, before, passed);
        self.rate = rate(&self.tally.total, &self.total_before);
        self.total_before = self.tally.total;
        self.flows.retain(|_, flow| {
            flow.rate = rate(&flow.total, &flow.before);
            flow.before = flow.total;
            flow.idle = if flow.rate.packets() == 0 { flow.idle + 1 } else { 0 };
            flow.idle <= IDLE_TICKS
        });
        let mut rows = Vec::new();
        let mut names = HashMap::new();
        let programs = Names::of(self.tally.with_traffic().map(|process| &process.path[..]));
        for process in self.tally.with_traffic() {
            let row = Row {
                connection: None,
                pid: Some(process.pid),
                name: escaped(programs.name(&process.path), NAME_WIDTH),
                user: escaped(users::shown(&process.user).as_bytes(), NAME_WIDTH),
                with: process.peers.busiest(1).first().map(ToString::to_string).unwrap_or_default(),
                total: process.traffic,
                rate: rate(&process.traffic, &process.seen),
            };
            process.seen = process.traffic;
            // An id may have several: of the programs that a process ran before, or of processes that have ended.
            if !process.is_ended() || !names.contains_key(&process.pid) {
                names.insert(process.pid, (row.name.clone(), row.user.clone()));
            }
            if !process.is_ended() || row.rate.packets() > 0 {
                rows.push(row);
            }
        }
        let nobody = self.tally.nobody;
        if nobody.packets() > 0 {
            rows.push(Row {
                name: "(no process)".to_owned(),
                with: self.tally.nobody_peers.busiest(1).first().map(ToString::to_string).unwrap_or_default(),
                total: nobody,
                rate: rate(&nobody, &self.nobody_before),
                ..Row::default()
            });
            self.nobody_before = nobody;
        }
        self.processes = rows;
        for flow in self.flows.values_mut().filter(|flow| flow.owner.0.is_empty()) {
            if let Some(owner) = flow.pid.and_then(|pid| names.get(&pid)) {
                flow.owner = owner.clone();
            }
        }
    }

    /// The processes.
    #[must_use]
    pub fn processes(&self) -> Vec<Row> {
        self.processes.clone()
    }

    /// The connections.
    #[must_use]
    pub fn connections(&self) -> Vec<Row> {
        self.flows
            .iter()
            .map(|(connection, flow)| Row {
                connection: Some(*connection),
                pid: flow.pid,
                name: flow.owner.0.clone(),
                user: flow.owner.1.clone(),
                with: flow.peer.map(|peer| peer.to_string()).unwrap_or_default(),
                total: flow.total,
                rate: flow.rate,
            })
            .collect()
    }
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
