//! What is said of a save: why it was made, and the same as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::join::Saved;
use super::schedule::Asked;
use crate::show::time::Times;
use crate::text::{counted, escape_json};

/// Why the newest part is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it: the signal, or `honeutil save`.
    Asked,
    /// The recording ended.
    End,
    /// A rule was met.
    #[allow(private_interfaces, reason = "only this room makes one")]
    Rule(Asked),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Rule(asked) = self else { return Ok(()) };
        write!(f, " ({}", asked.met)?;
        match asked.more {
            0 => f.write_str(")"),
            more => write!(f, "; then {})", counted(more, "more event")),
        }
    }
}

/// A save, or why there is none, as one line. Its fields are described below `honeutil save --help`.
#[must_use]
pub fn json(saved: Result<&Saved, &str>, cause: &Cause) -> String {
    let mut object = match saved {
        Ok(saved) => json!({
            "event": "saved",
            "file": saved.path.to_string_lossy(),
            "packets": saved.packets,
            "bytes": saved.bytes,
            "seconds": saved.covers.map(|covers| covers.as_secs_f64()),
            "less": saved.less.map(|less| less.to_string()),
            "whole": saved.is_whole,
        }),
        Err(why) => json!({ "event": "not saved", "error": why }),
    };
    let fields = match cause {
        Cause::Asked => json!({ "cause": "request" }),
        Cause::End => json!({ "cause": "end" }),
        Cause::Rule(asked) => json!({
            "cause": "rule",
            "rule": asked.met.rule,
            "what": asked.met.what,
            "time": Times::default().text(asked.met.at),
            "pid": asked.met.process.as_ref().map(|(pid, _)| pid),
            "name": asked.met.process.as_ref().map(|(_, name)| name),
            "more": asked.more,
        }),
    };
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    let mut line = format!("{object}\n").into_bytes();
    escape_json(0, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}
