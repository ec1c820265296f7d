//! honed's memory report, as text and as JSON.

use std::fmt::Write as _;

use hone_client::{Component, MemoryRow};
use serde_json::{Value, json};

use crate::text::thousands;

/// Module and use of a row; a later service may have more than are known here.
fn component(row: &MemoryRow) -> (String, String) {
    match Component::try_from(row.component) {
        Ok(component) => {
            let (module, used_for) = component.names();
            (module.to_owned(), used_for.to_owned())
        }
        Err(number) => ("?".to_owned(), format!("component {number}, unknown to this honeutil")),
    }
}

/// The memory report as a table.
#[must_use]
pub(crate) fn text(rows: &[MemoryRow]) -> String {
    let mut out = format!("{:16}{:32}{:>12}{:>14}\n", "MODULE", "USE", "COUNT", "BYTES");
    for row in rows {
        let (module, used_for) = component(row);
        let size = if row.bytes == 0 && row.count > 0 { "-".to_owned() } else { thousands(row.bytes) };
        let _ = writeln!(out, "{module:16}{used_for:32}{:>12}{size:>14}", thousands(row.count));
    }
    out
}

/// The memory report as JSON; `bytes` is null where they are contained in another row.
#[must_use]
pub(crate) fn json(rows: &[MemoryRow]) -> Value {
    rows.iter()
        .map(|row| {
            let (module, used_for) = component(row);
            let contained = row.bytes == 0 && row.count > 0;
            json!({ "module": module, "use": used_for, "count": row.count,
                    "bytes": (!contained).then_some(row.bytes) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_rows_that_this_version_does_not_know_are_shown() {
        let rows = [
            MemoryRow { component: 0, count: 10, bytes: 4096 },
            MemoryRow { component: 3, count: 7, bytes: 0 },
            MemoryRow { component: 99, count: 1, bytes: 1 },
        ];
        assert_eq!(
            text(&rows),
            "\
MODULE          USE                                    COUNT         BYTES
service         everything allocated                      10         4,096
queue manager   running processes                          7             -
?               component 99, unknown to this honeutil           1             1
"
        );
        assert_eq!(json(&rows)[1]["bytes"], Value::Null);
    }
}
