//! Compares what was sent with what was recorded of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hone_engine::ConnectionId;
use hone_packet::protocol::TCP;
use hone_packet::{Headers, packet_checksums};

use super::recorded::Event;
use super::{Answers, Verdict};

/// Hop limit and identification of an IP header that the driver makes (`hone-packet`, `IpHeader`).
const MADE: (u8, u16) = (128, 0);
/// Flags of a TCP header: RFC 9293, section 3.1.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Most packets that an answer names.
const NAMED: usize = 4;

/// Traffic between two sockets of this program.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// 6 or 17.
    pub(crate) protocol: u8,
    /// The socket that sends first, and the other one.
    pub(crate) ends: [SocketAddr; 2],
    /// What the first and the second end sent. No other packet ends with these bytes.
    pub(crate) payloads: [Vec<u8>; 2],
    /// The ends' endpoint handles, if Windows told them.
    pub(crate) handles: [Option<ConnectionId>; 2],
    /// The endpoint handle of the socket that listened, if there was one and Windows told it.
    pub(crate) listener: Option<ConnectionId>,
}

/// A recorded packet of a flow.
struct Packet<'a> {
    place: usize,
    is_outbound: bool,
    connection: Option<ConnectionId>,
    process: Option<u32>,
    data: &'a [u8],
    headers: Headers<'a>,
    /// Which end sent it.
    from: usize,
}

impl Packet<'_> {
    fn words(&self, flow: &Flow) -> String {
        let way = if self.is_outbound { "out" } else { "in" };
        format!("{way} {}", flow.words(self.from))
    }

    /// Which end's socket the packet was recorded at: the sender's when outbound, else the receiver's.
    const fn at(&self) -> usize {
        if self.is_outbound { self.from } else { 1 - self.from }
    }

    fn tcp_flags(&self) -> Option<u8> {
        self.headers.transport.get(13).copied().filter(|_| self.headers.protocol == TCP)
    }
}

impl Flow {
    fn words(&self, from: usize) -> String {
        let protocol = if self.protocol == TCP { "TCP" } else { "UDP" };
        format!("{protocol} {} to {}", self.ends[from], self.ends[1 - from])
    }

    /// The flow's packets, in order.
    fn packets<'a>(&self, events: &'a [Event]) -> Vec<Packet<'a>> {
        let of = |(place, event): (usize, &'a Event)| {
            let Event::Packet { is_outbound, connection, process, data, .. } = event else { return None };
            let headers = Headers::parse(data).ok().filter(|headers| headers.protocol == self.protocol)?;
            let [source, destination] = headers.ports()?;
            let ends =
                [SocketAddr::new(headers.source, source), SocketAddr::new(headers.destination, destination)];
            let from = (0..2).find(|&from| ends == [self.ends[from], self.ends[1 - from]])?;
            let (is_outbound, connection, process) = (*is_outbound, *connection, *process);
            Some(Packet { place, is_outbound, connection, process, data, headers, from })
        };
        events.iter().enumerate().filter_map(of).collect()
    }
}

/// Answers with `Expected` and `good` if nothing is wrong, else with what is.
fn answer(answers: &mut Answers, id: &'static str, wrong: &[String], good: &str) {
    if wrong.is_empty() {
        answers.note(id, Verdict::Expected, good);
    } else {
        let more = wrong.len().saturating_sub(NAMED);
        let mut text = wrong[..wrong.len() - more].join("; ");
        if more > 0 {
            text += &format!("; and {more} more");
        }
        answers.note(id, Verdict::Other, text);
    }
}

/// Answers the questions about the flows from what was recorded. `own` is this program's process id.
pub(crate) fn judge(flows: &[Flow], events: &[Event], own: u32, answers: &mut Answers) {
    let packets: Vec<_> = flows.iter().map(|flow| (flow, flow.packets(events))).collect();
    if packets.iter().all(|(_, packets)| packets.is_empty()) {
        for id in [
            "sent",
            "received",
            "header",
            "checksums",
            "owner",
            "opened",
            "handle",
            "syn",
            "closure",
            "large",
        ] {
            answers.note(id, Verdict::Unknown, "no packet of this program's traffic was recorded");
        }
    } else {
        recorded(&packets, answers);
        contents(&packets, own, answers);
        connections(&packets, events, own, answers);
        closure(&packets, events, answers);
    }
    zero(flows, answers);
    reuse(flows, answers);
}

type Packets<'a> = [(&'a Flow, Vec<Packet<'a>>)];

/// Each payload once in each direction.
fn recorded(packets: &Packets<'_>, answers: &mut Answers) {
    let (mut wrong, mut large) = ([Vec::new(), Vec::new()], Vec::new());
    for (flow, packets) in packets {
        for (from, payload) in flow.payloads.iter().enumerate().filter(|(_, payload)| !payload.is_empty()) {
            for (way, is_outbound) in [true, false].into_iter().enumerate() {
                let found = packets
                    .iter()
                    .filter(|packet| packet.is_outbound == is_outbound && packet.data.ends_with(payload))
                    .count();
                if found != 1 {
                    let words = format!("{}: {found} times", flow.words(from));
                    if payload.len() > 1500 {
                        large.push(words)
                    } else {
                        wrong[way].push(words)
                    };
                }
            }
        }
    }
    answer(answers, "sent", &wrong[0], "each one once");
    answer(answers, "received", &wrong[1], "each one once");
    answer(answers, "large", &large, "out and in once");
}

/// Headers, checksums and owners.
fn contents(packets: &Packets<'_>, own: u32, answers: &mut Answers) {
    let (mut made, mut checksums, mut owners, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (flow, packets) in packets {
        for packet in packets {
            let words = packet.words(flow);
            if let (false, [hops, high, low]) = (packet.is_outbound, ip_fields(packet)) {
                let found = (hops, u16::from_be_bytes([high, low]));
                seen.push(format!("{}: hop limit {}, identification {}", words, found.0, found.1));
                if matches!(packet.headers.source, IpAddr::V4(_)) && found == MADE {
                    made.push(words.clone());
                }
            }
            match packet_checksums([packet.data]) {
                Ok(sums) => {
                    let is_wrong = [sums.header, sums.transport]
                        .into_iter()
                        .flatten()
                        .any(|sum| sum.found != sum.correct);
                    checksums.extend(is_wrong.then(|| words.clone()));
                }
                Err(error) => checksums.push(format!("{words}: {error}")),
            }
            if packet.process != Some(own) {
                owners.push(format!("{words}: process {:?}", packet.process));
            }
        }
    }
    seen.truncate(1);
    answer(answers, "header", &made, seen.first().map_or("no inbound packet", String::as_str));
    answer(answers, "checksums", &checksums, "all are right");
    answer(answers, "owner", &owners, "every one is of this program");
}

/// Hop limit and identification of an IP header; identification 0 for IPv6.
fn ip_fields(packet: &Packet<'_>) -> [u8; 3] {
    match packet.data {
        [first, _, _, _, high, low, _, _, hops, ..] if first >> 4 == 4 => [*hops, *high, *low],
        [_, _, _, _, _, _, _, hops, ..] => [*hops, 0, 0],
        _ => [0; 3],
    }
}

/// Connection ids of events and packets.
fn connections(packets: &Packets<'_>, events: &[Event], own: u32, answers: &mut Answers) {
    let (mut opened, mut handles, mut syns) = (Vec::new(), Vec::new(), Vec::new());
    let (mut is_told, mut is_syn_own) = (false, true);
    for (flow, packets) in packets {
        for packet in packets {
            let words = packet.words(flow);
            let handle = flow.handles[packet.at()];
            if let Some(flags) = packet.tcp_flags().filter(|flags| flags & SYN != 0) {
                let of = if packet.connection.is_some() && packet.connection == handle {
                    "the connection's"
                } else if packet.connection.is_some() && packet.connection == flow.listener {
                    "the listener's"
                } else if packet.connection.is_none() {
                    "none"
                } else {
                    "another one"
                };
                is_syn_own &= of == "the connection's";
                let name = if flags & ACK == 0 { "SYN" } else { "SYN-ACK" };
                syns.push(format!("{name} {words}: {of}"));
                continue;
            }
            if let (Some(handle), true) = (handle, packet.data.ends_with(&flow.payloads[packet.from])) {
                is_told = true;
                if packet.connection != Some(handle) {
                    handles.push(format!("{words}: recorded {:x?}, asked for {handle:x}", packet.connection));
                }
            }
        }
        for (end, packet) in [0, 1].map(|end| (end, packets.iter().find(|packet| packet.at() == end))) {
            let Some((packet, connection)) = packet.and_then(|packet| Some((packet, packet.connection?)))
            else {
                continue;
            };
            let event = events[..packet.place].iter().rev().find_map(|event| match event {
                Event::Opened(opened, process) if *opened == connection => Some(*process),
                _ => None,
            });
            if event != Some(own) {
                opened.push(format!("{}, end {end}: opened by {event:?}", flow.words(end)));
            }
        }
    }
    answer(answers, "opened", &opened, "each one");
    if is_told {
        answer(answers, "handle", &handles, "the same");
    } else {
        answers.note("handle", Verdict::Unknown, "Windows told no endpoint handle");
    }
    let text = if syns.is_empty() { "no SYN was recorded".to_owned() } else { syns.join("; ") };
    let known = if syns.is_empty() { Verdict::Unknown } else { Verdict::expected(is_syn_own) };
    answers.note("syn", known, text);
}

/// For TCP: the last packet of each end, and its connection's closing.
fn closure(packets: &Packets<'_>, events: &[Event], answers: &mut Answers) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (flow, packets) in packets.iter().filter(|(flow, _)| flow.protocol == TCP) {
        for end in [0, 1] {
            let Some(last) = packets.iter().rev().find(|packet| packet.at() == end) else { continue };
            let Some(connection) = last.connection else {
                wrong.push(format!("{}: the last packet has no connection", last.words(flow)));
                continue;
            };
            let closed = events.iter().rposition(|event| *event == Event::Closed(connection));
            match closed {
                None => wrong.push(format!("{}: never closed", flow.words(end))),
                Some(closed) if closed < last.place => {
                    let later = packets.iter().filter(|packet| packet.at() == end && packet.place > closed);
                    wrong.push(format!("{}: {} packets after it", flow.words(end), later.count()));
                }
                Some(_) => count += 1,
            }
        }
    }
    answer(answers, "closure", &wrong, &format!("{count} connections close after their last packet"));
}

/// Handles of 0.
fn zero(flows: &[Flow], answers: &mut Answers) {
    let handles: Vec<_> = flows.iter().flat_map(|flow| flow.handles).flatten().collect();
    match handles.iter().filter(|handle| **handle == 0).count() {
        _ if handles.is_empty() => answers.note("zero", Verdict::Unknown, "Windows told no endpoint handle"),
        0 => answers.note("zero", Verdict::Expected, format!("none of {}", handles.len())),
        zeros => answers.note("zero", Verdict::Other, format!("{zeros} of {}", handles.len())),
    }
}

/// Handles that come a second time. Each flow's sockets are closed before the next one's are made.
fn reuse(flows: &[Flow], answers: &mut Answers) {
    let handles: Vec<_> = flows.iter().flat_map(|flow| flow.handles).flatten().collect();
    let different: BTreeSet<_> = handles.iter().collect();
    let again = handles.len() - different.len();
    if handles.is_empty() {
        answers.note("reuse", Verdict::Unknown, "Windows told no endpoint handle");
    } else {
        answers.note(
            "reuse",
            Verdict::expected(again == 0),
            format!("{again} of {} come again", handles.len()),
        );
    }
}
