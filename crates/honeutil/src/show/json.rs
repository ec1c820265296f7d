//! Events as JSON, one object a line, with the field names of the Elastic Common Schema where it has one and `hone.*`
//! where it has none. Bytes that are not UTF-8 are replaced in a text field, and whole, in base64, in `hone.bytes`.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hone_pcapng::{
    ConnectionEventKind, Corrected, Correction, Direction, EventCounts, HostId, ProcessEvent,
    ProcessEventKind, words,
};
use hone_pcapng::{Section, Statistics};
use serde::Serialize;

use super::community_id::Flow;
use super::event::{Event, Packet, Shown};
use super::line::guid_text;
use super::processes::Process;
use super::time::Times;
use crate::text::prints;
use crate::traffic::ip::{self, Headers};

/// The version of the schema whose names these are.
const ECS_VERSION: &str = "8.17.0";

/// Writes objects; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    times: Times,
    packet_times: Times,
}

impl Objects {
    /// Appends the event's line.
    pub(crate) fn write(&mut self, shown: &Shown<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let mut document = Document {
            timestamp: shown.nanos.map(|nanos| self.times.text(nanos)),
            ecs: Ecs { version: ECS_VERSION },
            ..Document::default()
        };
        match &shown.event {
            Event::Section(section) => document.section(section),
            Event::Process(event) => document.process(event, shown.process),
            Event::Connection(event) => {
                let (action, kinds): (_, &[_]) = match event.kind {
                    ConnectionEventKind::Opened => ("socket-opened", &["connection", "start"]),
                    ConnectionEventKind::Closed => ("socket-closed", &["connection", "end"]),
                    ConnectionEventKind::Correction => ("packets-corrected", &["connection", "info"]),
                    ConnectionEventKind::Other(_) => ("socket-event", &["connection", "info"]),
                };
                document.event = EventFields { kind: "event", category: &["network"], types: kinds, action };
                document.process = shown.pid().map(|pid| ProcessFields::known(pid, shown.process));
                document.hone.connection = Some(Id { id: event.connection });
                let time = shown.packet_nanos.map(|nanos| self.packet_times.text(nanos));
                document.hone.correction = event.correction.as_ref().map(|it| CorrectionFields::of(it, time));
            }
            Event::Packet(packet) => document.packet(packet, shown.process),
            Event::Statistics(statistics) => document.statistics(statistics),
        }
        let container = shown.process.map(|process| &process.container[..]).filter(|id| !id.is_empty());
        document.container = container.map(|id| Container { id: text(id) });
        let start = out.len();
        serde_json::to_writer(&mut *out, &document)?;
        escape(start, out);
        out.push(b'\n');
        Ok(())
    }
}

/// Escapes in the JSON from `start` on what the text form escapes, too, so that no name steers a terminal. Outside of its
/// strings JSON has none of that, and within them serde_json has escaped the controls of ASCII but the last one.
fn escape(start: usize, out: &mut Vec<u8>) {
    // Nearly always nothing: one look at the line costs less than one at each string.
    if out[start..].iter().copied().max() < Some(b'\x7F') {
        return;
    }
    let line = String::from_utf8_lossy(&out[start..]).into_owned();
    out.truncate(start);
    for char in line.chars() {
        if prints(char) {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    ecs: Ecs,
    event: EventFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Host<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Hone::is_empty")]
    hone: Hone<'a>,
}

#[derive(Debug, Default, Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Debug, Default, Serialize)]
struct EventFields {
    kind: &'static str,
    category: &'static [&'static str],
    #[serde(rename = "type")]
    types: &'static [&'static str],
    action: &'static str,
}

#[derive(Debug, Serialize)]
struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<Os<'a>>,
}

#[derive(Debug, Serialize)]
struct Os<'a> {
    full: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct Network {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iana_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    bytes: u32,
    packets: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Container<'a> {
    id: Cow<'a, str>,
}

#[derive(Debug, Default, Serialize)]
struct ProcessFields<'a> {
    pid: u32,
    /// In its own process id namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    vpid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Account<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Account<'a>>,
}

impl<'a> ProcessFields<'a> {
    /// What earlier events told of a process.
    fn known(pid: u32, process: Option<&'a Process>) -> Self {
        let path = process.map(|process| &process.path[..]).filter(|path| !path.is_empty());
        Self {
            pid,
            name: path.and(process).map(|process| text(process.name())),
            executable: path.map(text),
            user: process.and_then(|process| {
                let name = Some(&process.user_name[..]).filter(|name| !name.is_empty());
                let sid = Some(&process.security_id).filter(|sid| !sid.is_empty());
                match sid {
                    Some(sid) => Some(Account { id: Some(sid.clone()), name: name.map(text) }),
                    None => Account::new(process.user, name),
                }
            }),
            ..Self::default()
        }
    }
}

#[derive(Debug, Serialize)]
struct Parent {
    pid: u32,
}

#[derive(Debug, Serialize)]
struct Account<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

impl<'a> Account<'a> {
    fn new(id: Option<u32>, name: Option<&'a [u8]>) -> Option<Self> {
        (id.is_some() || name.is_some())
            .then(|| Self { id: id.map(|id| id.to_string()), name: name.map(text) })
    }
}

/// What only Hone has names for.
#[derive(Debug, Default, Serialize)]
struct Hone<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<PacketFields>,
    /// The packet's process is not the one that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<CorrectionFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<SectionFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<StatisticsFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_namespace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Bytes>,
}

impl Hone<'_> {
    fn is_empty(&self) -> bool {
        self.connection.is_none()
            && self.packet.is_none()
            && self.corrected.is_none()
            && self.correction.is_none()
            && self.section.is_none()
            && self.statistics.is_none()
            && self.event_number.is_none()
            && self.network_namespace.is_none()
            && self.bytes.is_none()
    }
}

#[derive(Debug, Serialize)]
struct Id {
    id: u64,
}

/// Which packets are corrected, and how their process is known.
#[derive(Debug, Serialize)]
struct CorrectionFields<'a> {
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
}

impl<'a> CorrectionFields<'a> {
    fn of(correction: &Correction, time: Option<&'a str>) -> Self {
        let (from, to) = match correction.packets {
            Corrected::Bytes { from, to } => (Some(from), Some(to)),
            Corrected::Time(_) => (None, None),
        };
        let direction = direction(correction.direction);
        Self { direction, from, to, time, how: correction.how.map(words) }
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "ingress",
        Direction::Outbound => "egress",
    }
}

#[derive(Debug, Serialize)]
struct PacketFields {
    captured: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment_offset: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<Icmp>,
    /// What is malformed in the IP headers, which are not shown then.
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<&'static str>,
    /// The link type, if it is one that is not decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_type: Option<u32>,
    /// The interface, if it is not the section's first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Icmp {
    #[serde(rename = "type")]
    kind: u8,
    code: u8,
}

#[derive(Debug, Serialize)]
struct SectionFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
struct StatisticsFields {
    packets: Counts,
    processes: Counts,
    connections: Counts,
}

#[derive(Debug, Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by_source: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by_ring: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
}

impl From<&EventCounts> for Counts {
    fn from(counts: &EventCounts) -> Self {
        let EventCounts { received, dropped_by_source, dropped_by_ring, delivered } = *counts;
        Self { received, dropped_by_source, dropped_by_ring, delivered }
    }
}

/// The bytes of what is not UTF-8, in base64.
#[derive(Debug, Default, Serialize)]
struct Bytes {
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<String>,
    /// Each argument is followed by a zero byte, as it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<String>,
}

impl Bytes {
    fn of(event: &ProcessEvent<'_>) -> Option<Self> {
        let encoded = |bytes: &Option<Cow<'_, [u8]>>| {
            let bytes = bytes.as_deref().filter(|bytes| std::str::from_utf8(bytes).is_err())?;
            Some(BASE64_STANDARD.encode(bytes))
        };
        let bytes = Self { executable: encoded(&event.path), args: encoded(&event.arguments) };
        (bytes.executable.is_some() || bytes.args.is_some()).then_some(bytes)
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl<'a> Document<'a> {
    fn section(&mut self, section: &'a Section<'a>) {
        self.event =
            EventFields { kind: "event", category: &["host"], types: &["info"], action: "section-started" };
        self.host = Some(Host {
            id: section.host.as_ref().map(|host| match host {
                HostId::Guid(guid) => Cow::Owned(guid_text(guid)),
                HostId::Name(name) => Cow::Borrowed(&**name),
            }),
            os: section.os.as_deref().map(|os| Os { full: text(os) }),
        });
        self.hone.section = Some(SectionFields {
            application: section.application.as_deref().map(text),
            hardware: section.hardware.as_deref().map(text),
        });
    }

    fn process(&mut self, event: &'a ProcessEvent<'a>, process: Option<&'a Process>) {
        let (action, kinds): (_, &[_]) = match event.kind {
            ProcessEventKind::Started => ("exec", &["start"]),
            ProcessEventKind::Forked => ("fork", &["start"]),
            ProcessEventKind::KernelThread => ("kernel-thread", &["start"]),
            ProcessEventKind::Ended => ("end", &["end"]),
            ProcessEventKind::Other(number) => {
                self.hone.event_number = Some(number);
                ("process-event", &["info"])
            }
        };
        self.event = EventFields { kind: "event", category: &["process"], types: kinds, action };
        let mut fields = ProcessFields::known(event.process, process);
        // In full: what is known of a process is kept with a bound.
        fields.executable = event.path.as_deref().map(text).or(fields.executable);
        fields.args =
            event.arguments.as_deref().map(|arguments| super::arguments(arguments).map(text).collect());
        fields.args_count = fields.args.as_ref().map(Vec::len);
        fields.command_line = event.command_line.as_deref().map(text);
        fields.vpid = event.namespace_pid;
        fields.parent = event.parent.map(|pid| Parent { pid });
        fields.group = Account::new(event.group, event.group_name.as_deref());
        if let Some(sid) = &event.security_id {
            let name = fields.user.and_then(|user| user.name);
            fields.user = Some(Account { id: Some(text(sid).into_owned()), name });
        }
        self.process = Some(fields);
        self.hone.network_namespace = event.network_namespace;
        self.hone.bytes = Bytes::of(event);
    }

    fn packet(&mut self, packet: &Packet<'_>, process: Option<&'a Process>) {
        let headers = packet.headers.as_ref();
        self.event =
            EventFields { kind: "event", category: &["network"], types: &["info"], action: "packet" };
        let protocol = headers.map(|headers| headers.protocol);
        self.network = Some(Network {
            kind: headers.map(|headers| if headers.source.is_ipv4() { "ipv4" } else { "ipv6" }),
            transport: protocol.and_then(ip::name),
            iana_number: protocol.map(|protocol| protocol.to_string()),
            direction: packet.direction().map(direction),
            bytes: packet.original_length,
            packets: 1,
            community_id: headers.and_then(Flow::of).map(|flow| flow.id()),
        });
        if let Some(headers) = headers {
            let ports = headers.ports();
            self.source = Some(Endpoint { ip: headers.source, port: ports.map(|ports| ports[0]) });
            self.destination = Some(Endpoint { ip: headers.destination, port: ports.map(|ports| ports[1]) });
        }
        self.process = packet.process.map(|pid| ProcessFields::known(pid, process));
        self.hone.connection = packet.connection.map(|id| Id { id });
        self.hone.corrected = packet.is_corrected.then_some(true);
        self.hone.packet = Some(PacketFields {
            captured: packet.data.len(),
            flags: packet.flags,
            fragment_offset: headers.map(|headers| headers.fragment).filter(|offset| *offset > 0),
            icmp: headers.and_then(Headers::icmp).map(|[kind, code]| Icmp { kind, code }),
            malformed: packet.malformed,
            link_type: packet.undecoded.then_some(packet.link_type),
            interface: (packet.interface != 0).then_some(packet.interface),
            how: packet.how.map(words),
        });
    }

    fn statistics(&mut self, statistics: &Statistics<'_>) {
        self.event =
            EventFields { kind: "metric", category: &["network"], types: &["info"], action: "statistics" };
        self.hone.statistics = Some(StatisticsFields {
            packets: Counts {
                received: statistics.received,
                dropped_by_source: statistics.dropped_by_source,
                dropped_by_ring: statistics.dropped_by_ring,
                delivered: statistics.delivered,
            },
            processes: (&statistics.processes).into(),
            connections: (&statistics.connections).into(),
        });
    }
}
