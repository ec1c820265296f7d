//! Fuzz target: events and readers' calls to `hone-engine`, in any order.

use hone_engine::{
    AttachError, Config, Corrected, Detached, Direction, Engine, Event, Family, Filter, Method, NoHash,
    NoOwner, OpenConnection, Owner, Packet, PerKind, ProcessKey, ProcessStart, Read, ReaderId, ReaderOptions,
    ReaderStatistics, SnapLength, StartKind, Used, Wait,
};
use hone_pcapng::Block;

use crate::input::Input;

/// A reader, and what it has received.
struct Reader {
    id: ReaderId,
    /// Parses the section that is being read.
    stream: hone_pcapng::Reader,
    /// Number of blocks in the section so far.
    blocks: u64,
    ended: bool,
    /// Number of blocks, live and from snapshots, over all sections.
    told: PerKind,
    /// The longest snap length that it ever had. 0 means unlimited.
    snap_length: u32,
    /// Whether its last read was [`Read::Empty`] and it has not been woken since.
    waiting: bool,
}

struct Harness {
    engine: Engine,
    now: u64,
    readers: Vec<Reader>,
    /// The reader that was detached last, until its blocks are released.
    leaving: Option<Detached>,
    packets: u64,
}

/// The first byte selects the configuration; the calls follow one after another. For every input: each reader gets
/// complete, valid sections; no wake-up is lost; and the counts agree with each other and with what was read.
pub fn engine_events(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = input.u8();
    let config = Config {
        max_processes: 1 + u32::from(shape & 7),
        max_connections: 1 + u32::from(shape >> 3 & 7),
        max_readers: 3,
        max_ring_bytes: 2048,
        max_block_bytes: if shape & 0x40 == 0 { 1 << 20 } else { 4096 },
        max_held_packets: 4,
        max_held_bytes: if shape & 0x80 == 0 { 1 << 16 } else { 512 },
        hold_time: 50,
        process_linger: 20,
        connection_linger: 20,
        connection_silence: 30,
        orphan_silence: 60,
        max_filter_ids: 3,
        max_open_connections: 3,
        ..Config::default()
    };
    let Ok(engine) = Engine::new(config) else { return };
    let mut harness = Harness { engine, now: 1_000, readers: vec![], leaving: None, packets: 0 };
    while !input.is_empty() {
        harness.call(&mut input);
        harness.check();
    }
    for index in 0..harness.readers.len() {
        harness.drain(index);
    }
    harness.check();
    while let Some(reader) = harness.readers.pop() {
        harness.engine.detach(reader.id);
    }
    harness.release();
    harness.check();
    assert_eq!(harness.engine.statistics().held, 0, "nobody reads, so nothing waits");
}

impl Harness {
    fn call(&mut self, input: &mut Input<'_>) {
        let step = input.below(8);
        self.now += u64::from(if step == 6 { input.u8() } else { step });
        let at = self.now;
        match input.below(19) {
            0 => self.start(input),
            1 => {
                let process = process(input);
                self.event(input, &Event::ProcessEnded { process, at });
            }
            2 => {
                let (connection, owner) = (connection(input), input.flag().then(|| process(input)));
                self.event(input, &Event::ConnectionOpened { connection, owner, at });
            }
            3 => {
                let (connection, process) = (connection(input), input.flag().then(|| process(input)));
                self.event(input, &Event::ConnectionClosed { connection, process, at });
            }
            4..=6 => self.packet(input),
            15 => {
                let (connection, process) = (connection(input), process(input));
                let used = match input.below(4) {
                    0 => Used::Accepted,
                    1 => Used::Datagram(input.below(4).into()),
                    2 => Used::NextDatagram { before: input.below(6).into(), length: input.u8().into() },
                    _ => Used::Stream(input.u16().into()),
                };
                self.event(input, &Event::ConnectionUsed { connection, process, used, at });
            }
            16 => self.correct(input),
            17 => {
                let process = process(input);
                let hash = if input.flag() { Ok([input.u8(); 32]) } else { Err(NoHash::Changed) };
                self.event(input, &Event::ProcessHashed { process, hash, at });
            }
            7 => self.attach(input),
            8 => {
                if let Some(index) = self.pick(input) {
                    let reader = self.readers.swap_remove(index);
                    self.release();
                    self.leaving = self.engine.begin_detach(reader.id);
                    assert_eq!(self.engine.reader_statistics(reader.id), None);
                }
            }
            9 => {
                if let Some(index) = self.pick(input) {
                    let _ = self.engine.mark_restart(self.readers[index].id, at);
                }
            }
            10 | 11 => {
                let size = usize::from(input.u16() % 700);
                if let Some(index) = self.pick(input) {
                    self.read(index, size);
                }
            }
            12 => {
                let snap_length = u32::from(input.u16() % 700);
                if let Some(index) = self.pick(input) {
                    let reader = &mut self.readers[index];
                    assert!(self.engine.set_snap_length(reader.id, SnapLength::lenient(snap_length)).is_ok());
                    assert_eq!(self.engine.snap_length(reader.id), Some(SnapLength::lenient(snap_length)));
                    reader.snap_length = longest(reader.snap_length, snap_length);
                }
            }
            13 => self.filter(input),
            14 => self.list(input),
            _ => {
                self.engine.tick(at);
                let bytes = usize::from(input.u16());
                let _ = self.engine.set_default_ring_bytes(bytes);
            }
        }
        // Signals may also be taken later, not only after each call.
        if step != 7 {
            self.wake();
        }
    }

    /// Releases the blocks of the reader that was detached last.
    fn release(&mut self) {
        if let Some(mut leaving) = self.leaving.take() {
            while !self.engine.release_blocks(&mut leaving) {}
        }
    }

    fn correct(&mut self, input: &mut Input<'_>) {
        let packets = if input.flag() {
            Corrected::Time(self.now.saturating_sub(input.u8().into()))
        } else {
            Corrected::Bytes { from: input.u16().into(), to: input.u16().into() }
        };
        let event = Event::Corrected {
            connection: connection(input),
            direction: if input.flag() { Direction::Outbound } else { Direction::Inbound },
            packets,
            attribution: if input.flag() {
                Ok((process(input), Method::Reader))
            } else {
                Err(NoOwner::Filtered)
            },
            at: self.now,
        };
        self.event(input, &event);
    }

    fn start(&mut self, input: &mut Input<'_>) {
        let kinds = [StartKind::Started, StartKind::Forked, StartKind::KernelThread, StartKind::Supplemented];
        let (key, kind) = (process(input), kinds[usize::from(input.below(4))]);
        let path = input.below(40);
        let start = ProcessStart {
            parent: Some(input.below(5).into()),
            path: (path > 0).then(|| input.bytes(path.into())),
            ..ProcessStart::new(key, self.now, kind)
        };
        self.event(input, &Event::ProcessStarted(start));
    }

    fn packet(&mut self, input: &mut Input<'_>) {
        let owner = match input.below(8) {
            0 => Owner::Process(process(input), Method::CurrentTask),
            1 => Owner::Process(process(input), Method::LastReceiver),
            2 => Owner::None(NoOwner::Kernel),
            3 => Owner::None(NoOwner::NoSocket),
            4 => Owner::Wait(Wait::Use, Ok((process(input), Method::Listener))),
            5 => Owner::Wait(Wait::Datagram(input.below(4).into()), Err(NoOwner::Shared)),
            6 => Owner::Wait(Wait::Stream(input.u16().into()), Err(NoOwner::Shared)),
            _ => Owner::Ask,
        };
        let outbound = input.flag();
        let connection = input.flag().then(|| connection(input));
        let length = usize::from(input.u16() % 1500);
        let mut data = vec![input.u8(); length];
        if input.flag() {
            // Sets ports, so that the open-connection list may name an owner.
            data.splice(
                0..0,
                [0x45, 0, 0, 30, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 80],
            );
        }
        let packet = Packet {
            at: self.now,
            connection,
            owner,
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            flags: input.u8().into(),
            original_length: u32::from(input.u16()),
            packet_id: None,
            data: &data,
        };
        self.packets += 1;
        let _ = self.engine.handle(&Event::Packet(packet));
    }

    fn event(&mut self, input: &mut Input<'_>, event: &Event<'_>) {
        let _ = if input.below(4) == 0 { self.engine.restate(event) } else { self.engine.handle(event) };
    }

    fn attach(&mut self, input: &mut Input<'_>) {
        let options = ReaderOptions {
            ring_bytes: input.flag().then(|| usize::from(input.u16())),
            pinned_bytes: if input.flag() { 1 << 20 } else { input.u16().into() },
            snap_length: SnapLength::lenient(if input.flag() { input.u8().into() } else { 0 }),
        };
        match self.engine.attach(&options, self.now) {
            Ok(id) => self.readers.push(Reader {
                id,
                stream: hone_pcapng::Reader::new(),
                blocks: 0,
                ended: false,
                told: PerKind::default(),
                snap_length: options.snap_length.number(),
                waiting: true,
            }),
            Err(AttachError::TooManyReaders) => assert_eq!(self.readers.len(), 3),
            Err(_) => {}
        }
    }

    fn filter(&mut self, input: &mut Input<'_>) {
        let Some(index) = self.pick(input) else { return };
        let which = input.below(4);
        let count = usize::from(input.below(5));
        let connections: Vec<_> = (0..count).map(|_| connection(input)).collect();
        let processes: Vec<_> = (0..count).map(|_| process(input).pid).collect();
        let filter = match which {
            0 => Filter::ExcludeConnections(&connections),
            1 => Filter::ExcludeProcesses(&processes),
            2 => Filter::IncludeConnections(&connections),
            _ => Filter::IncludeProcesses(&processes),
        };
        assert_eq!(self.engine.set_filter(self.readers[index].id, filter).is_err(), count > 3);
    }

    fn list(&mut self, input: &mut Input<'_>) {
        let records: Vec<_> = (0..input.below(5))
            .map(|_| OpenConnection {
                family: if input.flag() { Family::V4 } else { Family::V6 },
                protocol: 6,
                local_port: if input.flag() { 80 } else { input.u16() },
                local_address: input.flag().then(|| [10, 0, 0, input.below(3)].into()),
                remote: input.flag().then(|| ([10, 0, 0, input.below(3)].into(), 80)),
                process: process(input),
            })
            .collect();
        let _ = self.engine.set_open_connections(&records, self.now);
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<usize> {
        usize::from(input.u8()).checked_rem(self.readers.len())
    }

    fn wake(&mut self) {
        let readers = &mut self.readers;
        self.engine.take_signals(|id| {
            let reader = readers.iter_mut().find(|reader| reader.id == id).expect("only readers are woken");
            reader.waiting = false;
        });
    }

    /// Reads once. Returns whether there is nothing more to read for now.
    fn read(&mut self, index: usize, size: usize) -> bool {
        let mut buffer = vec![0; size];
        let read = self.engine.read(self.readers[index].id, &mut buffer, self.now);
        // This read may have queued blocks of held packets that have expired. It has to signal that before it returns.
        self.wake();
        let reader = &mut self.readers[index];
        let Ok(read) = read else {
            assert_eq!(size, 0);
            return false;
        };
        match read {
            Read::Empty => reader.waiting = true,
            Read::SectionEnd => {
                assert!(!reader.waiting, "a reader that waits was not woken");
                let stream = std::mem::take(&mut reader.stream);
                assert_eq!(stream.finish(), Ok(()), "a section ends at the end of a block");
                assert!(reader.ended, "the last block of a section is its statistics");
                (reader.blocks, reader.ended) = (0, false);
            }
            Read::Bytes(length) => {
                assert!(!reader.waiting, "a reader that waits was not woken");
                assert!((1..=size).contains(&length));
                reader.take(&buffer[..length]);
            }
        }
        matches!(read, Read::Empty)
    }

    fn drain(&mut self, index: usize) {
        while !self.read(index, 1000) {}
        let reader = &mut self.readers[index];
        assert_eq!(std::mem::take(&mut reader.stream).finish(), Ok(()), "nothing is left of a block");
        let statistics = self.engine.reader_statistics(reader.id).expect("it is attached");
        assert_eq!(statistics.queued, PerKind::default());
        assert_eq!(reader.told.packets, statistics.delivered.packets);
        assert!(reader.told.processes >= statistics.delivered.processes);
        assert!(reader.told.connections >= statistics.delivered.connections);
    }

    fn check(&self) {
        let totals = self.engine.statistics();
        assert_eq!(totals.received.packets, self.packets);
        let attributed = totals.methods.total() + totals.no_owner.total();
        assert_eq!(totals.received.packets, attributed + totals.held);
        assert_eq!(totals.held_total, totals.held_attributed + totals.held_unattributed + totals.held);
        assert_eq!(totals.readers, self.readers.len() as u64);
        for reader in &self.readers {
            let statistics = self.engine.reader_statistics(reader.id).expect("it is attached");
            let kinds: [fn(&PerKind) -> u64; 3] =
                [|counts| counts.packets, |counts| counts.processes, |counts| counts.connections];
            for kind in kinds {
                let ReaderStatistics { received, delivered, dropped_by_ring, filtered, queued, .. } =
                    &statistics;
                let sum = [delivered, dropped_by_ring, filtered, queued].map(kind).iter().sum::<u64>();
                assert_eq!(kind(received), sum);
            }
        }
    }
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        self.stream.feed(bytes).expect("there is memory");
        while let Some(item) = self.stream.next_block().expect("every block is sound") {
            assert!(!self.ended, "statistics end a section");
            match (self.blocks, &item.block) {
                (0, Block::Section(_)) | (1, Block::Interface(_)) => {}
                (2.., Block::Process(_)) => self.told.processes += 1,
                (2.., Block::Connection(_)) => self.told.connections += 1,
                (2.., Block::Packet(packet)) => {
                    self.told.packets += 1;
                    assert!(packet.original_length as usize >= packet.data.len());
                    assert!(self.snap_length == 0 || packet.data.len() <= self.snap_length as usize);
                }
                (2.., Block::Statistics(_)) => self.ended = true,
                (number, block) => panic!("block {number} of a section is {block:?}"),
            }
            self.blocks += 1;
        }
    }
}

/// Chooses one of a few processes, so that ids occur again and are reused.
const fn process(input: &mut Input<'_>) -> ProcessKey {
    let byte = input.u8();
    ProcessKey { pid: (byte & 7) as u32, start: (byte >> 3 & 1) as u64 }
}

/// Chooses one of a few connections, some of them with long ids.
const fn connection(input: &mut Input<'_>) -> u64 {
    let byte = input.u8();
    (byte & 7) as u64 | ((byte >> 3 & 1) as u64) << 40
}

const fn longest(one: u32, other: u32) -> u32 {
    match (one, other) {
        (0, _) | (_, 0) => 0,
        _ if one > other => one,
        _ => other,
    }
}
