//! Events as JSON, one object a line. Field names are those of the Elastic Common Schema, or `hone.*` where it has
//! none. In a text field, bytes that are not UTF-8 are replaced; the complete bytes are in `hone.bytes`, in base64.

mod fields;
mod names;
mod write;

use std::borrow::Cow;
use std::io;

use hone_names::Noted;
use hone_pcapng::{
    ConnectionEventKind, HostId, NoHash, ProcessEvent, ProcessEventKind, Section, Statistics, words,
};

use self::fields::{
    Account, AccountId, Ancestor, Boot, Bytes, Container, CorrectionFields, Counts, Digits, Document, Ecs,
    EffectiveProcess, Endpoint, EventFields, Hash, Host, Icmp, Id, Network, Os, PacketFields, ProcessFields,
    ReceiverFields, Run, SectionFields, StatisticsFields, Thread, direction, text,
};
use super::community_id::{CommunityIds, Flow};
use super::event::{Event, Packet, Shown, filtered};
use super::processes::Process;
use super::time::Times;
use crate::text::escape_json;
use hone_rows::ip::{self, Headers};
use hone_rows::text::guid_text;

/// The version of the Elastic Common Schema from which the names are.
const ECS_VERSION: &str = "8.17.0";

/// Writes objects; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    times: Times,
    packet_times: Times,
    community_ids: CommunityIds,
}

impl Objects {
    /// Appends the event's line.
    pub(crate) fn write(
        &mut self,
        shown: &Shown<'_>,
        noted: &Noted<'_>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
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
            Event::Packet(packet) => {
                let flow = packet.headers.as_ref().and_then(Flow::of);
                document.packet(packet, shown.process, flow.map(|flow| self.community_ids.of(flow)));
                document.hone.receiver = packet.receiver.map(|receiver| ReceiverFields {
                    process: receiver.process.map(|pid| ProcessFields::known(pid, shown.receiver)),
                    connection: receiver.connection.map(|id| Id { id }),
                    how: words(receiver.how),
                });
            }
            Event::Statistics(statistics) => document.statistics(statistics),
        }
        let container = shown.process.map(|process| &process.container[..]).filter(|id| !id.is_empty());
        document.container = container.map(|id| Container { id: text(id) });
        let unit = shown.process.map(|process| &process.unit[..]).filter(|unit| !unit.is_empty());
        document.hone.unit = unit.map(text);
        document.names(noted);
        let start = out.len();
        write::write(&document, out).map_err(io::Error::other)?;
        escape_json(start, out);
        out.push(b'\n');
        Ok(())
    }
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
            boot: section.boot.as_ref().map(|boot| Boot { id: guid_text(boot) }),
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
            ProcessEventKind::Hashed => ("executable-hashed", &["info"]),
            ProcessEventKind::Ended => ("end", &["end"]),
            ProcessEventKind::Other(number) => {
                self.hone.event_number = Some(number);
                ("process-event", &["info"])
            }
        };
        self.event = EventFields { kind: "event", category: &["process"], types: kinds, action };
        let mut fields = ProcessFields::known(event.process, process);
        // Complete here, although what is kept of a process is limited.
        fields.executable = event.path.as_deref().map(text).or(fields.executable);
        fields.args = event
            .arguments
            .as_deref()
            .map(|arguments| hone_rows::event::arguments(arguments).map(text).collect());
        fields.args_count = fields.args.as_ref().map(Vec::len);
        fields.command_line = event.command_line.as_deref().map(text);
        fields.vpid = event.namespace_pid;
        let ancestors = process.map(|process| &process.ancestors[..]).unwrap_or_default();
        fields.parent = event.parent.map(|pid| match ancestors.first() {
            Some(parent) if parent.pid == pid => Ancestor::new(pid, &parent.path),
            _ => Ancestor::new(pid, b""),
        });
        fields.group = Account::new(event.group, event.group_name.as_deref()).or(fields.group);
        if let Some(sid) = &event.security_id {
            let name = fields.user.and_then(|user| user.name);
            fields.user = Some(Account { id: Some(AccountId::Text(text(sid))), name });
        }
        // That of the process, if the event is about something else.
        let hash = event.hash.or_else(|| process?.hash);
        fields.hash = hash.and_then(Result::ok).map(|hash| Hash { sha256: crate::text::hexadecimal(&hash) });
        self.hone.no_hash = hash.and_then(Result::err).map(NoHash::words);
        self.process = Some(fields);
        self.hone.ancestors =
            ancestors.iter().map(|ancestor| Ancestor::new(ancestor.pid, &ancestor.path)).collect();
        self.hone.executable_uuid = process.and_then(|process| process.uuid.as_ref()).map(guid_text);
        self.hone.network_namespace = event.network_namespace;
        self.hone.run = (event.born.is_some() || event.executions.is_some())
            .then_some(Run { born: event.born, executions: event.executions });
        self.hone.bytes = Bytes::of(event);
    }

    fn packet(&mut self, packet: &Packet<'a>, process: Option<&'a Process>, community_id: Option<&'a str>) {
        let headers = packet.headers.as_ref();
        self.event =
            EventFields { kind: "event", category: &["network"], types: &["info"], action: "packet" };
        let protocol = headers.map(|headers| headers.protocol);
        self.network = Some(Network {
            kind: headers.map(|headers| if headers.source.is_ipv4() { "ipv4" } else { "ipv6" }),
            transport: protocol.and_then(ip::name),
            protocol: None,
            iana_number: protocol.map(Digits),
            direction: packet.direction().map(direction),
            bytes: packet.original_length,
            packets: 1,
            community_id,
        });
        if let Some(headers) = headers {
            let ports = headers.ports();
            self.source =
                Some(Endpoint { ip: headers.source, port: ports.map(|ports| ports[0]), domain: None });
            self.destination =
                Some(Endpoint { ip: headers.destination, port: ports.map(|ports| ports[1]), domain: None });
        }
        self.process = packet.process.map(|pid| ProcessFields {
            thread: packet.thread.map(|id| Thread { id }),
            ..ProcessFields::known(pid, process)
        });
        self.hone.frame = Some(packet.frame);
        self.hone.executable_uuid = process.and_then(|process| process.uuid.as_ref()).map(guid_text);
        self.hone.effective_process = packet
            .effective
            .map(|(pid, name)| EffectiveProcess { pid, name: (!name.is_empty()).then(|| text(name)) });
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
                filtered: filtered(statistics),
                dropped_by_source: statistics.dropped_by_source,
                dropped_by_ring: statistics.dropped_by_ring,
                delivered: statistics.delivered,
            },
            processes: (&statistics.processes).into(),
            connections: (&statistics.connections).into(),
        });
    }
}
