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

use hone_names::Noted;
use hone_pcapng::{
    ConnectionEvent, ConnectionEventKind, Corrected, Direction, EventCounts, HostId, ProcessEvent, words,
};
use hone_pcapng::{ProcessEventKind, Section, Statistics};
use hone_rows::ip;
use hone_rows::processes::{UNKNOWN, column};
use hone_rows::text::guid_text;

use super::addresses::Addresses;
use super::event::{Event, Packet, Shown, filtered};
use super::names;
use super::processes::{Ancestor, Process};
use super::time::Times;
use crate::text::{base_name, escape, known, push_hexadecimal};

/// Most ancestors of a process in a line of text. JSON has all that are known.
const MAX_ANCESTORS: usize = 16;

/// Writes lines; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    times: Times,
    packet_times: Times,
    addresses: Addresses,
    line: String,
}

impl Lines {
    /// Writes times as the local clock shows them.
    pub(crate) fn local() -> Self {
        Self { times: Times::local(), packet_times: Times::local(), ..Self::default() }
    }

    /// Appends the event's line.
    pub(crate) fn write(&mut self, shown: &Shown<'_>, noted: &Noted<'_>, out: &mut Vec<u8>) {
        self.line.clear();
        match shown.nanos {
            Some(nanos) => self.line.push_str(self.times.text(nanos)),
            None => column("-", self.times.width(), &mut self.line),
        }
        self.line.push(' ');
        self.line.push_str(kind(&shown.event));
        match shown.pid() {
            Some(pid) => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(pid);
                self.line.push_str(&"        "[digits.len().min(7)..]);
                self.line.push_str(digits);
                self.line.push(' ');
            }
            None => self.line.push_str("       - "),
        }
        self.line.push_str(shown.process.map_or(UNKNOWN, |process| process.columns.as_str()));
        match &shown.event {
            Event::Section(section) => self.section(section),
            Event::Process(event) => {
                self.process(event, shown.process);
            }
            Event::Connection(event) => self.connection(event, shown.packet_nanos),
            Event::Packet(packet) => self.packet(packet, shown.receiver),
            Event::Statistics(statistics) => self.statistics(statistics),
        }
        names::write(noted, &mut self.line);
        out.extend_from_slice(self.line.trim_end().as_bytes());
        out.push(b'\n');
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

    /// ` key=` and a number of a packet: faster than [`number`](Self::number), for there are many packets.
    fn count(&mut self, key: &str, count: Option<impl itoa::Integer>) {
        if let Some(count) = count {
            self.line.push(' ');
            self.line.push_str(key);
            self.line.push('=');
            self.line.push_str(itoa::Buffer::new().format(count));
        }
    }

    /// ` key=` and some words as one.
    fn words(&mut self, key: &str, words: Option<&str>) {
        let Some(words) = words else { return };
        self.line.push(' ');
        self.line.push_str(key);
        self.line.push('=');
        for (index, word) in words.split(' ').enumerate() {
            if index > 0 {
                self.line.push('-');
            }
            self.line.push_str(word);
        }
    }

    fn section(&mut self, section: &Section<'_>) {
        match &section.host {
            Some(HostId::Guid(guid)) => self.number("host", Some(guid_text(guid))),
            Some(HostId::Name(name)) => self.word("host", Some(name.as_bytes())),
            None => {}
        }
        self.number("boot", section.boot.as_ref().map(guid_text));
        self.word("application", section.application.as_deref());
        self.word("hardware", section.hardware.as_deref());
        self.word("os", section.os.as_deref());
    }

    fn process(&mut self, event: &ProcessEvent<'_>, process: Option<&Process>) {
        if let ProcessEventKind::Other(number) = event.kind {
            self.number("event", Some(number));
        }
        self.number("ppid", event.parent);
        if let (ProcessEventKind::Started | ProcessEventKind::Forked, Some(process)) = (event.kind, process) {
            self.ancestors(&process.ancestors);
        }
        self.number("uid", event.user);
        self.number("gid", event.group);
        self.word("group", event.group_name.as_deref());
        self.word("sid", event.security_id.as_deref());
        self.word("container", event.container.as_deref());
        self.word("unit", event.unit.as_deref());
        self.number("nspid", event.namespace_pid);
        self.number("netns", event.network_namespace);
        // A fork runs its parent's executable.
        match event.hash.filter(|_| event.kind != ProcessEventKind::Forked) {
            Some(Ok(hash)) => {
                self.line.push_str(" sha256=");
                push_hexadecimal(&hash, &mut self.line);
            }
            Some(Err(reason)) => self.words("sha256", Some(reason.words())),
            None => {}
        }
        self.number("uuid", process.and_then(|process| process.uuid.as_ref()).map(guid_text));
        self.word("path", event.path.as_deref());
        if let Some(arguments) = &event.arguments {
            self.line.push_str(" args=");
            for (index, argument) in hone_rows::event::arguments(arguments).enumerate() {
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

    /// ` ancestors=` with the process id and the name of each. A comma in a name is escaped, so that no name looks like two.
    fn ancestors(&mut self, ancestors: &[Ancestor]) {
        for (index, ancestor) in ancestors.iter().take(MAX_ANCESTORS).enumerate() {
            self.line.push_str(if index == 0 { " ancestors=" } else { "," });
            let _ = write!(self.line, "{}:", ancestor.pid);
            let mut name = String::new();
            escape(base_name(&ancestor.path), &mut name);
            self.line.push_str(&known(&name).replace(',', "\\x2c"));
        }
        if ancestors.len() > MAX_ANCESTORS {
            self.line.push_str(",...");
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

    fn packet(&mut self, packet: &Packet<'_>, receiver: Option<&Process>) {
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
        self.count("len", Some(packet.original_length));
        let captured = packet.data.len();
        self.count("captured", (captured != packet.original_length as usize).then_some(captured));
        self.words("malformed", packet.malformed);
        self.count("link", packet.undecoded.then_some(packet.link_type));
        self.count("interface", (packet.interface != 0).then_some(packet.interface));
        self.count("tid", packet.thread);
        self.count("conn", packet.connection);
        self.words("how", packet.how.map(words));
        if let Some(to) = &packet.receiver {
            self.count("to_pid", to.process);
            let known = |value: &'_ [u8]| !value.is_empty();
            self.word("to_user", receiver.map(|process| &process.user_name[..]).filter(|name| known(name)));
            self.word("to_name", receiver.map(Process::name).filter(|name| known(name)));
            self.count("to_conn", to.connection);
            self.words("to_how", Some(words(to.how)));
        }
    }

    fn endpoint(&mut self, address: IpAddr, port: Option<u16>) {
        let is_bracketed = address.is_ipv6() && port.is_some();
        self.line.push_str(if is_bracketed { " [" } else { " " });
        self.line.push_str(self.addresses.text(address));
        if is_bracketed {
            self.line.push(']');
        }
        if let Some(port) = port {
            self.line.push(':');
            self.line.push_str(itoa::Buffer::new().format(port));
        }
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
            ProcessEventKind::Hashed => "HASH",
            ProcessEventKind::Ended => "EXIT",
            ProcessEventKind::Other(_) => "PROC",
        },
        Event::Connection(_) => "SOCK",
        Event::Packet { .. } => "PAKT",
        Event::Statistics(_) => "STAT",
    }
}
