//! Reads a recorder's output: packets with their processes, or lines of other tools' output.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use hone_pcapng::{
    Block, ConnectionEvent, ConnectionEventKind, ConnectionId, ProcessEventKind, Reader, attribution,
};

use crate::packet::{Direction, Packet};
use crate::told::{self, Flow, Reason};

/// A recorded packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) nanos: u64,
    /// The timestamp in the file's own units.
    pub(crate) timestamp: u64,
    /// `None` if the recorder does not report it.
    pub(crate) direction: Option<Direction>,
    pub(crate) process: Option<u32>,
    /// Index of the arguments of the process that had this id at the time.
    pub(crate) arguments: Option<usize>,
    pub(crate) how: Option<Reason>,
    pub(crate) connection: Option<ConnectionId>,
    /// The packet names a process that, by the recording up to here, has not started yet; or it names a sender that
    /// started after the packet's time. For a receiver, the packet's time is its arrival, so the process may have
    /// started later.
    pub(crate) early: bool,
    pub(crate) data: Vec<u8>,
}

/// A process, as the recording has described it so far.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// The value for [`Record::arguments`].
    arguments: usize,
    started: u64,
    ended: bool,
}

/// A recording that was read.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) records: Vec<Record>,
    /// The arguments to which [`Record::arguments`] refers.
    pub(crate) arguments: Vec<String>,
    /// Number of packets that the recorder reports as lost.
    pub(crate) lost: u64,
    /// For each connection that was opened, how often it was closed.
    pub(crate) closes: HashMap<ConnectionId, usize>,
    /// Processes that have started so far.
    processes: HashMap<u32, Process>,
    /// Positions in `records` of the packets of each connection and direction.
    of_connection: HashMap<(ConnectionId, Direction), Vec<usize>>,
}

impl Recording {
    /// Reads a file and keeps the packets for which `wanted` returns true.
    ///
    /// # Errors
    /// The file cannot be read, or is not valid.
    pub(crate) fn read(path: &Path, wanted: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let place = || path.display().to_string();
        let mut file = std::fs::File::open(path).with_context(place)?;
        let mut reader = Reader::new();
        let mut recording = Self::default();
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
                        recording.add(Record {
                            nanos,
                            timestamp: packet.timestamp,
                            direction: match packet.flags.map(|flags| flags & 3) {
                                Some(1) => Some(Direction::In),
                                Some(2) => Some(Direction::Out),
                                _ => None,
                            },
                            process: packet.process,
                            how: packet.how.map(|how| Reason(attribution::code(how))),
                            connection: packet.connection,
                            data: packet.data.into_owned(),
                            ..Record::default()
                        });
                    }
                    Block::Process(event) => recording.learn(&event, nanos),
                    Block::Connection(event) => match event.kind {
                        ConnectionEventKind::Opened => {
                            recording.closes.entry(event.connection).or_default();
                        }
                        ConnectionEventKind::Closed => {
                            *recording.closes.entry(event.connection).or_default() += 1;
                        }
                        _ => recording.apply(&event),
                    },
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

    /// Adds a packet in the order of the recording.
    fn add(&mut self, mut record: Record) {
        self.name(&mut record);
        if let (Some(connection), Some(direction)) = (record.connection, record.direction) {
            self.of_connection.entry((connection, direction)).or_default().push(self.records.len());
        }
        self.records.push(record);
    }

    /// Finds the process with a record's process id at this place of the recording.
    fn name(&self, record: &mut Record) {
        let Some(number) = record.process else {
            record.arguments = None;
            return;
        };
        let process = self.processes.get(&number);
        record.arguments = process.map(|process| process.arguments);
        record.early |= process
            .is_none_or(|process| record.direction == Some(Direction::Out) && record.nanos < process.started);
    }

    /// If the event is a correction, applies it to earlier packets. The process id in the event means the process that
    /// has this id at the event's own place in the recording.
    fn apply(&mut self, event: &ConnectionEvent<'_>) {
        let Some(correction) = event.correction else { return };
        let direction = match correction.direction {
            hone_pcapng::Direction::Inbound => Direction::In,
            hone_pcapng::Direction::Outbound => Direction::Out,
        };
        let how = correction.how.map(|how| Reason(attribution::code(how)));
        let process = how.is_none_or(|how| how < Reason::KERNEL).then_some(event.process);
        for at in self.of_connection.get(&(event.connection, direction)).cloned().unwrap_or_default() {
            let record = &self.records[at];
            let packet = Packet::parse(&record.data).filter(|packet| !packet.payload.is_empty());
            let first = packet.and_then(|packet| packet.tcp).map(|tcp| tcp.sequence);
            if correction.packets.includes(record.timestamp, first) {
                let mut record = std::mem::take(&mut self.records[at]);
                (record.process, record.how) = (process, how);
                self.name(&mut record);
                self.records[at] = record;
            }
        }
    }

    fn learn(&mut self, event: &hone_pcapng::ProcessEvent<'_>, nanos: u64) {
        if event.kind == ProcessEventKind::Ended {
            if let Some(process) = self.processes.get_mut(&event.process) {
                process.ended = true;
            }
            return;
        }
        if event.kind == ProcessEventKind::Hashed {
            return;
        }
        let text = event.arguments.as_deref().map(|bytes| String::from_utf8_lossy(bytes).replace('\0', " "));
        let known = self.processes.get(&event.process).filter(|process| !process.ended);
        // A process that executes another program, or that is reported again, started earlier.
        let started = known.map_or(nanos, |process| process.started);
        let process = Process { arguments: self.arguments.len(), started, ended: false };
        self.processes.insert(event.process, process);
        self.arguments.push(text.unwrap_or_default());
    }
}

/// A line of another tool's output: the owner of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned {
    pub(crate) flow: Flow,
    pub(crate) process: u32,
}

/// Reads lines `protocol local remote pid`. Each end is `ADDRESS:PORT` (IPv6 in brackets) or `*`.
///
/// # Errors
/// The file cannot be read, or a line has another form.
pub(crate) fn read_connections(path: &Path) -> Result<Vec<Owned>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        let parsed = match words[..] {
            // A fact has the same form, so its parser is used.
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
    use super::*;
    use crate::craft::Segment;
    use hone_pcapng::{Corrected, Correction, Method, NoOwner, ProcessEvent};

    const LONG: u16 = 100;

    fn start(
        recording: &mut Recording,
        process: u32,
        kind: ProcessEventKind,
        nanos: u64,
        program: &'static [u8],
    ) {
        let event =
            ProcessEvent { process, kind, arguments: Some(program.into()), ..ProcessEvent::default() };
        recording.learn(&event, nanos);
    }

    fn packet(direction: Direction, process: u32, nanos: u64, sequence: u32) -> Record {
        let ends = ["10.0.0.1:1", "10.0.0.2:2"].map(|end| end.parse().unwrap());
        let payload = &[b'.'; LONG as usize];
        let segment =
            Segment { from: ends[0], to: ends[1], sequence, acknowledged: 0, flags: 0, payload }.packet();
        let mut data = segment.unwrap();
        // The kernel fills in this field.
        data[2..4].copy_from_slice(&(40 + LONG).to_be_bytes());
        let connection = Some(7);
        Record {
            nanos,
            timestamp: nanos,
            direction: Some(direction),
            process: Some(process),
            connection,
            data,
            ..Record::default()
        }
    }

    #[test]
    fn a_process_is_named_too_early_before_its_start_and_a_sender_before_its_time() {
        let mut recording = Recording::default();
        start(&mut recording, 1, ProcessEventKind::Forked, 50, b"parent\0");
        start(&mut recording, 1, ProcessEventKind::Started, 90, b"program\0");
        let way = [Direction::In, Direction::Out];
        for (process, nanos) in [(1, 60), (1, 40), (2, 60)] {
            way.into_iter().for_each(|way| recording.add(packet(way, process, nanos, 0)));
        }
        let early: Vec<_> = recording.records.iter().map(|record| record.early).collect();
        assert_eq!(early, [false, false, false, true, true, true]);
        // The process id is used again.
        start(&mut recording, 1, ProcessEventKind::Ended, 100, b"");
        start(&mut recording, 1, ProcessEventKind::Forked, 110, b"another\0");
        way.into_iter().for_each(|way| recording.add(packet(way, 1, 105, 0)));
        assert_eq!(
            recording.records[6..].iter().map(|record| record.early).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn a_correction_is_about_its_packets_and_names_the_process_of_its_own_place() {
        let mut recording = Recording::default();
        start(&mut recording, 1, ProcessEventKind::Started, 1, b"first\0");
        let first = u32::MAX - 49;
        for (number, way) in
            [Direction::In, Direction::In, Direction::Out, Direction::In].into_iter().enumerate()
        {
            let at = u32::try_from(number).unwrap() * u32::from(LONG);
            recording.add(packet(way, 1, 10 + number as u64, first.wrapping_add(at)));
        }
        recording.add(Record { connection: Some(8), ..packet(Direction::In, 1, 11, first) });
        start(&mut recording, 2, ProcessEventKind::Started, 20, b"second\0");
        let correct = |recording: &mut Recording, packets, process, how| {
            let correction =
                Some(Correction { packets, direction: hone_pcapng::Direction::Inbound, how: Some(how) });
            let kind = ConnectionEventKind::Correction;
            let event =
                ConnectionEvent { connection: 7, process, kind, correction, ..ConnectionEvent::default() };
            recording.apply(&event);
        };
        // Only the second packet begins in the range. The last one begins at its end; the third one has the other
        // direction.
        let (from, to) = (first.wrapping_add(1), first.wrapping_add(3 * u32::from(LONG)));
        correct(&mut recording, Corrected::Bytes { from, to }, 2, Ok(Method::Reader));
        let found = |recording: &Recording| -> Vec<_> {
            recording.records.iter().map(|record| (record.process, record.arguments)).collect()
        };
        let (one, two) = ((Some(1), Some(0)), (Some(2), Some(1)));
        assert_eq!(found(&recording), [one, two, one, one, one]);
        correct(&mut recording, Corrected::Time(13), 2, Err(NoOwner::Filtered));
        assert_eq!(found(&recording), [one, two, one, (None, None), one]);
        // The recording has not described this process yet.
        correct(&mut recording, Corrected::Time(10), 3, Ok(Method::Reader));
        assert!(recording.records[0].early && !recording.records[1].early);
        assert_eq!(recording.records[1].how, Some(Reason(9)));
    }
}
