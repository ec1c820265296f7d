//! Traffic by process and peer, counted from the blocks as they pass by. Cheap per packet. Memory is limited, however
//! many processes and peers there are.

use std::collections::BTreeMap;

use hone_engine::BYTE_ORDER;
use hone_pcapng::block;
use hone_pcapng::view::{self, PacketView};
use hone_pcapng::{ConnectionEvent, ConnectionId, Correction, NoOwner, ProcessEvent};

use crate::traffic::Traffic;
use crate::traffic::peers::{Peer, Peers};
pub use crate::traffic::processes::Process;
use crate::traffic::processes::Processes;
use crate::traffic::recent_packets::{self, Counted, Owner, Recent};
use hone_rows::ip::Headers;

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// All packets of all processes. One that is recorded once, for its sender and its receiver, is of both.
    pub total: Traffic,
    /// Those that are recorded once.
    joined: Joined,
    /// How many packets have no process, for each reason. A recording of another version may contain no reason.
    pub reasons: BTreeMap<NoOwner, u64>,
    /// Packets without a process.
    pub nobody: Traffic,
    /// With whom those were.
    pub nobody_peers: Peers,
    /// Corrections of packets that were counted too long ago to be moved.
    pub missed_corrections: u64,
    /// The packets with counts that a correction can move.
    recent: Recent,
    processes: Processes,
}

/// Packets that are recorded once, for their sender and their receiver.
#[derive(Debug, Default, Clone, Copy)]
struct Joined {
    packets: u64,
    bytes: u64,
}

impl Tally {
    /// Packets that were recorded: one with two owners is one.
    #[must_use]
    pub fn recorded_packets(&self) -> u64 {
        self.total.packets() - self.joined.packets
    }

    /// Their bytes on the wire.
    #[must_use]
    pub fn recorded_bytes(&self) -> u64 {
        self.total.bytes() - self.joined.bytes
    }

    /// Packets that were recorded once, for their sender and their receiver.
    #[must_use]
    pub fn joined_packets(&self) -> u64 {
        self.joined.packets
    }

    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts whole blocks.
    pub fn add(&mut self, stream: &[u8]) {
        for block in view::blocks(stream, BYTE_ORDER) {
            match block.kind() {
                block::PACKET => {
                    if let Some(packet) = block.packet() {
                        let headers = Headers::parse(packet.data).ok();
                        self.packet(&packet, headers.as_ref());
                        if let Some(received) = packet.as_received() {
                            self.packet(&received, headers.as_ref());
                            self.joined.packets += 1;
                            self.joined.bytes += u64::from(packet.original_length);
                        }
                    }
                }
                block::PROCESS => {
                    if let Ok(event) = ProcessEvent::parse(block.body(), BYTE_ORDER) {
                        self.process(&event);
                    }
                }
                block::CONNECTION => {
                    if let Some((event, correction)) = block.correction() {
                        self.correct(&event, &correction);
                    }
                }
                _ => {}
            }
        }
    }

    /// The processes with most bytes, most first; at most `most` of them.
    #[must_use]
    pub fn busiest(&self, most: usize) -> Vec<&Process> {
        let mut processes: Vec<_> = self.processes.list.iter().filter(|p| p.traffic.packets() > 0).collect();
        processes.sort_by_key(|p| (std::cmp::Reverse(p.traffic.bytes()), p.pid));
        processes.truncate(most);
        processes
    }

    /// The processes that had traffic, in no order.
    pub(crate) fn with_traffic(&mut self) -> impl Iterator<Item = &mut Process> {
        self.processes.list.iter_mut().filter(|p| p.traffic.packets() > 0)
    }

    /// How many processes had traffic.
    #[must_use]
    pub fn process_count(&self) -> u64 {
        self.processes.others_count
            + self.processes.list.iter().filter(|p| p.traffic.packets() > 0).count() as u64
    }

    /// The traffic of the processes that are no longer kept apart.
    pub(crate) fn others(&self) -> &Traffic {
        &self.processes.others
    }

    /// Takes note of an event of a process.
    pub(crate) fn process(&mut self, event: &ProcessEvent<'_>) {
        self.processes.note(event, &mut self.recent);
    }

    /// Counts a packet. `headers`: what is in it, if it is sound.
    pub(crate) fn packet(&mut self, packet: &PacketView<'_>, headers: Option<&Headers<'_>>) {
        self.total.count(packet.is_outbound(), packet.original_length.into());
        let counted = Counted {
            owner: packet.process.map_or(Owner::Nobody, |pid| self.processes.owner_of(pid, &mut self.recent)),
            reason: recent_packets::reason(packet.how),
            outbound: packet.is_outbound(),
            bytes: packet.original_length,
            peer: headers.map(|headers| Peer::of_headers(headers, packet.is_outbound())),
        };
        self.count(&counted);
        if let Some(connection) = packet.connection {
            let payload = headers.and_then(|headers| headers.tcp_payload(packet.original_length));
            self.recent.push(connection, packet.timestamp, payload, &counted);
        }
    }

    /// Moves the counts of corrected packets, as far as they are still remembered.
    pub(crate) fn correct(&mut self, event: &ConnectionEvent<'_>, correction: &Correction) {
        let owner = if correction.has_process() {
            self.processes.owner_of(event.process, &mut self.recent)
        } else {
            Owner::Nobody
        };
        let reason = recent_packets::reason(correction.how);
        let mut recent = std::mem::take(&mut self.recent);
        let found = recent.find(event.connection, correction, |counted| {
            // It may be with a program that the same process ran before: it stays there.
            let is_there = match counted.owner {
                Owner::At(index) => {
                    correction.has_process() && self.processes.list[index as usize].pid == event.process
                }
                owner_before => (owner_before, counted.reason) == (owner, reason),
            };
            if !is_there {
                self.uncount(counted);
                (counted.owner, counted.reason) = (owner, reason);
                self.count(counted);
            }
        });
        self.recent = recent;
        self.missed_corrections += u64::from(!found.are_all_remembered);
    }

    /// Whether a packet that a correction is about was counted, and not too long ago.
    pub(crate) fn has_counted(&mut self, connection: ConnectionId, correction: &Correction) -> bool {
        self.recent.find(connection, correction, |_| {}).is_any
    }

    #[inline]
    fn count(&mut self, counted: &Counted) {
        if counted.owner == Owner::Nobody {
            *self.reasons.entry(counted.reason).or_default() += 1;
        }
        let bytes = counted.bytes.into();
        let (traffic, peers) = self.of(counted.owner);
        traffic.count(counted.outbound, bytes);
        if let Some((peers, peer)) = peers.zip(counted.peer) {
            peers.count(peer, bytes);
        }
    }

    /// Subtracts a packet from the counts.
    fn uncount(&mut self, counted: &Counted) {
        if counted.owner == Owner::Nobody
            && let Some(count) = self.reasons.get_mut(&counted.reason)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.reasons.remove(&counted.reason);
            }
        }
        let bytes = counted.bytes.into();
        let (traffic, peers) = self.of(counted.owner);
        traffic.uncount(counted.outbound, bytes);
        if let Some((peers, peer)) = peers.zip(counted.peer) {
            peers.uncount(peer, bytes);
        }
    }

    #[inline]
    fn of(&mut self, owner: Owner) -> (&mut Traffic, Option<&mut Peers>) {
        match owner {
            Owner::At(index) => {
                let process = &mut self.processes.list[index as usize];
                (&mut process.traffic, Some(&mut process.peers))
            }
            Owner::Others => (&mut self.processes.others, None),
            Owner::Nobody => (&mut self.nobody, Some(&mut self.nobody_peers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use hone_pcapng::{ConnectionEventKind, Corrected, Direction, Method, Packet, ProcessEventKind};

    use super::*;
    use crate::traffic::processes::MAX_PROCESSES;

    fn packet(tally: &mut Tally, pid: u32, bytes: u32) {
        let mut out = Vec::new();
        let packet =
            Packet { original_length: bytes, flags: Some(2), process: Some(pid), ..Packet::default() };
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        tally.add(&out);
    }

    /// A received TCP packet of connection 5 with ten bytes of payload, from 192.0.2.1 to port 80 or from port 53.
    fn segment(tally: &mut Tally, owner: Result<u32, NoOwner>, sequence: u32, from: u16) {
        let mut data = [0; 50];
        (data[0], data[9], data[32]) = (0x45, 6, 0x50);
        data[12..16].copy_from_slice(&[192, 0, 2, 1]);
        data[20..22].copy_from_slice(&from.to_be_bytes());
        data[22..24].copy_from_slice(&80_u16.to_be_bytes());
        data[24..28].copy_from_slice(&sequence.to_be_bytes());
        let packet = Packet {
            timestamp: sequence.into(),
            original_length: 50,
            // As short as a snap length makes it: what is counted is on the wire.
            data: Cow::Borrowed(&data[..40]),
            flags: Some(1),
            connection: Some(5),
            process: owner.ok(),
            how: Some(owner.map(|_| Method::LastReceiver)),
            ..Packet::default()
        };
        let mut out = Vec::new();
        packet.emit(BYTE_ORDER, &mut out).unwrap();
        tally.add(&out);
    }

    fn correction(tally: &mut Tally, process: u32, packets: Corrected, how: hone_pcapng::How) {
        let event = ConnectionEvent {
            connection: 5,
            process,
            kind: ConnectionEventKind::Correction,
            correction: Some(Correction { packets, direction: Direction::Inbound, how: Some(how) }),
            ..ConnectionEvent::default()
        };
        let mut out = Vec::new();
        event.emit(BYTE_ORDER, &mut out).unwrap();
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
        let busiest = tally.busiest(10).into_iter();
        busiest.map(|p| (p.pid, str::from_utf8(p.name()).unwrap(), p.traffic.bytes())).collect()
    }

    #[test]
    fn a_name_may_come_after_the_first_packet_and_change() {
        let mut tally = Tally::new();
        packet(&mut tally, 5, 100);
        assert_eq!(names(&tally), [(5, "", 100)]);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/sh"), 1);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/usr/bin/curl"), 1);
        packet(&mut tally, 5, 100);
        assert_eq!(names(&tally), [(5, "sh", 100), (5, "curl", 100)]);
        assert_eq!(tally.busiest(1)[0].user, "1000");
    }

    #[test]
    fn each_program_of_a_process_keeps_its_own_traffic() {
        let mut tally = Tally::new();
        event(&mut tally, 5, ProcessEventKind::Started, Some("/usr/bin/python3"), 1);
        segment(&mut tally, Ok(5), 100, 53);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/usr/bin/python3"), 1);
        segment(&mut tally, Ok(5), 110, 53);
        event(&mut tally, 5, ProcessEventKind::Started, Some("/usr/bin/curl"), 1);
        assert_eq!(names(&tally), [(5, "python3", 100)], "no row of a program without traffic");
        segment(&mut tally, Ok(5), 120, 53);
        assert_eq!(names(&tally), [(5, "python3", 100), (5, "curl", 50)]);
        assert_eq!(tally.process_count(), 2);
        let ended = |tally: &Tally| tally.busiest(9).iter().map(|p| p.is_ended()).collect::<Vec<_>>();
        assert_eq!(ended(&tally), [true, false]);
        // What says again that packets are of this process does not move them to its last program.
        correction(&mut tally, 5, Corrected::Bytes { from: 100, to: 130 }, Ok(Method::Reader));
        assert_eq!(names(&tally), [(5, "python3", 100), (5, "curl", 50)]);
        correction(&mut tally, 0, Corrected::Time(110), Err(NoOwner::Filtered));
        assert_eq!(names(&tally), [(5, "python3", 50), (5, "curl", 50)]);
        event(&mut tally, 5, ProcessEventKind::Ended, None, 1);
        segment(&mut tally, Ok(5), 130, 53);
        assert_eq!(
            names(&tally),
            [(5, "curl", 100), (5, "python3", 50)],
            "the last packets are of the last program"
        );
    }

    #[test]
    fn programs_of_one_file_name_are_counted_apart() {
        let mut tally = Tally::new();
        for (path, bytes) in [("/opt/one/server", 100), ("/opt/two/server", 50), ("/opt/two/server", 10)] {
            event(&mut tally, 5, ProcessEventKind::Started, Some(path), 1);
            packet(&mut tally, 5, bytes);
        }
        assert_eq!(names(&tally), [(5, "server", 100), (5, "server", 60)]);
        assert_eq!(tally.busiest(1)[0].path, b"/opt/one/server");
    }

    #[test]
    fn many_programs_of_a_process_are_bounded_and_the_last_one_gets_its_packets() {
        let mut tally = Tally::new();
        event(&mut tally, 5, ProcessEventKind::Started, Some("/bin/busy"), 1);
        packet(&mut tally, 5, 1_000_000);
        let count = 3 * MAX_PROCESSES;
        for number in 0..count {
            let path = ["/bin/first", "/bin/second"][number % 2];
            event(&mut tally, 5, ProcessEventKind::Started, Some(path), 1);
            packet(&mut tally, 5, 1);
        }
        assert!(tally.processes.list.len() <= MAX_PROCESSES);
        assert_eq!(tally.process_count(), count as u64 + 1);
        packet(&mut tally, 5, 1000);
        assert_eq!(names(&tally)[..2], [(5, "busy", 1_000_000), (5, "second", 1001)]);
        let kept: u64 = tally.processes.list.iter().map(|p| p.traffic.bytes()).sum();
        assert_eq!(kept + tally.processes.others.bytes(), tally.total.bytes());
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
        assert!(tally.processes.list.len() <= MAX_PROCESSES);
        assert_eq!(tally.process_count(), u64::from(count) + 1);
        assert_eq!(tally.total.bytes(), 1_000_000 + u64::from(count));
        let kept: u64 = tally.processes.list.iter().map(|p| p.traffic.bytes()).sum();
        assert_eq!(kept + tally.processes.others.bytes(), tally.total.bytes());
        assert_eq!(names(&tally)[0], (0, "busy", 1_000_000));
        packet(&mut tally, 0, 1);
        assert_eq!(names(&tally)[0].2, 1_000_001, "it is still found by its id");
    }

    #[test]
    fn a_correction_moves_what_was_counted() {
        let mut tally = Tally::new();
        event(&mut tally, 7, ProcessEventKind::Started, Some("/usr/sbin/server"), 1);
        segment(&mut tally, Ok(7), 100, 40_000);
        segment(&mut tally, Ok(7), 110, 53);
        segment(&mut tally, Err(NoOwner::Shared), 120, 53);
        event(&mut tally, 8, ProcessEventKind::Forked, None, 7);
        let bytes = Corrected::Bytes { from: 110, to: 130 };
        for _ in 0..2 {
            correction(&mut tally, 8, bytes, Ok(Method::Reader));
            assert_eq!(names(&tally), [(8, "server", 100), (7, "server", 50)]);
            assert_eq!((tally.nobody, tally.reasons.len()), (Traffic::default(), 0));
        }
        let peers = |tally: &Tally| {
            let of = |peers: &Peers| peers.busiest(9).iter().map(ToString::to_string).collect::<Vec<_>>();
            tally.busiest(9).iter().map(|process| of(&process.peers)).collect::<Vec<_>>()
        };
        assert_eq!(peers(&tally), [["192.0.2.1:53 tcp"], ["192.0.2.1 to local port 80 tcp"]]);
        // One of them was dropped after all.
        correction(&mut tally, 0, Corrected::Time(110), Err(NoOwner::Filtered));
        assert_eq!(names(&tally), [(7, "server", 50), (8, "server", 50)]);
        assert_eq!(tally.reasons, BTreeMap::from([(NoOwner::Filtered, 1)]));
        assert_eq!(tally.nobody, Traffic { packets_in: 1, bytes_in: 50, ..Traffic::default() });
        assert_eq!((tally.total.bytes_in, tally.total.packets_in), (150, 3));
        assert_eq!(tally.missed_corrections, 0);
        correction(&mut tally, 8, Corrected::Bytes { from: 100, to: 110 }, Ok(Method::Reader));
        correction(&mut tally, 8, Corrected::Time(110), Ok(Method::Reader));
        assert_eq!(names(&tally), [(8, "server", 150)]);
        assert_eq!((tally.process_count(), tally.reasons.len()), (1, 0), "nothing is left of the other one");
    }

    #[test]
    fn packets_are_moved_also_from_those_that_are_no_longer_kept_apart() {
        let mut tally = Tally::new();
        let count = 2 * u32::try_from(MAX_PROCESSES).unwrap();
        for number in 0..count {
            segment(&mut tally, Ok(1000 + number), number * 10, 53);
        }
        assert!(tally.processes.others_count > 0);
        correction(&mut tally, 7, Corrected::Bytes { from: 0, to: count * 10 }, Ok(Method::Reader));
        assert_eq!(names(&tally), [(7, "", 50 * u64::from(count))]);
        assert_eq!(tally.processes.others, Traffic::default());
        assert_eq!(tally.missed_corrections, 0);
    }

    #[test]
    fn running_processes_without_traffic_are_not_counted() {
        let mut tally = Tally::new();
        for pid in 0..u32::try_from(MAX_PROCESSES).unwrap() * 2 {
            event(&mut tally, pid, ProcessEventKind::Started, Some("/bin/idle"), 1);
        }
        assert_eq!((tally.process_count(), tally.processes.others_count), (0, 0));
        assert!(tally.busiest(10).is_empty());
    }
}
