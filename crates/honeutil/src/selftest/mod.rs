//! `honeutil selftest`: questions about the driver on this Windows that only this Windows can answer. The questions, what
//! the driver recorded of the traffic that was made, and the judgement. Owns no state; what asks Windows is in
//! `platform/windows/selftest.rs`.
//!
//! A new question is a line in [`QUESTIONS`], its answer, and a row in `docs/windows-checklist.md`, which says what
//! either answer means for the code.

mod echo;
mod judge;
mod recorded;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use echo::{ICMP_HEADER, judge_echo};
pub(crate) use judge::{Flow, judge};
pub(crate) use recorded::{Event, Recording};

/// A question: its id, which the checklist has, too, and the question.
pub(crate) const QUESTIONS: [(&str, &str); 24] = [
    ("administrator", "Does this program run as administrator?"),
    ("service", "Is the driver installed as a service, and does it run?"),
    ("filters", "Are all filters installed, in a sublayer that weighs less than Windows' universal one?"),
    ("device", "Can the device be opened, and does the driver know this program's operations?"),
    ("name", "Is a name after the device's own refused?"),
    ("process", "Are start and end of a process recorded, with its path and command line?"),
    ("sent", "Is each outbound packet recorded once, with the sent bytes?"),
    ("received", "Is each inbound packet recorded once, with the sent bytes?"),
    ("header", "Do inbound packets have the IP header that they arrived with, not a made one?"),
    ("checksums", "Are all recorded checksums right?"),
    ("owner", "Does each packet have the process id of this program?"),
    ("opened", "Is each connection opened before its first packet, by this program?"),
    ("handle", "Is the recorded connection id the endpoint handle that a program can ask for?"),
    ("zero", "Is no endpoint handle 0?"),
    ("syn", "Which connection do SYN and SYN-ACK have?"),
    ("closure", "Does a connection close after its last packet?"),
    ("reuse", "Does each connection have an id that no earlier one had?"),
    ("large", "Is a datagram of 60,000 bytes recorded whole?"),
    ("ping4", "Are ping and answer over IPv4 recorded once, with one ICMP header?"),
    ("ping6", "Are ping and answer over IPv6 recorded once, with one ICMPv6 header?"),
    ("raw", "Is a packet of a raw socket recorded once, with one ICMP header?"),
    ("list", "Does the driver accept this computer's list of open connections?"),
    ("clock", "Are the recorded times those of this program's clock?"),
    ("losses", "Was nothing lost while this program made traffic?"),
];

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the code expects it.
    Expected,
    /// Something else: the checklist says what that means.
    Other,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Expected => "as expected",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// [`Expected`](Self::Expected) if so, else [`Other`](Self::Other).
    pub(crate) const fn expected(is: bool) -> Self {
        if is { Self::Expected } else { Self::Other }
    }
}

/// The answers so far, by the question's id.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<&'static str, (Verdict, String)>);

impl Answers {
    /// Notes an answer. `id` is that of a question.
    pub(crate) fn note(&mut self, id: &'static str, verdict: Verdict, observed: impl Into<String>) {
        debug_assert!(QUESTIONS.iter().any(|(known, _)| *known == id), "{id} is a question");
        self.0.insert(id, (verdict, observed.into()));
    }

    /// Takes over the answers of a step that ended in time.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Answers all questions that have no answer yet.
    pub(crate) fn fill(&mut self, why: &str) {
        for (id, _) in QUESTIONS {
            self.0.entry(id).or_insert_with(|| (Verdict::Unknown, why.to_owned()));
        }
    }

    /// Whether every question is answered as expected.
    pub(crate) fn are_expected(&self) -> bool {
        QUESTIONS
            .iter()
            .all(|(id, _)| self.0.get(id).is_some_and(|(verdict, _)| *verdict == Verdict::Expected))
    }

    /// A line for each answer, in the order of the questions.
    pub(crate) fn text(&self) -> String {
        let line = |(id, _): (&'static str, &str)| {
            let (verdict, observed) = self.0.get(id)?;
            Some(format!("{id:14}{:13}{observed}\n", verdict.word()))
        };
        QUESTIONS.into_iter().filter_map(line).collect()
    }

    /// The file to send back. `system`: what is known of this Windows.
    pub(crate) fn json(&self, system: &Value) -> Value {
        let check = |(id, question): (&'static str, &str)| {
            let (verdict, observed) = self.0.get(id)?;
            Some(json!({ "id": id, "question": question, "verdict": verdict.word(), "observed": observed }))
        };
        let checks: Vec<_> = QUESTIONS.into_iter().filter_map(check).collect();
        json!({ "selftest": 1, "hone": env!("CARGO_PKG_VERSION"), "system": system, "checks": checks })
    }
}
