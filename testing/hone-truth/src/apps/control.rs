//! The control experiment: it falsifies some owners on purpose. If the judge does not find them, the bench proves
//! nothing.

use std::net::IpAddr;

use super::judge::{Basis, Judgement, Verdict, judge};
use super::truth::Truth;
use crate::recording::Record;

/// How many packets of each kind are falsified.
const FALSIFIED: usize = 25;
/// Process 1. It holds none of the programs' sockets.
const STRANGER: u32 = 1;

/// Changes the owners of some packets that are right. Returns their positions.
///
/// A packet with data gets another process of the same programs, if there is one. A packet without data gets a process
/// that never had the socket.
pub(crate) fn falsify(truth: &Truth, records: &mut [Record], judgement: &Judgement) -> Vec<usize> {
    let mut processes: Vec<u32> = truth.processes().collect();
    processes.sort_unstable();
    let mut changed = Vec::new();
    for basis in [Basis::Data, Basis::Holders] {
        let right = judgement.verdicts.iter().enumerate();
        let right: Vec<usize> =
            right.filter(|(_, verdict)| **verdict == Verdict::Right(basis)).map(|(at, _)| at).collect();
        for at in right.iter().step_by(right.len() / FALSIFIED + 1) {
            let owner = records[*at].process;
            let others: Vec<u32> = processes.iter().copied().filter(|other| Some(*other) != owner).collect();
            let another = if basis == Basis::Data { others.get(at % others.len().max(1)) } else { None };
            records[*at].process = Some(another.copied().unwrap_or(STRANGER));
            changed.push(*at);
        }
    }
    changed
}

/// Falsifies a recording and judges it. Returns how many of the faults were found, and how many there were. Besides the
/// owners, one packet with data is removed, one packet is duplicated, and one packet comes before the start of its
/// process.
pub(crate) fn control(
    truth: &Truth,
    mut records: Vec<Record>,
    judgement: &Judgement,
    addresses: &[IpAddr],
) -> (usize, usize) {
    let mut faults = Vec::new();
    let data = judgement.verdicts.iter().rposition(|verdict| *verdict == Verdict::Right(Basis::Data));
    if let Some(at) = data {
        let mut with = |change: &dyn Fn(&mut Vec<Record>), count: fn(&Judgement) -> usize| {
            let mut changed = records.clone();
            change(&mut changed);
            faults.push(count(&judge(truth, &changed, addresses)) > count(judgement));
        };
        with(&|records| drop(records.remove(at)), |judgement| judgement.missing.len());
        with(&|records| records.push(records[at].clone()), |judgement| judgement.doubled.len());
        with(&|records| records[at].arguments = None, |judgement| judgement.before_birth.len());
    }
    let changed = falsify(truth, &mut records, judgement);
    let verdicts = judge(truth, &records, addresses).verdicts;
    faults.extend(changed.iter().map(|at| matches!(verdicts[*at], Verdict::Wrong(..))));
    (faults.iter().filter(|found| **found).count(), faults.len())
}
