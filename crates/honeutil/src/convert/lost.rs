//! What a form has no place for, counted.

use crate::text::{counted, thousands};

/// How much was converted, and what is not in the result.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Packets that were written.
    pub packets: u64,
    pub(super) sections: u64,
    pub(super) process_events: u64,
    pub(super) connection_events: u64,
    pub(super) statistics: u64,
    pub(super) other_blocks: u64,
    pub(super) processes: u64,
    pub(super) connections: u64,
    /// Of packets that are recorded once for their sender and their receiver.
    pub(super) receivers: u64,
    pub(super) hows: u64,
    pub(super) directions: u64,
    pub(super) comments: u64,
    pub(super) paths: u64,
    pub(super) users: u64,
    pub(super) uuids: u64,
    pub(super) cut_names: u64,
    pub(super) cut_values: u64,
    pub(super) timeless: u64,
    pub(super) optionless: u64,
}

impl Lost {
    /// What is lost, for people; `None` if nothing is.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let mut parts = Vec::new();
        let mut part = |number: u64, what: &str| {
            if number > 0 {
                parts.push(counted(number, what));
            }
        };
        part(self.process_events, "process event");
        part(self.connection_events, "connection event");
        part(self.processes, "process id");
        part(self.paths, "path");
        part(self.users, "user");
        part(self.uuids, "UUID");
        part(self.connections, "connection id");
        part(self.receivers, "receiver");
        part(self.hows, "how-value");
        part(self.directions, "direction");
        part(self.comments, "comment");
        part(self.statistics, "statistics block");
        part(self.sections.saturating_sub(1), "border between sections");
        part(self.other_blocks, "other block");
        let mut sentences = Vec::new();
        match parts.pop() {
            None => {}
            Some(last) if parts.is_empty() => sentences.push(format!("not in this form: {last}")),
            Some(last) => sentences.push(format!("not in this form: {} and {last}", parts.join(", "))),
        }
        let mut more = |number: u64, what: &str| {
            if number > 0 {
                sentences.push(format!("{} {what}", thousands(number)));
            }
        };
        more(self.cut_names, "packets have a name that was cut to 19 bytes");
        more(self.cut_values, "command lines or names were cut to 65,532 bytes");
        more(self.timeless, "packets had no time that fits: theirs is 1970-01-01");
        more(self.optionless, "packets are of an old kind that has no place for a process");
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_with_numbers() {
        assert_eq!(Lost::default().sentence(), None);
        assert_eq!(Lost { sections: 1, ..Lost::default() }.sentence(), None, "nothing to be apart from");
        let lost = Lost { connection_events: 3, hows: 1200, sections: 2, cut_names: 7, ..Lost::default() };
        assert_eq!(
            lost.sentence().unwrap(),
            "not in this form: 3 connection events, 1,200 how-values and 1 border between sections; \
             7 packets have a name that was cut to 19 bytes"
        );
    }
}
