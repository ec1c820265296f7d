//! What a recorder wrote, read back: packets with their processes, or lines of other tools' output.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use hone_pcapng::{Block, ConnectionEvent, ProcessEventKind, Reader};

use crate::packet::{Direction, Packet};
use crate::told::{self, Flow, Reason};

/// A recorded packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) nanos: u64,
    /// The same as the file has it.
    pub(crate) timestamp: u64,
    /// `None` if the recorder does not say.
    pub(crate) direction: Option<Direction>,
    pub(crate) process: Option<u32>,
    /// Of the process that had the number then.
    pub(crate) arguments: Option<usize>,
    pub(crate) how: Option<Reason>,
    pub(crate) data: Vec<u8>,
}

/// A file of packets.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) records: Vec<Record>,
    /// What [`Record::arguments`] point to.
    pub(crate) arguments: Vec<String>,
    /// Packets that the recorder says it has lost.
    pub(crate) lost: u64,
}

impl Recording {
    /// Reads a file, keeping the packets that `wanted` wants.
    ///
    /// # Errors
    /// It cannot be read, or is not sound.
    pub(crate) fn read(path: &Path, wanted: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let place = || path.display().to_string();
        let mut file = std::fs::File::open(path).with_context(place)?;
        let mut reader = Reader::new();
        let mut recording = Self::default();
        let mut running: HashMap<u32, usize> = HashMap::new();
        // Places of each connection's packets, as corrections look for them.
        let mut connections: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut chunk).with_context(place)?;
            if count == 0 {
                break;
            }
            reader.feed(&chunk[..count])?;
            while let Some(item) = reader.next_block().with_context(place)? {
                let nanos = item.nanos.unwrap_or_default();
                match item.block {
                    Block::Packet(packet) if wanted(&packet.data) => {
                        if let Some(connection) = packet.connection {
                            connections.entry(connection).or_default().push(recording.records.len());
                        }
                        recording.records.push(Record {
                            nanos,
                            timestamp: packet.timestamp,
                            direction: match packet.flags.map(|flags| flags & 3) {
                                Some(1) => Some(Direction::In),
                                Some(2) => Some(Direction::Out),
                                _ => None,
                            },
                            process: packet.process,
                            arguments: packet.process.and_then(|process| running.get(&process).copied()),
                            how: packet.how.map(|how| Reason(how.code())),
                            data: packet.data.into_owned(),
                        });
                    }
                    Block::Process(event) => recording.learn(&mut running, &event),
                    Block::Connection(event) => {
                        let places = connections.get(&event.connection).map(Vec::as_slice);
                        recording.correct(&event, places.unwrap_or_default(), &running);
                    }
                    Block::Statistics(statistics) => {
                        recording.lost += statistics.dropped_by_source.unwrap_or_default()
                            + statistics.dropped_by_ring.unwrap_or_default();
                    }
                    _ => {}
                }
            }
        }
        reader.finish().with_context(place)?;
        Ok(recording)
    }

    /// Does what a correction says, if the event is one. `places` are those of its connection's packets so far.
    fn correct(&mut self, event: &ConnectionEvent<'_>, places: &[usize], running: &HashMap<u32, usize>) {
        let Some(correction) = event.correction else { return };
        let direction = if correction.outbound { Direction::Out } else { Direction::In };
        let process = Some(event.process).filter(|_| correction.how.is_none_or(|how| how.code() < 128));
        for place in places {
            let record = &mut self.records[*place];
            let packet = Packet::parse(&record.data);
            let tcp = packet.filter(|packet| !packet.payload.is_empty()).and_then(|packet| packet.tcp);
            let is_meant = correction.packets.includes(record.timestamp, tcp.map(|tcp| tcp.sequence));
            if is_meant && record.direction == Some(direction) {
                record.process = process;
                record.arguments = process.and_then(|process| running.get(&process).copied());
                record.how = correction.how.map(|how| Reason(how.code()));
            }
        }
    }

    fn learn(&mut self, running: &mut HashMap<u32, usize>, event: &hone_pcapng::ProcessEvent<'_>) {
        if event.kind == ProcessEventKind::Ended {
            return;
        }
        let text = event.arguments.as_deref().map(|bytes| String::from_utf8_lossy(bytes).replace('\0', " "));
        running.insert(event.process, self.arguments.len());
        self.arguments.push(text.unwrap_or_default());
    }
}

/// A line of another tool's output: who has a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned {
    pub(crate) flow: Flow,
    pub(crate) process: u32,
}

/// Reads lines `protocol local remote pid`, each with the ends as `ADDRESS:PORT` (IPv6 in brackets) or `*`.
///
/// # Errors
/// It cannot be read, or a line is something else.
pub(crate) fn read_connections(path: &Path) -> Result<Vec<Owned>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        let parsed = match words[..] {
            // With the words of a fact that has the same shape.
            [protocol, local, remote, process] => {
                told::parse(&format!("holds - {protocol} {local} {remote} {process} 0"))
            }
            _ => bail!("{}, line {}: not four words: {line:?}", path.display(), number + 1),
        };
        let (_, fact) =
            parsed.with_context(|| format!("{}, line {}: {line:?}", path.display(), number + 1))?;
        if let told::Fact::Holds(flow, process, _) = fact {
            found.push(Owned { flow, process });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use hone_pcapng::{ConnectionEventKind, Corrected, Correction, How};

    use super::*;

    /// An IPv4 packet with TCP's header and some bytes.
    fn segment(sequence: u32) -> Vec<u8> {
        let mut bytes = vec![0; 44];
        bytes[0] = 0x45;
        bytes[3] = 44;
        bytes[9] = 6;
        bytes[24..28].copy_from_slice(&sequence.to_be_bytes());
        bytes[32] = 5 << 4;
        bytes
    }

    #[test]
    fn corrections_change_the_packets_that_they_mean_and_no_others() {
        let record = |sequence, direction| Record {
            direction: Some(direction),
            process: Some(1),
            data: segment(sequence),
            ..Record::default()
        };
        let records = vec![
            record(99, Direction::In),
            record(100, Direction::In),
            record(100, Direction::Out),
            record(200, Direction::In),
        ];
        let mut recording = Recording { records, ..Recording::default() };
        let packets = Corrected::Bytes { from: 100, to: 200 };
        let correction = Correction { packets, outbound: false, how: Some(How::Reader) };
        let event = ConnectionEvent {
            process: 2,
            kind: ConnectionEventKind::Correction,
            correction: Some(correction),
            ..ConnectionEvent::default()
        };
        recording.correct(&event, &[0, 1, 2, 3], &HashMap::new());
        let processes: Vec<_> = recording.records.iter().map(|record| record.process).collect();
        assert_eq!(processes, [Some(1), Some(2), Some(1), Some(1)]);
    }
}
