//! Corrections of earlier packets ([`hone_pcapng::Correction`]). A first pass over the inputs collects them. The second
//! pass, which shows the packets, applies them. Owned by the loop in [`super`]. Memory is limited; corrections for
//! which there is no room are only counted. `flow` contains those of one connection.

mod flow;

use std::io::Read;
use std::rc::Rc;

use hashbrown::HashMap;
use hone_pcapng::packet::Receiver;
use hone_pcapng::{ConnectionId, Corrected, Direction};
use hone_select::Selection;

use self::flow::{Right, Rights};
use super::event::{Event, Shown};
use super::host::Host;
use super::processes::Process;
use super::stream::{Stream, StreamError};

/// Most bytes that the corrections may take, approximately.
const MAX_BYTES: usize = 64 << 20;
/// Bytes that an entry of any of the tables takes, approximately.
const ENTRY_BYTES: usize = 128;

/// A place in the inputs: the position of the input, and the number of the block in it.
type Place = (usize, u64);

/// One direction of a connection, of the host with this number.
type Flow = (usize, ConnectionId, Direction);

/// The corrections of all inputs.
#[derive(Debug, Default)]
pub struct Corrections {
    flows: HashMap<Flow, Rights>,
    /// The hosts that have corrections, and their numbers.
    hosts: HashMap<Host, usize>,
    /// Processes as the last corrections described them. Each is kept only once.
    processes: HashMap<u32, Rc<Process>>,
    /// Bytes that all of this takes, approximately.
    bytes: usize,
    left_out: u64,
    /// The present place of the pass.
    at: Place,
    /// The host of the present section.
    host: Option<Host>,
    /// Its number, if it has corrections.
    host_number: Option<usize>,
}

impl Corrections {
    /// Begins with the input at this position.
    pub fn begin(&mut self, input: usize) {
        (self.at, self.host, self.host_number) = ((input, 0), None, None);
    }

    /// Goes on with the input at this position, of the same host.
    pub fn go_on(&mut self, input: usize) {
        self.at.0 = input;
    }

    /// Goes on to the next input.
    pub fn next_input(&mut self) {
        self.begin(self.at.0 + 1);
    }

    /// How many there was no room for: their packets stay as they were recorded.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Moves on to an event. Returns whether it is a correction.
    fn pass(&mut self, shown: &Shown<'_>) -> bool {
        self.at.1 = shown.number;
        match &shown.event {
            Event::Section(section) => {
                let host = Host::of(section, self.at.0);
                self.host_number = self.hosts.get(&host).copied();
                self.host = Some(host);
            }
            Event::Connection(event) => return event.correction.is_some(),
            _ => {}
        }
        false
    }

    /// Handles an event in the first pass.
    pub fn collect(&mut self, shown: &Shown<'_>) {
        if !self.pass(shown) {
            return;
        }
        let Event::Connection(event) = &shown.event else { return };
        let (Some(correction), Some(host)) = (event.correction, self.host.clone()) else { return };
        if self.bytes >= MAX_BYTES {
            self.left_out += 1;
            return;
        }
        let pid = shown.pid();
        let process = pid.zip(shown.process).map(|(pid, process)| self.keep(pid, process));
        let right = Right { pid, process, how: correction.how };
        let number = self.hosts.len();
        let host = *self.hosts.entry(host).or_insert(number);
        let rights = self.flows.entry((host, event.connection, correction.direction)).or_default();
        let before = rights.len();
        match correction.packets {
            Corrected::Bytes { from, to } => rights.add_bytes(from, to, self.at, right),
            Corrected::Time(time) => _ = rights.times.insert(time, (self.at, right)),
        }
        // A correction that adds no entry may still be the first of its flow.
        self.bytes += ENTRY_BYTES * rights.len().saturating_sub(before).max(usize::from(before == 0));
        self.bytes -= ENTRY_BYTES * before.saturating_sub(rights.len());
    }

    /// Takes in those of all inputs; each is opened when it is its turn, and `None` if it cannot be, or cannot be read twice. Read
    /// errors are left to the second pass.
    pub fn collect_all<B: Read>(
        &mut self,
        inputs: impl IntoIterator<Item = Option<B>>,
        selection: &Rc<Selection>,
        chunk: &mut [u8],
    ) {
        for (index, bytes) in inputs.into_iter().enumerate() {
            self.begin(index);
            if let Some(bytes) = bytes {
                self.collect_from(bytes, selection, chunk);
            }
        }
        self.begin(0);
    }

    /// Takes in those of a whole file, as far as it is sound.
    pub fn collect_from(&mut self, mut bytes: impl Read, selection: &Rc<Selection>, chunk: &mut [u8]) {
        let mut stream = Stream::new(selection);
        // A libpcap file has none.
        while !matches!(stream, Stream::Classic(..)) {
            match stream.fill(&mut bytes, chunk) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            stream.skip_packets();
            let collected = stream.drain(|shown| {
                self.collect(&shown);
                Ok::<_, StreamError>(())
            });
            if collected.is_err() {
                return;
            }
        }
    }

    /// The process, kept once.
    fn keep(&mut self, pid: u32, process: &Process) -> Rc<Process> {
        if let Some(kept) = self.processes.get(&pid)
            && **kept == *process
        {
            return kept.clone();
        }
        let kept = Rc::new(process.clone());
        self.bytes += ENTRY_BYTES + process.bytes();
        self.processes.insert(pid, kept.clone());
        kept
    }

    /// Handles an event in the second pass: gives a packet its corrected process.
    pub fn apply<'a>(&'a mut self, mut shown: Shown<'a>) -> Shown<'a> {
        if self.pass(&shown) || self.flows.is_empty() {
            return shown;
        }
        let (Event::Packet(packet), Some(host)) = (&mut shown.event, self.host_number) else { return shown };
        let Self { flows, at, .. } = self;
        // What was sent is corrected only if it was dropped then, so that nobody received it.
        if let Some(receiver) = packet.receiver {
            if let Some(connection) = receiver.connection
                && let Some(rights) = flows.get_mut(&(host, connection, Direction::Inbound))
                && let Some(Right { pid, process, how }) = rights.find(packet, *at)
            {
                let process = process.as_deref();
                let right = Receiver { process: *pid, how: how.unwrap_or(receiver.how), ..receiver };
                packet.is_corrected = receiver != right || shown.receiver != process;
                (packet.receiver, shown.receiver) = (Some(right), process);
            }
        } else if let (Some(connection), Some(direction)) = (packet.connection, packet.direction())
            && let Some(rights) = flows.get_mut(&(host, connection, direction))
            && let Some(Right { pid, process, how }) = rights.find(packet, *at)
        {
            let process = process.as_deref();
            packet.is_corrected = (packet.process, packet.how, shown.process) != (*pid, *how, process);
            (packet.process, packet.how, shown.process) = (*pid, *how, process);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use hone_pcapng::{ConnectionEvent, Correction, Method};

    use super::*;

    #[test]
    fn memory_is_bounded_and_what_has_no_room_is_counted() {
        let mut corrections = Corrections { host: Some(Host::OfInput(0)), ..Corrections::default() };
        let count = (2 * MAX_BYTES / ENTRY_BYTES) as u64;
        for number in 0..count {
            let packets = Corrected::Time(number);
            let correction =
                Some(Correction { packets, direction: Direction::Inbound, how: Some(Ok(Method::Reader)) });
            let connection = number / 100;
            let event = ConnectionEvent { connection, correction, ..ConnectionEvent::default() };
            let event = Event::Connection(&event);
            corrections.collect(&Shown {
                nanos: None,
                event,
                number,
                process: None,
                receiver: None,
                had_mark: None,
                packet_nanos: None,
            });
        }
        assert_eq!(corrections.left_out, count / 2);
        assert_eq!(corrections.flows.values().map(Rights::len).sum::<usize>() as u64, count / 2);
    }
}
