//! Recordings made block by block.

use std::borrow::Cow;

use hone_pcapng::{
    Block, ByteOrder, ConnectionEvent, ConnectionEventKind, Corrected, Correction, Direction, EventCounts,
    HostId, How, Interface, Method, NoHash, NoOwner, Packet, ProcessEvent, ProcessEventKind, Resolution,
    Section, Statistics,
};

/// 2026-07-30 12:00:00 UTC.
pub(crate) const NOON: u64 = 1_785_412_800_000_000_000;
pub(crate) const CONTAINER: &[u8] = b"3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b59687a3f4a0c1de2b5a";
pub(crate) const WIDE: u64 = 1 << 40 | 5;

/// A stream in the making; each event is a microsecond later than the one before.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    order: ByteOrder,
    at: u64,
}

impl Stream {
    /// Begins with a section and an interface for packets that begin with their IP header.
    pub(crate) fn new(order: ByteOrder) -> Self {
        Self::with_link_type(order, 101)
    }

    pub(crate) fn with_link_type(order: ByteOrder, link_type: u16) -> Self {
        let mut stream = Self { bytes: Vec::new(), order, at: NOON };
        stream.section(link_type);
        stream
    }

    pub(crate) fn section(&mut self, link_type: u16) {
        self.section_of(link_type, Some(HostId::Guid(*b"0123456789abcdef")));
    }

    pub(crate) fn section_of(&mut self, link_type: u16, host: Option<HostId<'_>>) {
        let section = Section {
            hardware: Some(Cow::Borrowed(b"x86_64")),
            os: Some(Cow::Borrowed(b"Linux box 6.18")),
            application: Some(Cow::Borrowed(b"Hone 0.1.0")),
            host,
            ..Section::default()
        };
        section.emit(self.order, &mut self.bytes).unwrap();
        let interface = Interface {
            link_type,
            snap_length: 0,
            description: None,
            resolution: Resolution::NANOS,
            offset_seconds: 0,
            other: Vec::new(),
        };
        interface.emit(self.order, &mut self.bytes).unwrap();
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.at += 1000;
        self.at
    }

    /// As `Default`, but for what `fill` sets.
    pub(crate) fn process(
        &mut self,
        process: u32,
        kind: ProcessEventKind,
        fill: impl FnOnce(&mut ProcessEvent<'_>),
    ) {
        let mut event = ProcessEvent { process, kind, timestamp: self.tick(), ..ProcessEvent::default() };
        fill(&mut event);
        event.emit(self.order, &mut self.bytes).unwrap();
    }

    pub(crate) fn exec(&mut self, process: u32, path: &[u8], user: u32, name: &[u8]) {
        self.process(process, ProcessEventKind::Started, |event| {
            event.path = Some(Cow::Owned(path.to_vec()));
            event.parent = Some(1);
            event.user = Some(user);
            event.user_name = Some(Cow::Owned(name.to_vec()));
        });
    }

    pub(crate) fn connection(&mut self, connection: u64, process: u32, kind: ConnectionEventKind) {
        let timestamp = self.tick();
        let event = ConnectionEvent { connection, process, timestamp, kind, ..ConnectionEvent::default() };
        event.emit(self.order, &mut self.bytes).unwrap();
    }

    /// A correction of received packets. `process` 0: they have none.
    pub(crate) fn correction(&mut self, connection: u64, process: u32, packets: Corrected, how: How) {
        let event = ConnectionEvent {
            connection,
            process,
            timestamp: self.tick(),
            kind: ConnectionEventKind::Correction,
            correction: Some(Correction { packets, direction: Direction::Inbound, how: Some(how) }),
            ..ConnectionEvent::default()
        };
        event.emit(self.order, &mut self.bytes).unwrap();
    }

    /// The time of the latest event.
    pub(crate) fn now(&self) -> u64 {
        self.at
    }

    pub(crate) fn packet(&mut self, data: &[u8], flags: u32, connection: Option<u64>, process: Option<u32>) {
        let timestamp = self.tick();
        let packet = Packet {
            timestamp,
            original_length: u32::try_from(data.len()).unwrap(),
            data: Cow::Borrowed(data),
            flags: Some(flags),
            connection,
            process,
            how: Some(if process.is_some() { Ok(Method::CurrentTask) } else { Err(NoOwner::Kernel) }),
            ..Packet::default()
        };
        packet.emit(self.order, &mut self.bytes).unwrap();
    }

    /// A block of any type.
    pub(crate) fn block(&mut self, block: &Block<'_>) {
        block.emit(self.order, &mut self.bytes).unwrap();
    }

    pub(crate) fn statistics(&mut self) {
        let counts = EventCounts { received: Some(6), delivered: Some(6), ..EventCounts::default() };
        let statistics = Statistics {
            timestamp: self.tick(),
            received: Some(7),
            dropped_by_source: Some(1),
            dropped_by_ring: Some(0),
            delivered: Some(6),
            processes: counts,
            ..Statistics::default()
        };
        statistics.emit(self.order, &mut self.bytes).unwrap();
    }

    pub(crate) fn foreign(&mut self) {
        let block = Block::Unknown { kind: 7, body: Cow::Borrowed(b"whatever") };
        block.emit(self.order, &mut self.bytes).unwrap();
    }
}

pub(crate) fn v4(protocol: u8, source: [u8; 4], destination: [u8; 4], transport: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20];
    let length = u16::try_from(20 + transport.len()).unwrap();
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[8..10].copy_from_slice(&[64, protocol]);
    packet[12..16].copy_from_slice(&source);
    packet[16..20].copy_from_slice(&destination);
    packet.extend_from_slice(transport);
    packet
}

pub(crate) fn v6(protocol: u8, source: u8, destination: u8, transport: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&u16::try_from(transport.len()).unwrap().to_be_bytes());
    packet[6..8].copy_from_slice(&[protocol, 64]);
    packet[8..10].copy_from_slice(&[0xfe, 0x80]);
    packet[24..26].copy_from_slice(&[0xfe, 0x80]);
    (packet[23], packet[39]) = (source, destination);
    packet.extend_from_slice(transport);
    packet
}

/// A file in libpcap's classic format, with the packets a second apart from noon on and `fraction` behind it.
pub(crate) fn classic(
    magic: u32,
    order: ByteOrder,
    link_type: u32,
    fraction: u32,
    packets: &[Vec<u8>],
) -> Vec<u8> {
    let word = |word: u32| match order {
        ByteOrder::Little => word.to_le_bytes(),
        ByteOrder::Big => word.to_be_bytes(),
    };
    let version = match order {
        ByteOrder::Little => [2, 0, 4, 0],
        ByteOrder::Big => [0, 2, 0, 4],
    };
    let mut file = [word(magic), version, [0; 4], [0; 4], word(262_144), word(link_type)].concat();
    for (second, packet) in (u32::try_from(NOON / 1_000_000_000).unwrap()..).zip(packets) {
        let length = u32::try_from(packet.len()).unwrap();
        file.extend([second, fraction, length, length].map(word).concat());
        file.extend(packet);
    }
    file
}

pub(crate) fn tcp(source: u16, destination: u16, data: usize) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.resize(20 + data, b'x');
    header[4..20].fill(0);
    (header[12], header[13]) = (0x50, 0x18);
    header
}

/// The same, from this sequence number on.
pub(crate) fn tcp_from(sequence: u32, source: u16, destination: u16, data: usize) -> Vec<u8> {
    let mut segment = tcp(source, destination, data);
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment
}

pub(crate) fn udp(source: u16, destination: u16, data: usize) -> Vec<u8> {
    let length = u16::try_from(8 + data).unwrap();
    let mut header = [source.to_be_bytes(), destination.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    header.resize(8 + data, b'x');
    header
}

/// Two processes of two users, three connections of both dialects, packets of all kinds.
pub(crate) fn everyday(order: ByteOrder) -> Vec<u8> {
    let mut stream = Stream::new(order);
    stream.process(2, ProcessEventKind::KernelThread, |event| {
        event.path = Some(Cow::Borrowed(b"[kthreadd]"));
        event.parent = Some(0);
        event.user = Some(0);
    });
    stream.exec(7, b"/usr/bin/bash", 1000, b"alice");
    stream.process(8, ProcessEventKind::Forked, |event| event.parent = Some(7));
    stream.process(8, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/usr/bin/curl"));
        event.arguments = Some(Cow::Borrowed(b"curl\0-s\0\0http://192.0.2.1/a b\0"));
        event.parent = Some(7);
        event.user = Some(1000);
        event.group = Some(100);
        event.group_name = Some(Cow::Borrowed(b"users"));
        event.user_name = Some(Cow::Borrowed(b"alice"));
    });
    stream.process(9, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/usr/sbin/dnsmasq"));
        event.parent = Some(1);
        event.user = Some(0);
        event.user_name = Some(Cow::Borrowed(b"root"));
        event.container = Some(Cow::Borrowed(CONTAINER));
        event.namespace_pid = Some(2);
        event.network_namespace = Some(4_026_532_281);
    });
    stream.foreign();
    stream.connection(12, 8, ConnectionEventKind::Opened);
    stream.connection(WIDE, 9, ConnectionEventKind::Opened);
    let (here, there) = ([10, 0, 0, 1], [192, 0, 2, 1]);
    stream.packet(&v4(6, here, there, &tcp(40_000, 443, 100)), 2, Some(12), Some(8));
    stream.packet(&v4(6, there, here, &tcp(443, 40_000, 1000)), 1, Some(12), Some(8));
    stream.packet(&v6(17, 1, 2, &udp(50_000, 53, 30)), 2, Some(WIDE), Some(9));
    stream.packet(&v4(1, there, here, &[8, 0, 0, 0, 0, 1, 0, 1]), 1, None, None);
    stream.packet(&v4(47, here, there, &[0; 8]), 2, None, Some(77));
    stream.connection(12, 8, ConnectionEventKind::Closed);
    stream.process(8, ProcessEventKind::Ended, |event| event.parent = Some(7));
    stream.packet(&v4(6, here, there, &tcp(40_000, 443, 0)), 2, Some(12), Some(8));
    stream.statistics();
    stream.bytes
}

/// What the field has to bear: names that steer terminals, end lines, or are no text at all.
pub(crate) fn hostile() -> Vec<u8> {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.process(6, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/tmp/\x1b[2J\nEXEC 1 root\xff\xe2\x80\xae.exe"));
        event.arguments = Some(Cow::Borrowed(b"a\nb\0\xff\xfe\0\"quoted\" \\x1b\0"));
        event.user_name = Some(Cow::Borrowed(b"al ice\r"));
        event.group_name = Some(Cow::Borrowed(b"\0"));
        event.container = Some(Cow::Borrowed(b"a b\xff\n"));
    });
    stream.packet(&[], 0, None, Some(6));
    stream.packet(&[0x45], 3, None, Some(6));
    stream.packet(&[0xff; 64], 1, Some(u64::MAX), Some(6));
    stream.bytes
}

/// A process of which the hash of the executable is known only after its end, and another one that gets none.
pub(crate) fn hashed() -> Stream {
    let mut stream = Stream::new(ByteOrder::Little);
    stream.process(20, ProcessEventKind::Started, |event| {
        event.path = Some(Cow::Borrowed(b"/bin/short"));
        event.unit = Some(Cow::Borrowed(b"a.service"));
        event.hash = Some(Err(NoHash::Pending));
    });
    stream.process(20, ProcessEventKind::Ended, |_| {});
    stream.process(20, ProcessEventKind::Hashed, |event| event.hash = Some(Ok([10; 32])));
    stream.packet(&[], 1, None, Some(20));
    stream.process(21, ProcessEventKind::Started, |event| event.path = Some(Cow::Borrowed(b"/bin/other")));
    stream.process(21, ProcessEventKind::Hashed, |event| event.hash = Some(Err(NoHash::Gone)));
    stream
}
