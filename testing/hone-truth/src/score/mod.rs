//! Compares a recording with the facts.
//!
//! A recorded packet belongs to the scenario with the address that the packet carries. Its expected owner is, in this
//! order:
//! * no process, if a fact says so;
//! * for a packet that begins with a message, the process that wrote the message (outbound) or each process that read
//!   it (inbound);
//! * otherwise, any process that held the socket at that time.
//!
//! A process reads a packet if it takes the packet's first byte out of the socket. It does not matter which process
//! held the socket when the packet arrived, and peeking does not count.
//!
//! These packets must be recorded: every message that was reported as sent or read, in that direction; the counterpart
//! of every packet in the other direction, because both ends are on this machine; and what tcpdump saw, if tcpdump was
//! used.
//!
//! A packet must not come before the start of the process that it names, and must not name a sender that had not
//! started. Each connection must be closed exactly once.

mod connections;
mod item;
mod scenario;
mod stream;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub(crate) use connections::{ConnectionScore, connections};

use crate::packet::{Direction, Packet};
use crate::recording::{Record, Recording};
use crate::told::{Fact, Reason};
use truth::Truth;

/// How many failing packets of each kind are explained.
const EXPLAINED: usize = 4;

/// The result for a scenario's packets.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) name: String,
    /// Recorded packets. Each one is right, wrong, unattributed or a duplicate.
    pub(crate) packets: usize,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    /// Packets without a process, although they have an owner.
    pub(crate) unattributed: usize,
    pub(crate) missing: usize,
    pub(crate) duplicated: usize,
    /// Packets that come before the start of the process that they name, or that name a sender that had not started.
    /// They are counted in addition to the kinds above.
    pub(crate) early: usize,
    /// Connections that were opened, but not closed exactly once.
    pub(crate) closes: usize,
    /// Number of packets without a process, by the recorder's reason. Includes those that rightly have none.
    pub(crate) without: BTreeMap<Reason, usize>,
    /// Number of packets with a process, by the method of attribution.
    pub(crate) how: BTreeMap<Reason, usize>,
    pub(crate) skipped: Option<String>,
    pub(crate) failed: Option<String>,
    explained: BTreeMap<&'static str, Vec<String>>,
}

impl Score {
    /// Whether the scenario was scored and has no failure.
    pub(crate) fn good(&self) -> bool {
        self.failed.is_none()
            && self.wrong + self.unattributed + self.missing + self.duplicated + self.early + self.closes == 0
            && (self.skipped.is_some() || self.packets > 0)
    }

    /// Explanations of some failing packets.
    pub(crate) fn explanations(&self) -> impl Iterator<Item = String> {
        self.explained
            .iter()
            .flat_map(|(kind, lines)| lines.iter().map(move |line| format!("{kind}: {line}")))
    }

    fn explain(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        let lines = self.explained.entry(kind).or_default();
        if lines.len() < EXPLAINED {
            lines.push(text());
        }
    }
}

/// A packet that tcpdump saw at one end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) direction: Direction,
    pub(crate) data: Vec<u8>,
}

/// Facts of a run, by scenario, in the order in which each scenario was first reported.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    names: Vec<String>,
    truths: Vec<Truth>,
    of_address: HashMap<IpAddr, usize>,
}

impl Facts {
    pub(crate) fn new(facts: impl IntoIterator<Item = (String, Fact)>) -> Self {
        let mut found = Self::default();
        let mut numbers = HashMap::new();
        for (name, fact) in facts {
            let number = *numbers.entry(name.clone()).or_insert_with(|| {
                found.names.push(name);
                found.truths.push(Truth::default());
                found.names.len() - 1
            });
            if let Fact::Address(address) = fact {
                found.of_address.insert(address, number);
            }
            found.truths[number].learn(fact);
        }
        found
    }

    /// The scenario to which a packet belongs.
    pub(crate) fn scenario(&self, data: &[u8]) -> Option<usize> {
        let packet = Packet::parse(data)?;
        [packet.source, packet.destination].iter().find_map(|end| self.of_address.get(&end.ip()).copied())
    }

    /// Scores every scenario. `seen` are the packets that tcpdump saw.
    pub(crate) fn score(&self, recording: &Recording, seen: Option<&[Seen]>) -> Vec<Score> {
        let mut records: Vec<Vec<&Record>> = vec![Vec::new(); self.truths.len()];
        for record in &recording.records {
            if let Some(number) = self.scenario(&record.data) {
                records[number].push(record);
            }
        }
        let mut wire: Vec<Vec<&Seen>> = Vec::new();
        wire.resize_with(self.truths.len(), Vec::new);
        for packet in seen.unwrap_or_default() {
            if let Some(number) = self.scenario(&packet.data) {
                wire[number].push(packet);
            }
        }
        let all = self.names.iter().zip(&self.truths).zip(records).zip(wire);
        all.map(|(((name, truth), records), wire)| {
            let wire = seen.is_some().then_some(wire.as_slice());
            scenario::score(name, truth, &records, recording, wire)
        })
        .collect()
    }
}
