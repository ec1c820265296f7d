//! Who talked to whom, counted from the blocks as they pass by. Cheap per packet, and bounded however many processes
//! and peers there are.

use std::collections::{BTreeMap, HashMap};

use hone_engine::BYTE_ORDER;
use hone_pcapng::block;
use hone_pcapng::{How, ProcessEvent, ProcessEventKind};

use crate::blocks::{self, PacketFields, blocks};
use crate::peers::{Peer, Peers};
use crate::text::base_name;
use crate::users;

/// Most processes kept apart; when they are more, the half with least traffic is added up as others.
const MAX_PROCESSES: usize = 8192;
/// Longest name kept, in bytes.
const MAX_NAME: usize = 256;

/// Packets and bytes on the wire, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets received.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Traffic {
    /// Packets both ways.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets_in + self.packets_out
    }

    /// Bytes both ways.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }

    pub(crate) fn count(&mut self, outbound: bool, bytes: u64) {
        let (packets, sum) = if outbound {
            (&mut self.packets_out, &mut self.bytes_out)
        } else {
            (&mut self.packets_in, &mut self.bytes_in)
        };
        *packets += 1;
        *sum += bytes;
    }

    fn add(&mut self, other: &Self) {
        self.packets_in += other.packets_in;
        self.packets_out += other.packets_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// One process, for as long as it lives; another one with the same id is another entry.
#[derive(Debug, Default)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The executable's file name as others chose it; empty if unknown.
    pub name: String,
    /// The user's name, number where it has none, or security identifier; empty if unknown.
    pub user: String,
    /// Its packets.
    pub traffic: Traffic,
    /// With whom.
    pub peers: Peers,
    /// Its packets when they were last looked at, for who shows rates.
    pub(crate) seen: Traffic,
    ended: bool,
}

impl Process {
    /// Whether it has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// All packets.
    pub total: Traffic,
    /// Why packets have no process: how many for which reason. A recording of another version may not say.
    pub reasons: BTreeMap<How, u64>,
    /// Packets without a process.
    pub nobody: Traffic,
    /// With whom those were.
    pub nobody_peers: Peers,
    /// Processes that are no longer kept apart.
    pub others: Traffic,
    /// How many those are.
    pub others_count: u64,
    processes: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    /// The process of the last packet, and its place: packets come in runs.
    last: Option<(u32, usize)>,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts whole blocks.
    pub fn add(&mut self, stream: &[u8]) {
        for block in blocks(stream) {
            match blocks::kind(block) {
                block::PACKET => {
                    if let Some(packet) = blocks::packet(block) {
                        self.packet(&packet);
                    }
                }
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(blocks::body(block), BYTE_ORDER) {
                        self.process(&event);
                    }
                }
                _ => {}
            }
        }
    }

    /// The processes with most bytes, most first; at most `most` of them.
    #[must_use]
    pub fn busiest(&self, most: usize) -> Vec<&Process> {
        let mut processes: Vec<_> = self.processes.iter().filter(|p| p.traffic.packets() > 0).collect();
        processes.sort_by_key(|p| (std::cmp::Reverse(p.traffic.bytes()), p.pid));
        processes.truncate(most);
        processes
    }

    /// The processes that had traffic, in no order.
    pub(crate) fn with_traffic(&mut self) -> impl Iterator<Item = &mut Process> {
        self.processes.iter_mut().filter(|p| p.traffic.packets() > 0)
    }

    /// How many processes had traffic.
    #[must_use]
    pub fn process_count(&self) -> u64 {
        self.others_count + self.processes.iter().filter(|p| p.traffic.packets() > 0).count() as u64
    }

    fn packet(&mut self, packet: &PacketFields<'_>) {
        let bytes = u64::from(packet.original_length);
        self.total.count(packet.outbound, bytes);
        let (traffic, peers) = match packet.process {
            Some(pid) => {
                let index = self.index_of(pid);
                let process = &mut self.processes[index];
                (&mut process.traffic, &mut process.peers)
            }
            None => {
                *self.reasons.entry(packet.how.unwrap_or(How::UnknownSocket)).or_default() += 1;
                (&mut self.nobody, &mut self.nobody_peers)
            }
        };
        traffic.count(packet.outbound, bytes);
        if let Some(peer) = Peer::of(packet.data, packet.outbound) {
            peers.count(peer, bytes);
        }
    }

    fn process(&mut self, event: &ProcessEvent<'_>) {
        let pid = event.process;
        if event.kind == ProcessEventKind::Ended {
            if let Some(&index) = self.by_pid.get(&pid) {
                self.processes[index].ended = true;
            }
            return;
        }
        // The id of an ended process is used again: another process, so another entry.
        if let Some(&index) = self.by_pid.get(&pid)
            && self.processes[index].ended
        {
            if self.processes[index].traffic.packets() > 0 {
                self.by_pid.remove(&pid);
                self.last = None;
            } else {
                self.processes[index] = Process { pid, ..Process::default() };
            }
        }
        let parent =
            event.parent.and_then(|parent| self.by_pid.get(&parent)).map(|&index| &self.processes[index]);
        let inherited = parent.map(|parent| (parent.name.clone(), parent.user.clone()));
        let index = self.index_of(pid);
        let process = &mut self.processes[index];
        // A child runs its parent's program, as its user, until it says otherwise.
        if let Some((name, user)) = inherited.filter(|_| event.kind == ProcessEventKind::Forked) {
            (process.name, process.user) = (name, user);
        }
        if let Some(path) = &event.path {
            process.name = lossy(base_name(path));
        }
        match (&event.user_name, event.user, &event.security_id) {
            (Some(name), ..) => process.user = lossy(name),
            (None, Some(user), _) => process.user = user.to_string(),
            (None, None, Some(sid)) => {
                process.user = lossy(sid);
                // So that its name is known by the time that it is shown.
                let _ = users::shown(&process.user);
            }
            (None, None, None) => {}
        }
    }

    /// Where the process of this id is; made if it is not known.
    fn index_of(&mut self, pid: u32) -> usize {
        if let Some((last, index)) = self.last
            && last == pid
        {
            return index;
        }
        let index = match self.by_pid.get(&pid) {
            Some(&index) => index,
            None => {
                if self.processes.len() == MAX_PROCESSES {
                    self.compact();
                }
                self.processes.push(Process { pid, ..Process::default() });
                self.by_pid.insert(pid, self.processes.len() - 1);
                self.processes.len() - 1
            }
        };
        self.last = Some((pid, index));
        index
    }

    /// Makes room: the half with least traffic becomes others.
    fn compact(&mut self) {
        self.processes.sort_by_key(|p| (std::cmp::Reverse(p.traffic.bytes()), p.ended));
        for process in self.processes.drain(MAX_PROCESSES / 2..) {
            if process.traffic.packets() > 0 {
                self.others.add(&process.traffic);
                self.others_count += 1;
            }
        }
        self.by_pid.clear();
        self.last = None;
        for (index, process) in self.processes.iter().enumerate() {
            let newest = self.by_pid.entry(process.pid).or_insert(index);
            if self.processes[*newest].ended {
                *newest = index;
            }
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME)]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::Packet;

    use super::*;

    fn packet(tally: &mut Tally, pid: u32, bytes: u32) {
        let mut out = Vec::new();
        let packet =
            Packet { original_length: bytes, flags: Some(2), process: Some(pid), ..Packet::default() };
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        tally.add(&out);
    }

    fn event(tally: &mut Tally, pid: u32, kind: ProcessEventKind, path: Option<&'static str>, parent: u32) {
        let mut out = Vec::new();
        let event = ProcessEvent {
            process: pid,
            kind,
            path: path.map(|path| Cow::Borrowed(path.as_bytes())),
            parent: Some(parent),
            user: path.map(|_| 1000),
            ..ProcessEvent::default()
        };
        event.emit(BYTE_ORDER, &mut out).unwrap();
        tally.add(&out);
    }

    fn names(tally: &Tally) -> Vec<(u32, &str, u64)> {
        tally.busiest(10).iter().map(|p| (p.pid, p.name.as_str(), p.traffic.bytes())).collect()
    }

    #[test]
    fn a_name_may_come_after_the_first_packet_and_change() {
        let mut tally = Tally::new();
        packet(&mut tally, 5, 100);
        assert_eq!(names(&tally), [(5, "", 100)]);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/sh"), 1);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/usr/bin/curl"), 1);
        packet(&mut tally, 5, 100);
        assert_eq!(names(&tally), [(5, "curl", 200)]);
        assert_eq!(tally.busiest(1)[0].user, "1000");
    }

    #[test]
    fn a_child_has_its_parents_name() {
        let mut tally = Tally::new();
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/sh"), 1);
        event(&mut tally, 6, ProcessEventKind::Forked, None, 5);
        packet(&mut tally, 6, 1);
        assert_eq!(names(&tally), [(6, "sh", 1)]);
    }

    #[test]
    fn a_process_id_used_again_is_another_process() {
        let mut tally = Tally::new();
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/first"), 1);
        packet(&mut tally, 5, 100);
        event(&mut tally, 5, ProcessEventKind::Ended, None, 1);
        packet(&mut tally, 5, 10);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/second"), 1);
        packet(&mut tally, 5, 1);
        assert_eq!(names(&tally), [(5, "first", 110), (5, "second", 1)]);
    }

    #[test]
    fn many_processes_are_bounded_and_nothing_is_lost_from_the_sums() {
        let mut tally = Tally::new();
        packet(&mut tally, 0, 1_000_000);
        event(&mut tally, 0, ProcessEventKind::Started, Some("/bin/busy"), 1);
        let count = 3 * u32::try_from(MAX_PROCESSES).unwrap();
        for pid in 1..=count {
            event(&mut tally, pid, ProcessEventKind::Started, Some("/bin/short"), 0);
            packet(&mut tally, pid, 1);
            event(&mut tally, pid, ProcessEventKind::Ended, None, 0);
        }
        assert!(tally.processes.len() <= MAX_PROCESSES);
        assert_eq!(tally.process_count(), u64::from(count) + 1);
        assert_eq!(tally.total.bytes(), 1_000_000 + u64::from(count));
        let kept: u64 = tally.processes.iter().map(|p| p.traffic.bytes()).sum();
        assert_eq!(kept + tally.others.bytes(), tally.total.bytes());
        assert_eq!(names(&tally)[0], (0, "busy", 1_000_000));
        packet(&mut tally, 0, 1);
        assert_eq!(names(&tally)[0].2, 1_000_001, "it is still found by its id");
    }

    #[test]
    fn running_processes_without_traffic_are_not_told() {
        let mut tally = Tally::new();
        for pid in 0..u32::try_from(MAX_PROCESSES).unwrap() * 2 {
            event(&mut tally, pid, ProcessEventKind::Started, Some("/bin/idle"), 1);
        }
        assert_eq!((tally.process_count(), tally.others_count), (0, 0));
        assert!(tally.busiest(10).is_empty());
    }
}
