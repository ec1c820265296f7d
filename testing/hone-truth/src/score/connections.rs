//! Scores tools that report the owner of a connection, but not the sender of a packet.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::Facts;
use crate::packet::Protocol;
use crate::recording::Owned;
use crate::told::Flow;

/// The result for a scenario's connections: those that a process held, known by both ends or by its own end only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionScore {
    pub(crate) name: String,
    pub(crate) connections: usize,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) missing: usize,
}

/// Compares a tool's lines with the facts. A line is enough if it has the connection's own end. A line with a process
/// that never held the connection is wrong, even if another line is right.
pub(crate) fn connections(facts: &Facts, lines: &[Owned]) -> Vec<ConnectionScore> {
    let mut by_end: HashMap<(Protocol, SocketAddr), Vec<&Owned>> = HashMap::new();
    for line in lines {
        if let Some(local) = line.flow.local {
            by_end.entry((line.flow.protocol, local)).or_default().push(line);
        }
    }
    let scenarios = facts.names.iter().zip(&facts.truths);
    let scored = scenarios.filter(|(_, truth)| truth.skipped.is_none() && truth.failed.is_none());
    scored
        .map(|(name, truth)| {
            let mut score = ConnectionScore { name: name.clone(), ..ConnectionScore::default() };
            let flows: Vec<&Flow> = truth.flows(false).collect();
            for flow in &flows {
                let Some(local) = flow.local else { continue };
                // A listener is not a connection. Connections that were accepted from it have the same own end.
                let listens = |other: &&Flow| {
                    (other.protocol, other.local) == (flow.protocol, flow.local) && other.remote.is_some()
                };
                if flow.remote.is_none() && flows.iter().any(listens) {
                    continue;
                }
                score.connections += 1;
                let holders = truth.holders_of(flow);
                let mut found = candidates(&by_end, flow, local, truth.addresses.iter().copied());
                if found.is_empty() {
                    score.missing += 1;
                } else if found.all_among(&holders) {
                    score.right += 1;
                } else {
                    score.wrong += 1;
                }
            }
            score
        })
        .collect()
}

struct Candidates<'a>(Vec<&'a Owned>);

impl Candidates<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn all_among(&mut self, holders: &[u32]) -> bool {
        self.0.iter().all(|line| holders.contains(&line.process))
    }
}

/// The lines that describe a flow.
fn candidates<'a>(
    by_end: &HashMap<(Protocol, SocketAddr), Vec<&'a Owned>>,
    flow: &Flow,
    local: SocketAddr,
    addresses: impl Iterator<Item = IpAddr>,
) -> Candidates<'a> {
    // A socket without a bound address is known by every address at which it was reached.
    let mut ends = vec![local];
    if local.ip().is_unspecified() {
        ends.extend(addresses.map(|address| SocketAddr::new(address, local.port())));
    }
    let about = ends.iter().filter_map(|end| by_end.get(&(flow.protocol, *end))).flatten();
    let fits = |line: &&&Owned| match (flow.remote, line.flow.remote) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    };
    let mut found: Vec<&Owned> = about.filter(fits).copied().collect();
    // Prefer lines of the same kind: lines with both ends for a connection, lines with one end for a socket that has
    // only one.
    let same = |line: &&Owned| line.flow.remote.is_some() == flow.remote.is_some();
    if found.iter().any(same) {
        found.retain(same);
    }
    Candidates(found)
}
