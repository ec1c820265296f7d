//! A recording of a host whose traffic everybody knows, made block by block.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, HostId, Interface, Method, NoOwner, Packet,
    ProcessEvent, ProcessEventKind, Resolution, Section, Statistics,
};

/// 2026-07-30 12:00:00 UTC.
pub(crate) const NOON: u64 = 1_785_412_800_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
const ORDER: ByteOrder = ByteOrder::Little;
/// The largest packet.
const MOST: u32 = 1500;

/// A process that a recording has.
pub(crate) struct Program<'a> {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) path: &'a str,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) user: &'a str,
    pub(crate) unit: &'a str,
}

/// A connection, whole.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) id: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) at: u64,
    pub(crate) lasts: u64,
    pub(crate) protocol: u8,
    pub(crate) local: (Ipv4Addr, u16),
    pub(crate) remote: (Ipv4Addr, u16),
    pub(crate) is_out: bool,
    pub(crate) sent: u32,
    pub(crate) received: u32,
}

/// A recording in the making.
pub(crate) struct Recording {
    head: Vec<u8>,
    blocks: Vec<(u64, Vec<u8>)>,
    packets: u64,
}

impl Recording {
    pub(crate) fn of(host: &str) -> Self {
        let mut head = Vec::new();
        let section = Section {
            os: Some(Cow::Borrowed(b"Linux 6.18.2 x86_64")),
            application: Some(Cow::Borrowed(b"honeutil 0.1.0")),
            host: Some(HostId::Name(host.into())),
            ..Section::default()
        };
        section.emit(ORDER, &mut head).unwrap();
        let interface = Interface {
            link_type: 101,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        };
        interface.emit(ORDER, &mut head).unwrap();
        Self { head, blocks: Vec::new(), packets: 0 }
    }

    fn put(&mut self, at: u64, block: &Block<'_>) {
        let mut bytes = Vec::new();
        block.emit(ORDER, &mut bytes).unwrap();
        self.blocks.push((at, bytes));
    }

    pub(crate) fn start(&mut self, at: u64, program: &Program<'_>) {
        let arguments: Vec<u8> =
            program.arguments.iter().flat_map(|one| [one.as_bytes(), &[0]].concat()).collect();
        let event = ProcessEvent {
            process: program.pid,
            timestamp: at,
            path: Some(Cow::Borrowed(program.path.as_bytes())),
            arguments: Some(Cow::Owned(arguments)),
            parent: Some(program.parent),
            user: Some(if program.user == "root" { 0 } else { 1000 }),
            user_name: Some(Cow::Borrowed(program.user.as_bytes())),
            unit: (!program.unit.is_empty()).then_some(Cow::Borrowed(program.unit.as_bytes())),
            ..ProcessEvent::default()
        };
        self.put(at, &Block::Process(event));
    }

    pub(crate) fn end(&mut self, at: u64, pid: u32) {
        let kind = ProcessEventKind::Ended;
        self.put(
            at,
            &Block::Process(ProcessEvent { process: pid, timestamp: at, kind, ..ProcessEvent::default() }),
        );
    }

    fn socket(&mut self, at: u64, talk: &Talk, kind: ConnectionEventKind) {
        let Some(process) = talk.pid else { return };
        let event = ConnectionEvent {
            connection: talk.id,
            process,
            timestamp: at,
            kind,
            ..ConnectionEvent::default()
        };
        self.put(at, &Block::Connection(event));
    }

    /// A packet of which only the headers are recorded.
    fn packet(&mut self, at: u64, talk: &Talk, is_out: bool, length: u32, flags: u8) {
        self.packet_with(at, talk, is_out, length, flags, &[]);
    }

    /// A whole datagram.
    fn datagram(&mut self, at: u64, talk: &Talk, is_out: bool, content: &[u8]) {
        self.packet_with(at, talk, is_out, 28 + u32::try_from(content.len()).unwrap(), 0, content);
    }

    fn packet_with(&mut self, at: u64, talk: &Talk, is_out: bool, length: u32, flags: u8, content: &[u8]) {
        let [source, destination] =
            if is_out { [talk.local, talk.remote] } else { [talk.remote, talk.local] };
        let mut data = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, talk.protocol, 0, 0];
        data[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        data.extend(source.0.octets());
        data.extend(destination.0.octets());
        data.extend(source.1.to_be_bytes());
        data.extend(destination.1.to_be_bytes());
        if talk.protocol == 6 {
            data.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        } else {
            data.extend(u16::try_from(length - 20).unwrap().to_be_bytes());
            data.extend([0, 0]);
        }
        data.extend(content);
        let packet = Packet {
            timestamp: at,
            original_length: length,
            data: Cow::Owned(data),
            flags: Some(if is_out { 2 } else { 1 }),
            connection: talk.pid.map(|_| talk.id),
            process: talk.pid,
            how: Some(if talk.pid.is_some() { Ok(Method::CurrentTask) } else { Err(NoOwner::NoSocket) }),
            ..Packet::default()
        };
        self.packets += 1;
        self.put(at, &Block::Packet(packet));
    }

    /// Everything of a connection: its sockets' events, and packets of at most 1500 bytes.
    pub(crate) fn talk(&mut self, talk: &Talk) {
        let is_tcp = talk.protocol == 6;
        self.socket(talk.at, talk, ConnectionEventKind::Opened);
        let mut lengths = Vec::new();
        if is_tcp {
            lengths.extend([(talk.is_out, 60, 2), (!talk.is_out, 60, 0x12)]);
        }
        let mut left = [(talk.is_out, talk.sent), (!talk.is_out, talk.received)];
        if !talk.is_out {
            left = [(false, talk.received), (true, talk.sent)];
        }
        while left.iter().any(|(_, bytes)| *bytes > 0) {
            for (is_out, bytes) in &mut left {
                let length = (*bytes).min(MOST);
                if length > 0 {
                    lengths.push((*is_out, length.max(48), 0x18));
                    *bytes -= length;
                }
            }
        }
        let count = lengths.len() as u64;
        for (number, (is_out, length, flags)) in (1..).zip(lengths) {
            self.packet(talk.at + number * talk.lasts / (count + 1), talk, is_out, length, flags);
        }
        self.socket(talk.at + talk.lasts, talk, ConnectionEventKind::Closed);
    }

    /// A question of DNS and its answer: an address of a name.
    pub(crate) fn lookup(&mut self, talk: &Talk, name: &str, address: Ipv4Addr) {
        let labels: Vec<u8> = name
            .split('.')
            .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
            .collect();
        let question = [&labels[..], &[0, 0, 1, 0, 1]].concat();
        let ask = [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let record = [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0x2A, 0x30, 0, 4][..], &address.octets()].concat();
        let answer = [&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], &question, &record].concat();
        self.socket(talk.at, talk, ConnectionEventKind::Opened);
        self.datagram(talk.at + 1000, talk, true, &ask);
        self.datagram(talk.at + SECOND / 100, talk, false, &answer);
        self.socket(talk.at + SECOND / 50, talk, ConnectionEventKind::Closed);
    }

    /// The stream, in the order of time, with statistics at its end.
    pub(crate) fn finish(mut self, dropped: u64) -> Vec<u8> {
        self.blocks.sort_by_key(|(at, _)| *at);
        let at = self.blocks.last().map_or(NOON, |(at, _)| *at);
        let statistics = Statistics {
            timestamp: at,
            received: Some(self.packets + dropped),
            dropped_by_source: Some(dropped),
            dropped_by_ring: Some(0),
            accepted: Some(self.packets),
            delivered: Some(self.packets),
            ..Statistics::default()
        };
        self.put(at, &Block::Statistics(statistics));
        let mut bytes = self.head;
        bytes.extend(self.blocks.into_iter().flat_map(|(_, block)| block));
        bytes
    }
}

/// Numbers that look like chance, the same each time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
/// Where the program that calls home sends to.
pub(crate) const HOME: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 77), 443);

/// Two hours of a web server: requests, a database, updates, a login, and a program that calls home each minute.
pub(crate) fn web_server(host: &str, seed: u64) -> Vec<u8> {
    let mut recording = Recording::of(host);
    let mut chance = Chance(seed);
    let program =
        |pid, parent, path, arguments, user, unit| Program { pid, parent, path, arguments, user, unit };
    let before = NOON - 5 * SECOND;
    let running = [
        program(1, 0, "/usr/lib/systemd/systemd", &["/sbin/init"][..], "root", "init.scope"),
        program(410, 1, "/usr/sbin/sshd", &["sshd: /usr/sbin/sshd -D"], "root", "ssh.service"),
        program(
            520,
            1,
            "/usr/sbin/nginx",
            &["nginx: master process /usr/sbin/nginx"],
            "root",
            "nginx.service",
        ),
        program(521, 520, "/usr/sbin/nginx", &["nginx: worker process"], "www-data", "nginx.service"),
        program(522, 520, "/usr/sbin/nginx", &["nginx: worker process"], "www-data", "nginx.service"),
        program(
            640,
            1,
            "/usr/lib/postgresql/17/bin/postgres",
            &["postgres", "-D", "/var/lib/postgresql/17"],
            "postgres",
            "postgresql.service",
        ),
        program(700, 1, "/usr/sbin/cron", &["cron", "-f"], "root", "cron.service"),
        program(
            720,
            1,
            "/usr/lib/systemd/systemd-resolved",
            &["systemd-resolved"],
            "systemd-resolve",
            "systemd-resolved.service",
        ),
        program(730, 1, "/usr/sbin/chronyd", &["chronyd", "-F", "1"], "_chrony", "chrony.service"),
    ];
    running.iter().for_each(|one| recording.start(before, one));
    let later = [
        (600, program(2101, 410, "/usr/sbin/sshd", &["sshd: alice [priv]"][..], "root", "session-4.scope")),
        (601, program(2102, 2101, "/usr/bin/bash", &["-bash"], "alice", "session-4.scope")),
        (
            660,
            program(
                2110,
                2102,
                "/usr/bin/git",
                &["git", "pull", "--ff-only", "origin"],
                "alice",
                "session-4.scope",
            ),
        ),
        (1200, program(2200, 2102, "/usr/bin/apt", &["apt", "upgrade", "-y"], "root", "session-4.scope")),
        (
            1201,
            program(
                2201,
                2200,
                "/usr/lib/apt/methods/https",
                &["/usr/lib/apt/methods/https"],
                "_apt",
                "session-4.scope",
            ),
        ),
        (
            1500,
            program(
                2300,
                700,
                "/usr/bin/dash",
                &["/bin/sh", "-c", "/tmp/.cache/upd -q"],
                "www-data",
                "cron.service",
            ),
        ),
        (
            1501,
            program(
                2301,
                2300,
                "/tmp/.cache/upd",
                &["/tmp/.cache/upd", "-q", "--to", "203.0.113.77"],
                "www-data",
                "cron.service",
            ),
        ),
    ];
    later.iter().for_each(|(at, one)| recording.start(NOON + at * SECOND, one));
    let mut id = 1000;
    let mut talk =
        |pid: Option<u32>, at: u64, lasts: u64, protocol, local: u16, remote, is_out, sent, received| {
            id += 1;
            let local =
                (LOCAL, if local == 0 { 32_768 + u16::try_from(id % 28_000).unwrap() } else { local });
            let talk = Talk { id, pid, at, lasts, protocol, local, remote, is_out, sent, received };
            recording.talk(&talk);
        };
    let outside = |chance: &mut Chance| {
        let nets = [[198, 51, 100], [203, 0, 113], [192, 0, 2]];
        let net = nets[usize::try_from(chance.below(3)).unwrap()];
        Ipv4Addr::new(net[0], net[1], net[2], u8::try_from(1 + chance.below(40)).unwrap())
    };
    for number in 0..700_u64 {
        let at = NOON + chance.below(7200) * SECOND + chance.below(SECOND);
        let worker = 521 + u32::try_from(number % 2).unwrap();
        let peer = (outside(&mut chance), 30_000 + u16::try_from(chance.below(30_000)).unwrap());
        let sent = 1200 + u32::try_from(chance.below(24_000)).unwrap();
        talk(Some(worker), at, 2 * SECOND, 6, 443, peer, false, sent, 700);
        if number % 3 == 0 {
            let database = (Ipv4Addr::new(10, 20, 0, 9), 5432);
            talk(Some(worker), at + SECOND / 4, SECOND, 6, 0, database, true, 900, 6000);
        }
    }
    for number in 0..90_u64 {
        let wobble = chance.below(SECOND);
        talk(Some(2301), NOON + (1510 + 60 * number) * SECOND + wobble, SECOND, 6, 0, HOME, true, 420, 180);
    }
    for number in 0..112_u64 {
        let server = (Ipv4Addr::new(198, 51, 100, 123), 123);
        talk(Some(730), NOON + (11 + 64 * number) * SECOND, SECOND / 20, 17, 0, server, true, 76, 76);
    }
    talk(
        Some(2101),
        NOON + 600 * SECOND,
        5000 * SECOND,
        6,
        22,
        (Ipv4Addr::new(10, 20, 3, 44), 51_022),
        false,
        240_000,
        60_000,
    );
    talk(
        Some(2110),
        NOON + 661 * SECOND,
        20 * SECOND,
        6,
        0,
        (Ipv4Addr::new(192, 0, 2, 61), 443),
        true,
        12_000,
        1_400_000,
    );
    for number in 0..12_u64 {
        let mirror = (Ipv4Addr::new(192, 0, 2, 80), 443);
        talk(Some(2201), NOON + (1203 + number * 4) * SECOND, 9 * SECOND, 6, 0, mirror, true, 4000, 700_000);
    }
    talk(
        Some(2301),
        NOON + 3000 * SECOND,
        60 * SECOND,
        6,
        4444,
        (Ipv4Addr::new(203, 0, 113, 78), 40_112),
        false,
        380_000,
        9000,
    );
    for number in 0..60_u16 {
        let at = NOON + chance.below(7200) * SECOND;
        let scanner = (Ipv4Addr::new(198, 51, 100, 200), 55_000 + number);
        talk(None, at, SECOND / 100, 6, 1000 + 17 * number, scanner, false, 0, 0);
    }
    let addresses = [
        (2, "ntp.example.net", [198, 51, 100, 123]),
        (3, "db.internal.example", [10, 20, 0, 9]),
        (660, "git.example.org", [192, 0, 2, 61]),
        (1202, "mirror.example.org", [192, 0, 2, 80]),
        (1505, "cdn-update.example.com", HOME.0.octets()),
    ];
    for (number, (at, name, address)) in (0..).zip(addresses) {
        let local = (LOCAL, 50_000 + u16::try_from(number).unwrap());
        let (at, remote) = (NOON + at * SECOND, (Ipv4Addr::new(10, 20, 0, 1), 53));
        let talk = Talk {
            id: 500 + number,
            pid: Some(720),
            at,
            lasts: 0,
            protocol: 17,
            local,
            remote,
            is_out: true,
            sent: 0,
            received: 0,
        };
        recording.lookup(&talk, name, address.into());
    }
    recording.end(NOON + 690 * SECOND, 2110);
    recording.end(NOON + 1270 * SECOND, 2201);
    recording.end(NOON + 1271 * SECOND, 2200);
    recording.finish(12)
}
