//! Prints the results: a line from time to time, and a table at the end.

use std::fmt;

use super::judge::{Allowed, Rule, Series};

/// All series, faults and notes.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// Faults: who has it, and what it is.
    faults: Vec<(String, String)>,
    notes: Vec<(String, String)>,
}

#[derive(Debug)]
struct Row {
    who: &'static str,
    what: String,
    rule: Rule,
    series: Series,
}

impl Table {
    /// The series of one number. It is made at the first request.
    pub(super) fn series(&mut self, who: &'static str, what: &str, rule: Rule) -> &mut Series {
        let found = self.rows.iter().position(|row| row.who == who && row.what == what);
        let at = found.unwrap_or_else(|| {
            self.rows.push(Row { who, what: what.to_owned(), rule, series: Series::default() });
            self.rows.len() - 1
        });
        &mut self.rows[at].series
    }

    fn row(&mut self, who: &str, what: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.who == who && row.what == what)
    }

    /// The largest value of a number so far. 0 if there is no such series.
    pub(super) fn peak(&mut self, who: &str, what: &str) -> u64 {
        self.row(who, what).and_then(|row| row.series.peak()).unwrap_or_default()
    }

    /// Sets how much of a number may remain after the load, if that depends on other numbers.
    pub(super) fn remains(&mut self, who: &str, what: &str, allowed: Allowed) {
        if let Some(row) = self.row(who, what) {
            row.rule.remains = Some(allowed);
        }
    }

    pub(super) fn faults(&mut self, who: &str, faults: Vec<String>) {
        self.faults.extend(faults.into_iter().map(|fault| (who.to_owned(), fault)));
    }

    /// Adds the faults of a part, or the error that prevented its check.
    pub(super) fn outcome(&mut self, who: &str, outcome: anyhow::Result<Vec<String>>) {
        self.faults(who, outcome.unwrap_or_else(|error| vec![format!("{error:#}")]));
    }

    pub(super) fn note(&mut self, who: &str, note: String) {
        self.notes.push((who.to_owned(), note));
    }

    /// Whether there was no fault.
    pub(super) fn good(&self) -> bool {
        self.faults.is_empty() && self.rows.iter().all(|row| row.series.faults(row.rule).is_empty())
    }

    /// The current numbers of the honed that stays.
    pub(super) fn line(&self) -> String {
        let now = |what: &str| {
            let row = self.rows.iter().find(|row| row.who == "honed" && row.what == what);
            let value = row.and_then(|row| row.series.latest()).unwrap_or_default();
            format!("{} {what}", shown(what, value))
        };
        let what = [
            "resident memory",
            "allocated memory",
            "descriptors",
            "threads",
            "readers",
            "processes",
            "connections",
        ];
        format!("honed: {}; faults so far: {}", what.map(now).join(", "), self.faults.len())
    }
}

/// A number as text, in MiB if it is memory.
fn shown(what: &str, value: u64) -> String {
    if what.contains("memory") || what.contains("bytes") {
        let tenths = value * 10 / (1 << 20);
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    } else {
        value.to_string()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:11} {:28} {:>11} {:>11} {:>11}  VERDICT", "WHO", "WHAT", "START", "PEAK", "END")?;
        for Row { who, what, rule, series } in &self.rows {
            let number =
                |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| shown(what, value));
            let faults = series.faults(*rule);
            let verdict = match (faults.is_empty(), *rule == Rule::default()) {
                (true, true) => "not judged".to_owned(),
                (true, false) => "right".to_owned(),
                (false, _) => format!("NOT RIGHT: {}", faults.join("; ")),
            };
            let (start, peak, end) = (number(series.start()), number(series.peak()), number(series.end()));
            writeln!(f, "{who:11} {what:28} {start:>11} {peak:>11} {end:>11}  {verdict}")?;
        }
        writeln!(f)?;
        for (who, note) in &self.notes {
            writeln!(f, "{who}: {note}")?;
        }
        for (who, fault) in &self.faults {
            writeln!(f, "not right: {who}: {fault}")?;
        }
        let grown = self.rows.iter().filter(|row| !row.series.faults(row.rule).is_empty()).count();
        match (grown, self.faults.len()) {
            (0, 0) => writeln!(f, "nothing has grown, everything balances, nothing is left"),
            (grown, faults) => {
                writeln!(f, "not right: {grown} of {} numbers, {faults} other faults", self.rows.len())
            }
        }
    }
}
