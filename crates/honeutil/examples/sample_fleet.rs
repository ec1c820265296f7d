//! Writes the recordings of docs/analysis.md: three hosts, two days, always the same. `sample_fleet DIR`.
//!
//! A laptop runs curl from a shell, which asks a name server and fetches from a web server; this asks a database. Just
//! before midnight and just after it; both servers were started the day before.

use std::borrow::Cow;
use std::path::PathBuf;

use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, EventCounts, HostId, How, Interface, Method,
    NoOwner, Packet, ProcessEvent, ProcessEventKind, Resolution, Section, Statistics,
};

/// 2026-07-30 23:59:00 UTC.
const EVENING: u64 = 1_785_455_940_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
const LAPTOP: [u8; 4] = [192, 0, 2, 10];
const WEB: [u8; 4] = [192, 0, 2, 20];
const DATABASE: [u8; 4] = [192, 0, 2, 30];
const NAMES: [u8; 4] = [192, 0, 2, 53];

/// The recording of a host.
struct Recording {
    bytes: Vec<u8>,
    at: u64,
    packets: u64,
}

/// Addresses and ports of both ends; the first is this host's.
#[derive(Clone, Copy)]
struct Ends(([u8; 4], u16), ([u8; 4], u16));

impl Recording {
    fn of(name: &'static str, boot: u8) -> Self {
        let mut recording = Self { bytes: Vec::new(), at: EVENING - DAY, packets: 0 };
        recording.block(&Block::Section(Section {
            hardware: Some(Cow::Borrowed(b"x86_64")),
            os: Some(Cow::Owned(format!("Linux {name} 6.18").into_bytes())),
            application: Some(Cow::Borrowed(b"Hone 0.1.0")),
            host: Some(HostId::Name(Cow::Borrowed(name))),
            boot: Some([boot; 16]),
            ..Section::default()
        }));
        recording.block(&Block::Interface(Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        }));
        recording
    }

    fn block(&mut self, block: &Block<'_>) {
        block.emit(ByteOrder::Little, &mut self.bytes).expect("there is memory");
    }

    fn now(&mut self) -> u64 {
        self.at += SECOND / 1000;
        self.at
    }

    fn process(
        &mut self,
        process: u32,
        kind: ProcessEventKind,
        parent: u32,
        path: &str,
        arguments: &str,
        unit: &str,
    ) {
        let timestamp = self.now();
        let text = |text: &str| (!text.is_empty()).then(|| Cow::<[u8]>::Owned(text.as_bytes().to_vec()));
        let user = if unit == "nginx.service" { (33, "www-data") } else { (1000, "alice") };
        self.block(&Block::Process(ProcessEvent {
            process,
            timestamp,
            kind,
            parent: Some(parent),
            path: text(path),
            arguments: text(&arguments.replace(' ', "\0")).map(|mut all| {
                all.to_mut().push(0);
                all
            }),
            user: (kind != ProcessEventKind::Ended).then_some(user.0),
            user_name: (kind != ProcessEventKind::Ended).then_some(Cow::Borrowed(user.1.as_bytes())),
            unit: text(unit),
            born: (kind != ProcessEventKind::Ended).then_some(u64::from(process) * SECOND),
            executions: match kind {
                ProcessEventKind::Started => Some(2),
                ProcessEventKind::Forked => Some(1),
                _ => None,
            },
            ..ProcessEvent::default()
        }));
    }

    fn connection(&mut self, connection: u64, process: u32, kind: ConnectionEventKind) {
        let timestamp = self.now();
        let event = ConnectionEvent { connection, process, timestamp, kind, ..ConnectionEvent::default() };
        self.block(&Block::Connection(event));
    }

    fn packet(
        &mut self,
        outbound: bool,
        id: Option<u64>,
        pid: Option<u32>,
        ends: Ends,
        protocol: u8,
        transport: &[u8],
    ) {
        let timestamp = self.now();
        let (source, destination) = if outbound { (ends.0, ends.1) } else { (ends.1, ends.0) };
        let mut data = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        data.extend(source.0.iter().chain(&destination.0));
        data.extend([source.1.to_be_bytes(), destination.1.to_be_bytes()].concat());
        data.extend(transport);
        let length = u32::try_from(data.len()).expect("it is short");
        data[2..4].copy_from_slice(&length.to_be_bytes()[2..]);
        let how: How = pid.map(|_| Method::CurrentTask).ok_or(NoOwner::NoSocket);
        self.packets += 1;
        self.block(&Block::Packet(Packet {
            timestamp,
            original_length: length,
            data: Cow::Owned(data),
            flags: Some(if outbound { 2 } else { 1 }),
            connection: id,
            process: pid,
            how: Some(how),
            ..Packet::default()
        }));
    }

    /// A segment with these flags and so many bytes.
    fn tcp(&mut self, outbound: bool, id: u64, pid: u32, ends: Ends, flags: u8, bytes: usize) {
        let mut rest = vec![0; 16 + bytes];
        (rest[8], rest[9]) = (0x50, flags);
        self.packet(outbound, Some(id), Some(pid), ends, 6, &rest);
    }

    /// A connection that is opened, asks with some bytes, is answered with others, and is closed. `began`: by this host.
    fn exchange(&mut self, id: u64, pid: u32, ends: Ends, began: bool, asked: usize, answered: usize) {
        self.connection(id, pid, ConnectionEventKind::Opened);
        for (from_client, flags, bytes) in [
            (true, 0x02, 0),
            (false, 0x12, 0),
            (true, 0x18, asked),
            (false, 0x18, answered),
            (true, 0x11, 0),
            (false, 0x11, 0),
        ] {
            self.tcp(from_client == began, id, pid, ends, flags, bytes);
        }
        self.connection(id, pid, ConnectionEventKind::Closed);
    }

    /// A question for the web server's address, and the answer.
    fn lookup(&mut self, id: u64, pid: u32, port: u16) {
        let ends = Ends((LAPTOP, port), (NAMES, 53));
        let question = b"\x03web\x07example\0\0\x01\0\x01";
        let message = |flags: [u8; 2], answers: u8, rest: &[u8]| {
            [&[0, 7][..], &flags, &[0, 1, 0, answers, 0, 0, 0, 0], question, rest].concat()
        };
        let answer = [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &WEB].concat();
        self.connection(id, pid, ConnectionEventKind::Opened);
        for (outbound, message) in
            [(true, message([1, 0], 0, &[])), (false, message([0x81, 0x80], 1, &answer))]
        {
            let length = u16::try_from(8 + message.len()).expect("it is short").to_be_bytes();
            self.packet(outbound, Some(id), Some(pid), ends, 17, &[&length[..], &[0, 0], &message].concat());
        }
        self.connection(id, pid, ConnectionEventKind::Closed);
    }

    fn finish(mut self) -> Vec<u8> {
        let counts = EventCounts::default();
        let timestamp = self.now();
        let statistics = Statistics {
            timestamp,
            received: Some(self.packets + 2),
            dropped_by_source: Some(2),
            dropped_by_ring: Some(0),
            delivered: Some(self.packets),
            processes: counts,
            ..Statistics::default()
        };
        self.block(&Block::Statistics(statistics));
        self.bytes
    }
}

/// What happens at this second after the evening's, on the laptop, by the number of a fetch.
fn fetches() -> impl Iterator<Item = (u16, u64)> {
    (0..12_u16).map(|number| (number, EVENING + u64::from(number) * 10 * SECOND))
}

fn laptop() -> Vec<u8> {
    let mut host = Recording::of("laptop", 1);
    host.process(1, ProcessEventKind::Started, 0, "/usr/lib/systemd/systemd", "/sbin/init", "init.scope");
    host.process(900, ProcessEventKind::Started, 1, "/usr/bin/bash", "bash", "session-2.scope");
    for (number, at) in fetches() {
        host.at = at;
        let (pid, id, port) = (1000 + u32::from(number), 100 + 2 * u64::from(number), 40_000 + number);
        host.process(pid, ProcessEventKind::Forked, 900, "", "bash", "session-2.scope");
        host.process(
            pid,
            ProcessEventKind::Started,
            900,
            "/usr/bin/curl",
            "curl -sO https://web.example/report",
            "session-2.scope",
        );
        host.lookup(id, pid, 50_000 + number);
        host.exchange(
            id + 1,
            pid,
            Ends((LAPTOP, port), (WEB, 443)),
            true,
            300,
            1000 + 10 * usize::from(number),
        );
        host.process(pid, ProcessEventKind::Ended, 900, "", "", "");
    }
    // Somebody looks for open ports.
    for port in [22, 23, 3389] {
        host.packet(
            false,
            None,
            None,
            Ends((LAPTOP, port), (DATABASE, 60_000)),
            6,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0],
        );
    }
    host.finish()
}

fn web() -> Vec<u8> {
    let mut host = Recording::of("web-1", 2);
    host.process(1, ProcessEventKind::Started, 0, "/usr/lib/systemd/systemd", "/sbin/init", "init.scope");
    host.process(500, ProcessEventKind::Started, 1, "/usr/sbin/nginx", "nginx -g daemon", "nginx.service");
    host.process(501, ProcessEventKind::Forked, 500, "/usr/sbin/nginx", "nginx: worker", "nginx.service");
    for (number, at) in fetches() {
        // Its clock is 2 ms behind; and a packet of the laptop takes 1 ms.
        host.at = at + 3 * SECOND / 1000;
        let (id, port) = (7000 + 2 * u64::from(number), 40_000 + number);
        host.exchange(id, 501, Ends((WEB, 443), (LAPTOP, port)), false, 300, 1000 + 10 * usize::from(number));
        host.exchange(id + 1, 501, Ends((WEB, 35_000 + number), (DATABASE, 5432)), true, 80, 200);
    }
    host.finish()
}

fn database() -> Vec<u8> {
    let mut host = Recording::of("db-1", 3);
    host.process(1, ProcessEventKind::Started, 0, "/usr/lib/systemd/systemd", "/sbin/init", "init.scope");
    host.process(
        700,
        ProcessEventKind::Started,
        1,
        "/usr/lib/postgresql/17/bin/postgres",
        "postgres -D /srv/db",
        "postgresql.service",
    );
    for (number, at) in fetches() {
        host.at = at + 12 * SECOND / 1000;
        let ends = Ends((DATABASE, 5432), (WEB, 35_000 + number));
        host.exchange(9000 + u64::from(number), 700, ends, false, 80, 200);
    }
    // Not what a database does.
    host.process(
        701,
        ProcessEventKind::Forked,
        700,
        "/usr/lib/postgresql/17/bin/postgres",
        "postgres",
        "postgresql.service",
    );
    host.process(701, ProcessEventKind::Started, 700, "/tmp/.x", "/tmp/.x --scan", "postgresql.service");
    for port in [22, 23, 3389] {
        host.connection(u64::from(port), 701, ConnectionEventKind::Opened);
        host.tcp(true, port.into(), 701, Ends((DATABASE, 60_000), (LAPTOP, port)), 2, 0);
    }
    host.finish()
}

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("usage: sample_fleet DIR"));
    for (name, bytes) in [("laptop", laptop()), ("web-1", web()), ("db-1", database())] {
        std::fs::write(directory.join(name).with_extension("pcapng"), bytes)?;
    }
    Ok(())
}
