//! Events as text, one a line:
//!
//! ```text
//! TIME                           KIND     PID USER     NAME
//! 2026-07-30T12:00:00.000000001Z EXEC       7 alice    curl            ppid=1 uid=1000 gid=100 group=users ...
//! 2026-07-30T12:00:00.000000002Z SOCK       7 alice    curl            open conn=12
//! 2026-07-30T12:00:00.000000003Z PAKT       7 alice    curl            out tcp 10.0.0.1:40000 > 192.0.2.1:443 ...
//! ```
//!
//! The first five columns are always there. Each is one word, `-` if nothing is known. What follows is `key=value`,
//! except a packet's direction and addresses. A value is one word; only `args`, which comes last, can be several.

use std::fmt::Write as _;
use std::net::IpAddr;

use hone_pcapng::{
    ConnectionEvent, ConnectionEventKind, Corrected, Direction, EventCounts, HostId, ProcessEvent, words,
};
use hone_pcapng::{ProcessEventKind, Section, Statistics};

use super::event::{Event, Packet, Shown, filtered};
use super::processes::Process;
use super::time::Times;
use crate::text::{escape, known};
use crate::traffic::ip;

/// Writes lines; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    times: Times,
    packet_times: Times,
    line: String,
    word: String,
}

impl Lines {
    /// Writes times as the local clock shows them.
    pub(crate) fn local() -> Self {
        Self { times: Times::local(), packet_times: Times::local(), ..Self::default() }
    }

    /// Appends the event's line.
    pub(crate) fn write(&mut self, shown: &Shown<'_>, out: &mut Vec<u8>) {
        self.line.clear();
        match shown.nanos {
            Some(nanos) => self.line.push_str(self.times.text(nanos)),
            None => self.column("-", self.times.width()),
        }
        self.line.push(' ');
        self.line.push_str(kind(&shown.event));
        match shown.pid() {
            Some(pid) => _ = write!(self.line, " {pid:>7} "),
            None => self.line.push_str("       - "),
        }
        self.user(shown);
        self.line.push(' ');
        let name = shown.process.map_or("", |process| process.shown_name.as_str());
        self.column(known(name), 15);
        match &shown.event {
            Event::Section(section) => self.section(section),
            Event::Process(event) => self.process(event),
            Event::Connection(event) => self.connection(event, shown.packet_nanos),
            Event::Packet(packet) => self.packet(packet),
            Event::Statistics(statistics) => self.statistics(statistics),
        }
        out.extend_from_slice(self.line.trim_end().as_bytes());
        out.push(b'\n');
    }

    fn column(&mut self, text: &str, width: usize) {
        self.line.push_str(text);
        for _ in text.chars().count()..width {
            self.line.push(' ');
        }
    }

    fn user(&mut self, shown: &Shown<'_>) {
        let mut word = std::mem::take(&mut self.word);
        word.clear();
        match shown.process {
            Some(process) if !process.user_name.is_empty() => escape(&process.user_name, &mut word),
            Some(Process { user: Some(user), .. }) => _ = write!(word, "{user}"),
            Some(process) => escape(process.security_id.as_bytes(), &mut word),
            None => {}
        }
        self.column(known(&word), 8);
        self.word = word;
    }

    /// ` key=` and an escaped word, if there is one.
    fn word(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            let _ = write!(self.line, " {key}=");
            escape(value, &mut self.line);
        }
    }

    fn number(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            let _ = write!(self.line, " {key}={value}");
        }
    }

    /// ` key=` and some words as one.
    fn words(&mut self, key: &str, words: Option<&str>) {
        self.number(key, words.map(|words| words.replace(' ', "-")));
    }

    fn section(&mut self, section: &Section<'_>) {
        match &section.host {
            Some(HostId::Guid(guid)) => self.number("host", Some(guid_text(guid))),
            Some(HostId::Name(name)) => self.word("host", Some(name.as_bytes())),
            None => {}
        }
        self.word("application", section.application.as_deref());
        self.word("hardware", section.hardware.as_deref());
        self.word("os", section.os.as_deref());
    }

    fn process(&mut self, event: &ProcessEvent<'_>) {
        if let ProcessEventKind::Other(number) = event.kind {
            self.number("event", Some(number));
        }
        self.number("ppid", event.parent);
        self.number("uid", event.user);
        self.number("gid", event.group);
        self.word("group", event.group_name.as_deref());
        self.word("sid", event.security_id.as_deref());
        self.word("container", event.container.as_deref());
        self.word("unit", event.unit.as_deref());
        self.number("nspid", event.namespace_pid);
        self.number("netns", event.network_namespace);
        self.word("path", event.path.as_deref());
        if let Some(arguments) = &event.arguments {
            self.line.push_str(" args=");
            for (index, argument) in super::arguments(arguments).enumerate() {
                if index > 0 {
                    self.line.push(' ');
                }
                match argument {
                    b"" => self.line.push_str("\"\""),
                    b"\"\"" => self.line.push_str("\\x22\\x22"),
                    argument => escape(argument, &mut self.line),
                }
            }
        } else {
            self.word("command", event.command_line.as_deref());
        }
    }

    fn connection(&mut self, event: &ConnectionEvent<'_>, packet_nanos: Option<u64>) {
        match event.kind {
            ConnectionEventKind::Opened => self.line.push_str(" open"),
            ConnectionEventKind::Closed => self.line.push_str(" close"),
            ConnectionEventKind::Correction => self.line.push_str(" correction"),
            ConnectionEventKind::Other(number) => self.number("event", Some(number)),
        }
        if let Some(correction) = &event.correction {
            self.line.push_str(match correction.direction {
                Direction::Inbound => " in",
                Direction::Outbound => " out",
            });
            match correction.packets {
                Corrected::Bytes { from, to } => _ = write!(self.line, " bytes={from}..{to}"),
                Corrected::Time(_) => {
                    let time = packet_nanos.map_or("-", |nanos| self.packet_times.text(nanos));
                    let _ = write!(self.line, " time={time}");
                }
            }
            self.words("how", correction.how.map(words));
        }
        self.number("conn", Some(event.connection));
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        self.line.push_str(match packet.direction() {
            Some(Direction::Inbound) => " in  ",
            Some(Direction::Outbound) => " out ",
            None => " -   ",
        });
        if let Some(headers) = &packet.headers {
            match ip::name(headers.protocol) {
                Some(name) => self.line.push_str(name),
                None => _ = write!(self.line, "proto-{}", headers.protocol),
            }
            let ports = headers.ports();
            self.endpoint(headers.source, ports.map(|ports| ports[0]));
            self.line.push_str(" >");
            self.endpoint(headers.destination, ports.map(|ports| ports[1]));
            if let Some([kind, code]) = headers.icmp() {
                let _ = write!(self.line, " type={kind} code={code}");
            }
            self.number("fragment", (headers.fragment > 0).then_some(headers.fragment));
        } else {
            self.line.push('-');
        }
        let _ = write!(self.line, " len={}", packet.original_length);
        let captured = packet.data.len();
        self.number("captured", (captured != packet.original_length as usize).then_some(captured));
        self.words("malformed", packet.malformed);
        self.number("link", packet.undecoded.then_some(packet.link_type));
        self.number("interface", (packet.interface != 0).then_some(packet.interface));
        self.number("conn", packet.connection);
        self.words("how", packet.how.map(words));
    }

    fn endpoint(&mut self, address: IpAddr, port: Option<u16>) {
        let _ = match (address, port) {
            (address, None) => write!(self.line, " {address}"),
            (IpAddr::V4(address), Some(port)) => write!(self.line, " {address}:{port}"),
            (IpAddr::V6(address), Some(port)) => write!(self.line, " [{address}]:{port}"),
        };
    }

    fn statistics(&mut self, statistics: &Statistics<'_>) {
        let packets = EventCounts {
            received: statistics.received,
            dropped_by_source: statistics.dropped_by_source,
            dropped_by_ring: statistics.dropped_by_ring,
            delivered: statistics.delivered,
        };
        for (what, counts, filtered) in [
            ("packets", &packets, filtered(statistics)),
            ("processes", &statistics.processes, None),
            ("connections", &statistics.connections, None),
        ] {
            for (key, count) in [
                ("received", counts.received),
                ("filtered", filtered),
                ("dropped_by_source", counts.dropped_by_source),
                ("dropped_by_ring", counts.dropped_by_ring),
                ("delivered", counts.delivered),
            ] {
                if let Some(count) = count {
                    let _ = write!(self.line, " {what}.{key}={count}");
                }
            }
        }
    }
}

/// Four letters for each kind of event.
fn kind(event: &Event<'_>) -> &'static str {
    match event {
        Event::Section(_) => "HEAD",
        Event::Process(event) => match event.kind {
            ProcessEventKind::Started => "EXEC",
            ProcessEventKind::Forked => "FORK",
            ProcessEventKind::KernelThread => "KTHR",
            ProcessEventKind::Ended => "EXIT",
            ProcessEventKind::Other(_) => "PROC",
        },
        Event::Connection(_) => "SOCK",
        Event::Packet { .. } => "PAKT",
        Event::Statistics(_) => "STAT",
    }
}

/// A machine's identity in the usual form of a GUID, in the order of its bytes.
pub(crate) fn guid_text(guid: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (index, byte) in guid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}
