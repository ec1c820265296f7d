//! Prints the results of apps: one line each, and explanations of the failures.

use std::fmt::Write as _;

use serde_json::json;

use super::judge::{Basis, Fault, Verdict};
use super::{Failure, Judged, Outcome, catalogue};

/// How many failing packets of each kind are explained.
const EXPLAINED: usize = 3;

impl Judged {
    fn count(&self, which: impl Fn(&Verdict) -> bool) -> usize {
        self.judgement.verdicts.iter().filter(|verdict| which(verdict)).count()
    }

    fn right(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Right(_)))
    }

    fn wrong(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Wrong(..)))
    }

    fn without(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Without(_)))
    }

    /// Whether there is no failure and all falsified owners were found.
    pub(crate) fn good(&self) -> bool {
        let judgement = &self.judgement;
        let faults = [&judgement.before_birth, &judgement.missing, &judgement.doubled, &judgement.unsound];
        self.wrong() + self.without() == 0
            && self.right() > 0
            && faults.iter().all(|list| list.is_empty())
            && self.control.0 == self.control.1
            && self.control.1 > 0
    }

    /// Every explanation, with its kind.
    fn explanations(&self) -> Vec<(&'static str, &String)> {
        let judgement = &self.judgement;
        let verdicts = judgement.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Wrong(fault, text) => Some((fault.name(), text)),
            Verdict::Without(text) => Some(("without", text)),
            _ => None,
        });
        let lists = [
            ("before its process", &judgement.before_birth),
            ("missing", &judgement.missing),
            ("twice", &judgement.doubled),
            ("the trace does not fit", &judgement.unsound),
        ];
        verdicts
            .chain(lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |text| (kind, text))))
            .collect()
    }
}

impl Outcome {
    /// Whether there is no failure. True also for an app that was skipped.
    pub(crate) fn good(&self) -> bool {
        match &self.result {
            Ok(judged) => judged.good(),
            Err(failure) => matches!(failure, Failure::Skipped(_)),
        }
    }
}

/// The table, followed by explanations of the failures.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let width = outcomes.iter().map(|outcome| outcome.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:width$} {:>7} {:>7} {:>7} {:>6} {:>7} {:>8} {:>7} {:>6} {:>7} {:>7} {:>9}\n",
        "APP",
        "JUDGED",
        "RIGHT",
        "BY DATA",
        "WRONG",
        "WITHOUT",
        "TOO SOON",
        "MISSING",
        "TWICE",
        "UNCLEAR",
        "UNOWNED",
        "CONTROL"
    );
    let mut reasons = String::new();
    for Outcome { name, result } in outcomes {
        let judged = match result {
            Ok(judged) => judged,
            Err(Failure::Skipped(reason)) => {
                let _ = writeln!(text, "{name:width$} skipped: {reason}");
                continue;
            }
            Err(Failure::Failed(reason)) => {
                let _ = writeln!(text, "{name:width$} failed: {}", reason.lines().next().unwrap_or_default());
                let _ = writeln!(reasons, "\n{name}\n  {reason}");
                continue;
            }
        };
        let (right, wrong, without) = (judged.right(), judged.wrong(), judged.without());
        let _ = writeln!(
            text,
            "{name:width$} {:>7} {right:>7} {:>7} {wrong:>6} {without:>7} {:>8} {:>7} {:>6} {:>7} {:>7} {:>4} of {}",
            right + wrong + without,
            judged.count(|verdict| *verdict == Verdict::Right(Basis::Data)),
            judged.judgement.before_birth.len(),
            judged.judgement.missing.len(),
            judged.judgement.doubled.len(),
            judged.count(|verdict| *verdict == Verdict::Unclear),
            judged.count(|verdict| *verdict == Verdict::Unowned),
            judged.control.0,
            judged.control.1,
        );
        if judged.lost > 0 {
            let _ = writeln!(reasons, "\n{name}: the recorder says that it lost {} packets", judged.lost);
        }
        let mut explanations = judged.explanations();
        if !explanations.is_empty() {
            let _ = writeln!(reasons, "\n{name}");
        }
        // Grouped by kind; within a kind in the order in which they were found.
        explanations.sort_by_key(|(kind, _)| *kind);
        for alike in explanations.chunk_by(|(one, _), (other, _)| one == other) {
            let _ = writeln!(reasons, "  {}: {}", alike[0].0, alike.len());
            for (_, what) in alike.iter().take(EXPLAINED) {
                let _ = writeln!(reasons, "    {what}");
            }
        }
    }
    text + &reasons
}

/// The results as one JSON value, with all explanations.
pub(crate) fn json(outcomes: &[Outcome]) -> String {
    let list: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let Outcome { name, result } = outcome;
            let judged = match result {
                Ok(judged) => judged,
                Err(Failure::Skipped(reason)) => return json!({"app": name, "good": true, "skipped": reason}),
                Err(Failure::Failed(reason)) => return json!({"app": name, "good": false, "failed": reason}),
            };
            json!({
                "app": name,
                "good": judged.good(),
                "packets": judged.judgement.verdicts.len(),
                "right": judged.right(),
                "right_by_data": judged.count(|verdict| *verdict == Verdict::Right(Basis::Data)),
                "wrong": judged.wrong(),
                "wrong_by_kind": Fault::ALL.into_iter().map(|kind| {
                    let count = judged.count(|verdict| matches!(verdict, Verdict::Wrong(fault, _) if *fault == kind));
                    (kind.name().to_owned(), count.into())
                }).collect::<serde_json::Map<_, _>>(),
                "without": judged.without(),
                "before_birth": judged.judgement.before_birth.len(),
                "missing": judged.judgement.missing.len(),
                "doubled": judged.judgement.doubled.len(),
                "unclear": judged.count(|verdict| *verdict == Verdict::Unclear),
                "unowned": judged.count(|verdict| *verdict == Verdict::Unowned),
                "unjudged": judged.count(|verdict| *verdict == Verdict::Unjudged),
                "unsound": judged.judgement.unsound.len(),
                "lost": judged.lost,
                "control": {"found": judged.control.0, "falsified": judged.control.1},
                "explanations": judged.explanations().into_iter()
                    .map(|(kind, what)| format!("{kind}: {what}")).collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}

/// The list of apps that can be run.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for app in catalogue::TABLE {
        let _ = writeln!(text, "{:10} {}; {}", app.name, app.design, app.packages.join(" "));
    }
    text
}
