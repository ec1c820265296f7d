//! Prints the results: one line per scenario, and explanations of the failures.

use std::fmt::Write as _;

use serde_json::json;

use crate::score::{ConnectionScore, Score};

/// The table of scores, followed by explanations of the failures.
pub(crate) fn scores(scores: &[Score]) -> String {
    let width = scores.iter().map(|score| score.name.len()).max().unwrap_or(0).max(8);
    let mut text = format!(
        "{:width$} {:>8} {:>8} {:>6} {:>8} {:>8} {:>6} {:>6} {:>6}  VERDICT\n",
        "SCENARIO", "PACKETS", "RIGHT", "WRONG", "NO OWNER", "MISSING", "TWICE", "EARLY", "CLOSES"
    );
    for score in scores {
        let name = &score.name;
        if let Some(reason) = &score.skipped {
            let _ = writeln!(text, "{name:width$} skipped: {reason}");
            continue;
        }
        let Score { packets, right, wrong, unattributed, missing, duplicated, early, closes, .. } = score;
        let _ = writeln!(
            text,
            "{name:width$} {packets:>8} {right:>8} {wrong:>6} {unattributed:>8} {missing:>8} {duplicated:>6} {early:>6} {closes:>6}  {}",
            verdict(score)
        );
    }
    for score in scores.iter().filter(|score| !score.good()) {
        let _ = writeln!(text, "\n{}", score.name);
        for line in score.failed.iter().cloned().chain(score.explanations()) {
            let _ = writeln!(text, "  {line}");
        }
    }
    let count = |which: fn(&Score) -> bool| scores.iter().filter(|score| which(score)).count();
    let _ = writeln!(
        text,
        "\n{} right, {} not, {} skipped",
        count(|score| score.good() && score.skipped.is_none()),
        count(|score| !score.good()),
        count(|score| score.skipped.is_some())
    );
    text
}

fn verdict(score: &Score) -> String {
    let mut text = match (&score.failed, score.good(), score.packets) {
        (Some(_), ..) => "the generators failed".to_owned(),
        (None, true, _) => "right".to_owned(),
        (None, false, 0) => "NOTHING RECORDED".to_owned(),
        (None, false, _) => "NOT RIGHT".to_owned(),
    };
    if !score.without.is_empty() {
        let reasons = score.without.iter().map(|(reason, count)| format!("{count} {}", reason.name()));
        let _ = write!(text, "; without a process: {}", reasons.collect::<Vec<_>>().join(", "));
    }
    text
}

/// The scores as one JSON value.
pub(crate) fn json(scores: &[Score]) -> String {
    let list: Vec<_> = scores
        .iter()
        .map(|score| {
            let by_name = |counts: &std::collections::BTreeMap<crate::told::Reason, usize>| {
                counts
                    .iter()
                    .map(|(reason, count)| (reason.name().to_owned(), json!(count)))
                    .collect::<serde_json::Map<_, _>>()
            };
            json!({
                "scenario": score.name,
                "good": score.good(),
                "skipped": score.skipped,
                "failed": score.failed,
                "packets": score.packets,
                "right": score.right,
                "wrong": score.wrong,
                "unattributed": score.unattributed,
                "missing": score.missing,
                "duplicated": score.duplicated,
                "early": score.early,
                "closes": score.closes,
                "without_process": by_name(&score.without),
                "how": by_name(&score.how),
                "explanations": score.explanations().collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}

/// The table of the connections' scores.
pub(crate) fn connections(scores: &[ConnectionScore]) -> String {
    let width = scores.iter().map(|score| score.name.len()).max().unwrap_or(0).max(8);
    let mut text = format!(
        "{:width$} {:>11} {:>8} {:>6} {:>8}\n",
        "SCENARIO", "CONNECTIONS", "RIGHT", "WRONG", "MISSING"
    );
    for ConnectionScore { name, connections, right, wrong, missing } in scores {
        let _ = writeln!(text, "{name:width$} {connections:>11} {right:>8} {wrong:>6} {missing:>8}");
    }
    text
}
