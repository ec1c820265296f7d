//! Records that cannot be read. One of them is lost, as if it had found no room: it is counted, and shown once for each
//! kind, so that it can be reported. Many of them are a sensor that does not work, and that is an error.

use std::fmt::Write as _;

use hone_engine::SourceDrops;

use crate::error::SensorError;
use crate::record::{Subject, Unreadable};

/// How many more records than could be read may be unreadable: so many in a row, or most of all in the long run.
const MOST: u64 = 1000;
/// Bytes of a record that are shown: the longest head. Of a packet it is no more than 8 bytes of its IP header: what people
/// send does not belong in a log.
const SHOWN: usize = 56;

/// What could not be read so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lost: SourceDrops,
    /// Unreadable records less readable ones, never below 0.
    surplus: u64,
    /// Those of which one has been shown.
    shown: Vec<Subject>,
}

impl Tally {
    /// By kind. What is of no known kind is counted as a packet: then nobody believes that none is missing.
    pub(crate) const fn lost(&self) -> SourceDrops {
        self.lost
    }

    /// A record was read.
    pub(crate) const fn readable(&mut self) {
        self.surplus = self.surplus.saturating_sub(1);
    }

    /// A record, at the start of `bytes`, was not.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn unreadable(&mut self, fault: &Unreadable, bytes: &[u8]) -> Result<(), SensorError> {
        let (count, what) = match fault.subject {
            Subject::Packet => (&mut self.lost.packets, "of a packet"),
            Subject::Process => (&mut self.lost.processes, "of a process event"),
            Subject::Connection => (&mut self.lost.connections, "of a connection event"),
            Subject::Unknown => (&mut self.lost.packets, "of an unknown kind"),
        };
        *count += 1;
        if !self.shown.contains(&fault.subject) {
            self.shown.push(fault.subject);
            tracing::warn!("{}", shown(what, bytes));
        }
        self.surplus += 1;
        if self.surplus >= MOST {
            let SourceDrops { packets, processes, connections } = self.lost;
            return Err(SensorError::Records { records: packets + processes + connections });
        }
        Ok(())
    }
}

fn shown(what: &str, bytes: &[u8]) -> String {
    let mut text = format!(
        "a record {what} from the BPF programs cannot be read, and counts as lost; more of them are only counted. \
         Please report this: {} bytes, which begin with ",
        bytes.len()
    );
    for byte in bytes.iter().take(SHOWN) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lose(tally: &mut Tally, subject: Subject) -> Result<(), SensorError> {
        tally.unreadable(&Unreadable { subject, length: None }, &[1, 2, 0xAB])
    }

    #[test]
    fn each_is_counted_by_its_kind() {
        let mut tally = Tally::default();
        for subject in
            [Subject::Packet, Subject::Process, Subject::Process, Subject::Connection, Subject::Unknown]
        {
            lose(&mut tally, subject).expect("they are few");
        }
        assert_eq!(tally.lost(), SourceDrops { packets: 2, processes: 2, connections: 1 });
    }

    #[test]
    fn only_a_stream_of_them_is_an_error() {
        let mut tally = Tally::default();
        for _ in 0..MOST * 10 {
            lose(&mut tally, Subject::Packet).expect("half of them can be read");
            tally.readable();
        }
        for _ in 1..MOST {
            lose(&mut tally, Subject::Packet).expect("not so many in a row");
        }
        let error = lose(&mut tally, Subject::Packet).expect_err("so many in a row");
        assert!(error.to_string().contains("(11000 records so far)"), "{error}");
    }

    #[test]
    fn a_record_is_shown_by_its_head_and_nothing_that_people_sent() {
        let text = shown("of a packet", &[0xAB; 304]);
        assert!(text.contains("a record of a packet") && text.contains("304 bytes"), "{text}");
        assert!(text.ends_with(&format!(" {}", "ab".repeat(SHOWN))), "{text}");
        assert!(shown("of an unknown kind", &[1, 2]).ends_with(" 0102"));
    }
}
