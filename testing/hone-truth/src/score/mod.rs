//! Compares what was recorded with what was told.
//!
//! A recorded packet belongs to the scenario whose address it carries. Whose it is: nobody's, where a fact says so;
//! else, of the message that it begins with, the writer's (outbound) or each reader's (inbound); else any process's
//! that then held its socket. A reader is who takes a packet's first byte out of the socket, whoever held it when the
//! packet came; who only peeked is none. What must be there: every message told as sent or read, in that direction; of every
//! packet, its counterpart in the other direction, as both ends are on this machine; what tcpdump saw, if it was asked.
//! And no packet may stand before the start of the process that it names, or name a sender that had not started; and each
//! connection is closed once.

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

/// How many failing packets of a kind are explained.
const EXPLAINED: usize = 4;

/// What became of a scenario's packets.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) name: String,
    /// Recorded ones. Each is right, wrong, unattributed or a duplicate.
    pub(crate) packets: usize,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    /// Without a process though there is one.
    pub(crate) unattributed: usize,
    pub(crate) missing: usize,
    pub(crate) duplicated: usize,
    /// Those that stand before the start of the process that they name, or name a sender that had not started; counted
    /// besides.
    pub(crate) early: usize,
    /// Connections that were opened and not closed once.
    pub(crate) closes: usize,
    /// How many have no process, by the reason that the recorder gives; also those that rightly have none.
    pub(crate) without: BTreeMap<Reason, usize>,
    /// How the owners were found.
    pub(crate) how: BTreeMap<Reason, usize>,
    pub(crate) skipped: Option<String>,
    pub(crate) failed: Option<String>,
    explained: BTreeMap<&'static str, Vec<String>>,
}

impl Score {
    /// Whether it was scored and everything is as it should be.
    pub(crate) fn good(&self) -> bool {
        self.failed.is_none()
            && self.wrong + self.unattributed + self.missing + self.duplicated + self.early + self.closes == 0
            && (self.skipped.is_some() || self.packets > 0)
    }

    /// Some packets that are not as they should be.
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

/// Facts of a run, by scenario, in the order in which they were first told.
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

    /// The scenario that a packet belongs to.
    pub(crate) fn scenario(&self, data: &[u8]) -> Option<usize> {
        let packet = Packet::parse(data)?;
        [packet.source, packet.destination].iter().find_map(|end| self.of_address.get(&end.ip()).copied())
    }

    /// Scores every scenario. `seen` is what tcpdump saw.
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
