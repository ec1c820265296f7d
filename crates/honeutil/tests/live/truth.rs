//! What the programs reported about their own traffic, and how recordings are compared with it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use hone_pcapng::{ConnectionEventKind, NoOwner, ProcessEventKind};

use crate::network::Network;
use crate::packet::{Ip, TCP_RST, Transport, tags};
use crate::recording::{Direction, Entry, Packet, Recording};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Who says goodbye when a TCP connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The programs hold their sockets to the end, so every packet has its owner.
    ByOwner,
    /// A program lets go early. The kernel then answers for it from a socket of its own, so that a closing packet
    /// without payload may have no process; nor a connection, unless the packet says that its connection has ended.
    ByKernel,
}

/// One datagram, or all bytes of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    from: SocketAddr,
    to: SocketAddr,
    pid: u32,
    /// Sequence number of the datagram, or bytes in the stream.
    number: usize,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) path: String,
    /// A NUL after each.
    pub(crate) arguments: String,
    pub(crate) user: (u32, String),
    pub(crate) group: (u32, String),
}

/// Everything that was reported.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    endpoints: HashMap<(Protocol, SocketAddr), u32>,
    /// Who accepted a connection, by its local and remote end.
    accepted: HashMap<(SocketAddr, SocketAddr), u32>,
    datagrams: Vec<Sent>,
    streams: Vec<Sent>,
    pub(crate) processes: Vec<Process>,
    /// Every connection was accepted before data came, so all its data is the accepting process's. Otherwise what
    /// came before the first answer may also be the listener's owner's: nobody knows yet who will read it.
    pub(crate) accepted_before_data: bool,
}

/// How many disagreements are shown of many.
const SHOWN: usize = 12;

impl Truth {
    /// Made from the generators' reports.
    pub(crate) fn told(lines: impl IntoIterator<Item = Vec<String>>) -> Self {
        let mut truth = Self::default();
        for line in lines.into_iter().flatten() {
            let fields: Vec<&str> = line.split('\t').collect();
            truth.take(&fields).unwrap_or_else(|| panic!("the generator told {line:?}"));
        }
        truth
    }

    fn take(&mut self, fact: &[&str]) -> Option<()> {
        match *fact {
            ["process", pid, parent, path, arguments] => {
                let root = || (0, "root".to_owned());
                self.processes.push(Process {
                    pid: pid.parse().ok()?,
                    parent: parent.parse().ok()?,
                    path: path.into(),
                    arguments: arguments.replace('\x1f', "\0") + "\0",
                    user: root(),
                    group: root(),
                });
            }
            ["endpoint", protocol, local, pid] => {
                let protocol = if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp };
                self.endpoint(protocol, local.parse().ok()?, pid.parse().ok()?);
            }
            ["connection", local, peer, pid] => {
                self.accepted.insert((local.parse().ok()?, peer.parse().ok()?), pid.parse().ok()?);
            }
            [kind @ ("datagram" | "stream"), from, to, pid, number] => {
                let list = if kind == "stream" { &mut self.streams } else { &mut self.datagrams };
                list.push(Sent {
                    from: from.parse().ok()?,
                    to: to.parse().ok()?,
                    pid: pid.parse().ok()?,
                    number: number.parse().ok()?,
                });
            }
            ["holding"] => {}
            _ => return None,
        }
        Some(())
    }

    /// Adds the owner of an endpoint.
    pub(crate) fn endpoint(&mut self, protocol: Protocol, local: SocketAddr, pid: u32) {
        let before = self.endpoints.insert((protocol, local), pid);
        assert!(
            before.is_none_or(|before| before == pid),
            "{local} was used twice, so its owner is not clear"
        );
    }

    /// Compares one file with everything that was reported. The processes have ended.
    pub(crate) fn check(&self, network: &Network, recording: &Recording, closing: Closing) {
        self.check_owners(network, recording, closing);
        self.check_payloads(network, &[recording]);
        self.check_processes(recording);
        self.check_connections(recording);
    }

    /// Every packet of the network has the owner that it should have, and the file explains it.
    pub(crate) fn check_owners(&self, network: &Network, recording: &Recording, closing: Closing) {
        let mut faults = Vec::new();
        let mut started = HashSet::new();
        let mut open = HashMap::new();
        let mut handed_over = HashSet::new();
        for entry in &recording.entries {
            match entry {
                Entry::Process(event) if event.kind == ProcessEventKind::Ended => {}
                Entry::Process(event) => {
                    started.insert(event.pid);
                }
                Entry::Connection(event) if event.kind == ConnectionEventKind::Closed => {
                    open.remove(&event.id);
                }
                Entry::Connection(event) if event.kind == ConnectionEventKind::Correction => {
                    // 0: the packets are nobody's.
                    if event.pid != 0 && !started.contains(&event.pid) {
                        faults.push(format!("{event:?} is before the start of its process"));
                    }
                }
                Entry::Connection(event) => {
                    open.insert(event.id, event.pid);
                }
                Entry::Packet(packet) => {
                    let Some(ip) = Ip::parse(&packet.data) else {
                        faults.push(format!("not IP: {packet:02x?}"));
                        continue;
                    };
                    if !network.has(ip.source) && !network.has(ip.destination) {
                        continue;
                    }
                    let verdict = self.check_owner(packet, &ip, closing, &mut handed_over);
                    let verdict = verdict.and_then(|()| check_form(packet, &ip, recording.snap_length));
                    let verdict = verdict.and_then(|()| check_explained(packet, &started, &open));
                    if let Err(fault) = verdict {
                        faults.push(format!("{fault}: {}", describe(packet, &ip)));
                    }
                }
            }
        }
        report(&faults);
    }

    /// Who has this end of a connection, or the endpoint.
    fn owner(&self, protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let accepted = self.accepted.get(&(local, remote)).filter(|_| protocol == Protocol::Tcp);
        accepted.or_else(|| self.endpoints.get(&(protocol, local))).copied()
    }

    fn check_owner(
        &self,
        packet: &Packet,
        ip: &Ip<'_>,
        closing: Closing,
        handed_over: &mut HashSet<(SocketAddr, SocketAddr)>,
    ) -> Result<(), String> {
        let (protocol, flags) = match ip.transport {
            Transport::Tcp { flags, .. } => (Protocol::Tcp, flags),
            Transport::Udp { .. } => (Protocol::Udp, 0),
            // Neighbour discovery and the like.
            _ if (packet.process, packet.connection) == (None, None) => return Ok(()),
            _ => return Err("nobody in this test sends such packets".into()),
        };
        let (from, to) = ip.endpoints().ok_or("no ports")?;
        let outbound = packet.direction == Direction::Outbound;
        let (local, remote) = if outbound { (from, to) } else { (to, from) };
        let expected = self.owner(protocol, local, remote).ok_or("nobody told of its local endpoint")?;
        let payload = ip.payload();
        let Some(pid) = packet.process else {
            let late = packet.how == Some(Err(NoOwner::TimeWait));
            let kernels = (packet.connection.is_none() || late) && payload.is_empty() && flags & TCP_RST == 0;
            let allowed = closing == Closing::ByKernel && protocol == Protocol::Tcp && kernels;
            return if allowed { Ok(()) } else { Err(format!("no process, but {expected} has it")) };
        };
        // A connection belongs to the listener's owner until a process accepts it. A process that answers has accepted
        // it.
        let accepted = self.accepted.contains_key(&(local, remote));
        if accepted && (outbound || self.accepted_before_data) && !payload.is_empty() {
            handed_over.insert((local, remote));
        }
        let waiting = accepted && !handed_over.contains(&(local, remote));
        if pid != expected && !(waiting && self.endpoints.get(&(protocol, local)) == Some(&pid)) {
            return Err(format!("process {pid}, but {expected} has it"));
        }
        let sender = if outbound { Some(pid) } else { self.owner(protocol, remote, local) };
        for (tag, _) in tags(payload) {
            if Some(tag) != sender {
                return Err(format!("its payload says that {tag} sent it, not {sender:?}"));
            }
        }
        Ok(())
    }

    /// Everything that was sent is there: each datagram once outbound and once inbound, and nothing else; of each
    /// stream every byte in both directions, however it was cut into packets.
    pub(crate) fn check_payloads(&self, network: &Network, recordings: &[&Recording]) {
        let mut datagrams: HashMap<(Direction, Sent), usize> = HashMap::new();
        let mut streams: HashMap<(Direction, SocketAddr, SocketAddr), Vec<(u32, usize)>> = HashMap::new();
        for packet in recordings.iter().flat_map(|recording| recording.packets()) {
            let Some(ip) = Ip::parse(&packet.data).filter(|ip| network.has(ip.source)) else { continue };
            let Some((from, to)) = ip.endpoints() else { continue };
            match ip.transport {
                Transport::Tcp { sequence, payload, .. } if !payload.is_empty() => {
                    streams.entry((packet.direction, from, to)).or_default().push((sequence, payload.len()));
                }
                Transport::Udp { payload, .. } => {
                    let (pid, number) = tags(payload).next().expect("every datagram has a tag");
                    *datagrams.entry((packet.direction, Sent { from, to, pid, number })).or_default() += 1;
                }
                _ => {}
            }
        }
        let mut faults = Vec::new();
        for direction in [Direction::Outbound, Direction::Inbound] {
            for sent in &self.datagrams {
                let count = datagrams.remove(&(direction, *sent)).unwrap_or(0);
                if count != 1 {
                    faults.push(format!("{direction:?} {count} times: datagram {sent:?}"));
                }
            }
            for sent in &self.streams {
                let parts = streams.remove(&(direction, sent.from, sent.to)).unwrap_or_default();
                let bytes = covered(&parts);
                if bytes != sent.number {
                    faults.push(format!("{direction:?} {bytes} bytes: stream {sent:?}"));
                }
            }
        }
        faults.extend(datagrams.keys().map(|extra| format!("nobody told of this datagram: {extra:?}")));
        faults.extend(streams.keys().map(|extra| format!("nobody told of this stream: {extra:?}")));
        report(&faults);
    }

    /// Every process has its start, with what describes it, and its end.
    pub(crate) fn check_processes(&self, recording: &Recording) {
        let mut faults = Vec::new();
        for truth in &self.processes {
            let events: Vec<_> = recording.processes().filter(|event| event.pid == truth.pid).collect();
            let last = events.iter().rfind(|event| event.kind == ProcessEventKind::Started);
            let Some(last) = last else {
                faults.push(format!("no start: {truth:?}, only {events:?}"));
                continue;
            };
            let found = (
                (last.path.as_deref(), last.arguments.as_deref(), last.parent),
                (last.user, last.user_name.as_deref(), last.group, last.group_name.as_deref()),
            );
            let expected = (
                (Some(&*truth.path), Some(&*truth.arguments), Some(truth.parent)),
                (Some(truth.user.0), Some(&*truth.user.1), Some(truth.group.0), Some(&*truth.group.1)),
            );
            if found != expected {
                faults.push(format!("{found:?} should be {expected:?}"));
            }
            let ends = events.iter().filter(|event| event.kind == ProcessEventKind::Ended).count();
            let ended_last = events.last().is_some_and(|event| event.kind == ProcessEventKind::Ended);
            if ends != 1 || !ended_last {
                faults.push(format!("process {} should end once, at last: {events:?}", truth.pid));
            }
        }
        report(&faults);
    }

    /// Every process with an endpoint opened a connection, and all connections were closed.
    pub(crate) fn check_connections(&self, recording: &Recording) {
        let mut faults = Vec::new();
        for (endpoint, pid) in &self.endpoints {
            let (opened, closed) = recording.opened_and_closed_by(*pid);
            if opened.is_empty() || opened != closed {
                faults.push(format!("{endpoint:?} of {pid} opened {opened:?} and closed of them {closed:?}"));
            }
        }
        report(&faults);
    }
}

/// The lengths agree with each other and with the snap length, and the time is of today.
fn check_form(packet: &Packet, ip: &Ip<'_>, snap_length: u32) -> Result<(), String> {
    let most = usize::try_from(snap_length).ok().filter(|length| *length > 0).unwrap_or(usize::MAX);
    let (captured, original) = (packet.data.len(), packet.original_length);
    if ip.length.is_some_and(|length| length != original) {
        return Err(format!("{original} bytes originally, but its header says {:?}", ip.length));
    }
    if captured != original.min(most) {
        return Err(format!("{captured} bytes captured of {original} with snap length {snap_length}"));
    }
    let now = std::time::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?.as_nanos();
    let age = now.checked_sub(packet.nanos.into()).ok_or("its time is in the future")?;
    if age > 600 * 1_000_000_000 { Err("its time is long ago".into()) } else { Ok(()) }
}

/// Everything that a packet refers to comes before it in the file: the start of its process, the opening of its
/// connection, and the start of the process that opened it.
fn check_explained(packet: &Packet, started: &HashSet<u32>, open: &HashMap<u64, u32>) -> Result<(), String> {
    let Some(pid) = packet.recorded_process else { return Ok(()) };
    if !started.contains(&pid) {
        return Err(format!("process {pid} has not started before it"));
    }
    let id = packet.connection.ok_or("no connection")?;
    let opener = open.get(&id).ok_or_else(|| format!("connection {id} is not open"))?;
    // 0: nobody had accepted it yet, and several processes could.
    if *opener == 0 || started.contains(opener) {
        Ok(())
    } else {
        Err(format!("{opener}, who opened it, has not started"))
    }
}

/// How many bytes of a stream these parts cover together; repeated ones count once.
fn covered(parts: &[(u32, usize)]) -> usize {
    let Some(&(base, _)) = parts.first() else { return 0 };
    // Sequence numbers wrap around; no stream here is nearly as long as half of their range.
    let mut ranges: Vec<(i64, i64)> = parts
        .iter()
        .map(|&(sequence, length)| {
            let start = i64::from(sequence.wrapping_sub(base).cast_signed());
            (start, start + i64::try_from(length).expect("packets are short"))
        })
        .collect();
    ranges.sort_unstable();
    let (mut sum, mut end) = (0, i64::MIN);
    for (from, to) in ranges {
        sum += (to - from.max(end)).max(0);
        end = end.max(to);
    }
    sum.try_into().expect("a sum of lengths")
}

/// A packet in one line.
fn describe(packet: &Packet, ip: &Ip<'_>) -> String {
    let text: String = ip.payload().iter().take(40).map(|byte| char::from(*byte)).collect();
    let (from, to) =
        ip.endpoints().map_or((ip.source.to_string(), ip.destination.to_string()), |(from, to)| {
            (from.to_string(), to.to_string())
        });
    let kind = match ip.transport {
        Transport::Tcp { flags, sequence, .. } => format!("TCP flags {flags:#04x} sequence {sequence}"),
        Transport::Udp { .. } => "UDP".into(),
        other => format!("{other:?}"),
    };
    let Packet { direction, connection, process, original_length, .. } = packet;
    format!(
        "{direction:?} {from} > {to} {kind}, {original_length} bytes, connection {connection:?}, process {process:?}, \
         payload {text:?}"
    )
}

fn report(faults: &[String]) {
    let shown = faults.iter().take(SHOWN).map(|fault| format!("\n  {fault}")).collect::<String>();
    assert!(faults.is_empty(), "{} faults:{shown}", faults.len());
}

/// On a busy host a server closes before its client, and the kernel alone takes and sends the last packets.
#[test]
fn only_a_packet_that_says_its_connection_has_ended_may_name_one_without_a_process() {
    let (local, remote): (SocketAddr, SocketAddr) =
        ("10.0.0.1:8000".parse().expect("an address"), "10.0.0.2:30000".parse().expect("an address"));
    let mut truth = Truth::default();
    truth.endpoint(Protocol::Tcp, local, 7);
    let data = [
        &[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2][..],
        &[0x1f, 0x40, 0x75, 0x30, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 0, 0, 0, 0, 0],
    ];
    let ip = data.concat();
    let ip = Ip::parse(&ip).expect("a packet");
    assert_eq!(ip.endpoints(), Some((local, remote)));
    let allowed = |how, closing, connection| {
        let packet = Packet {
            nanos: 0,
            timestamp: 0,
            original_length: data.concat().len(),
            data: data.concat(),
            direction: Direction::Outbound,
            connection,
            process: None,
            recorded_process: None,
            how,
        };
        truth.check_owner(&packet, &ip, closing, &mut HashSet::new()).is_ok()
    };
    let (late, unknown) = (Some(Err(NoOwner::TimeWait)), Some(Err(NoOwner::UnknownSocket)));
    assert!(allowed(late, Closing::ByKernel, Some(1)));
    assert!(allowed(unknown, Closing::ByKernel, None));
    assert!(!allowed(unknown, Closing::ByKernel, Some(1)));
    assert!(!allowed(late, Closing::ByOwner, Some(1)));
}

#[test]
fn overlapping_parts_of_a_stream_count_once() {
    assert_eq!(covered(&[]), 0);
    assert_eq!(covered(&[(5, 10), (15, 5), (5, 10), (12, 4)]), 15);
    assert_eq!(covered(&[(u32::MAX - 1, 4), (2, 4), (u32::MAX - 3, 2)]), 10);
}
