//! Compares the engine with a reference model made of plain collections, for random events, readers and reads. Every
//! reader must read exactly the bytes that the model expects, independent of the other readers.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod reference;

use hone_engine::{
    Attribution, Config, Corrected, Engine, Event, ExecutableHash, Family, Filter, Method, NoHash, NoOwner,
    ORDER_TIME, OpenConnection, Owner, PerKind, ProcessKey, Read, ReadError, ReaderId, ReaderOptions,
    RestartError, SnapLength, SourceDrops, StartKind, Used, Wait,
};
use proptest::{collection, option, prelude::*, sample};
use reference::{Bounds, Counts, Listed, Model, OURS, PROCESSES, THEIR_PORT, THEIRS, data};

#[derive(Debug, Clone)]
enum Step {
    Event(Sketch),
    /// An event that is reported late, by this many nanoseconds.
    Late(Sketch, u64),
    Restate(Sketch),
    Burst(u16, Sketch),
    Drops(u8),
    Attach {
        snap: u32,
        slots: usize,
        pinned: usize,
    },
    Detach(usize),
    Mark(usize),
    Filter(usize, FilterKind, Vec<u64>),
    Snap(usize, u32),
    OpenList(Vec<Listed>),
    Read(usize, usize),
    Signals,
    Tick,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum FilterKind {
    ExcludeConnections,
    ExcludeProcesses,
    IncludeConnections,
    IncludeProcesses,
}

/// An event without its time, which is set when it is reported.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Started(ProcessKey, StartKind, Option<u32>, Option<Vec<u8>>),
    Ended(ProcessKey),
    Hashed(ProcessKey, ExecutableHash),
    Opened(u64, Option<ProcessKey>),
    Closed(u64, Option<ProcessKey>),
    Packet { connection: Option<u64>, owner: Owner, length: usize, port: u16 },
    Used(u64, ProcessKey, Used),
    Dropped(u64, u64),
    Corrected(u64, Corrected, Attribution),
}

fn process() -> impl Strategy<Value = ProcessKey> {
    (1..7_u32, 1..3_u64).prop_map(|(pid, start)| ProcessKey { pid, start })
}

/// A sequence number near 0, below or above, where the numbers begin again.
fn position() -> impl Strategy<Value = u32> {
    (0..6_u32).prop_map(|position| position.wrapping_sub(3))
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        1 => Just(Wait::Use),
        2 => (0..4_u64).prop_map(Wait::Datagram),
        1 => (0..4_u64).prop_map(Wait::Handshake),
        2 => position().prop_map(Wait::Stream),
    ]
}

fn otherwise() -> impl Strategy<Value = Attribution> {
    prop_oneof![
        1 => process().prop_map(|process| Ok((process, Method::Listener))),
        2 => Just(Err(NoOwner::Shared)),
    ]
}

fn corrected() -> impl Strategy<Value = Corrected> {
    prop_oneof![
        // Times near those of the packets, as the clock of the test begins at `10 * ORDER_TIME`.
        1 => (0..300_u64).prop_map(|at| Corrected::Time(10 * ORDER_TIME + at)),
        2 => (position(), 1..5_u32)
            .prop_map(|(from, length)| Corrected::Bytes { from, to: from.wrapping_add(length) }),
    ]
}

fn sketch() -> impl Strategy<Value = Sketch> {
    // Also an id of more than 32 bits, which only the second dialect has.
    let connection = || prop_oneof![9 => 1..9_u64, 1 => Just(1 << 40)];
    let kind = sample::select(&[
        StartKind::Started,
        StartKind::Forked,
        StartKind::KernelThread,
        StartKind::Supplemented,
    ]);
    let path = option::of(collection::vec(b'a'..=b'z', 0..9));
    let owner = prop_oneof![
        1 => process().prop_map(|process| Owner::Process(process, Method::LastSender)),
        2 => Just(Owner::Ask),
        1 => Just(Owner::None(NoOwner::Kernel)),
        1 => Just(Owner::None(NoOwner::TimeWait)),
        3 => (wait(), otherwise()).prop_map(|(wait, otherwise)| Owner::Wait(wait, otherwise)),
    ];
    let used = prop_oneof![
        1 => Just(Used::Accepted),
        1 => Just(Used::Alone),
        2 => (0..4_u64).prop_map(Used::Datagram),
        2 => position().prop_map(Used::Stream),
        2 => (0..6_u64, 0..3_u32).prop_map(|(before, length)| Used::NextDatagram { before, length }),
        2 => (0..4_u64).prop_map(Used::Handshake),
        1 => Just(Used::Somehow),
    ];
    prop_oneof![
        3 => (process(), kind, option::of(1..7_u32), path)
            .prop_map(|(process, kind, parent, path)| Sketch::Started(process, kind, parent, path)),
        2 => process().prop_map(Sketch::Ended),
        1 => (process(), prop_oneof![Just(Ok([7; 32])), Just(Err(NoHash::Gone))])
            .prop_map(|(process, hash)| Sketch::Hashed(process, hash)),
        3 => (connection(), option::of(process())).prop_map(|(id, owner)| Sketch::Opened(id, owner)),
        2 => (connection(), option::of(process())).prop_map(|(id, process)| Sketch::Closed(id, process)),
        2 => (connection(), process(), used).prop_map(|(id, process, used)| Sketch::Used(id, process, used)),
        1 => (connection(), 0..4_u64).prop_map(|(id, number)| Sketch::Dropped(id, number)),
        3 => (connection(), corrected(), otherwise())
            .prop_map(|(id, packets, attribution)| Sketch::Corrected(id, packets, attribution)),
        8 => (option::of(connection()), owner, 0..300_usize, 0..4_u16)
            .prop_map(|(connection, owner, length, port)| Sketch::Packet { connection, owner, length, port }),
    ]
}

fn snap() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..5_u32, 1..300_u32]
}

fn filter() -> impl Strategy<Value = (FilterKind, Vec<u64>)> {
    use FilterKind::{ExcludeConnections, ExcludeProcesses, IncludeConnections, IncludeProcesses};
    let kind = sample::select(&[ExcludeConnections, ExcludeProcesses, IncludeConnections, IncludeProcesses]);
    let id = prop_oneof![9 => 1..9_u64, 1 => Just(1 << 40)];
    (kind, prop_oneof![2 => Just(Vec::new()), 3 => collection::vec(id, 0..7)])
}

fn open_list() -> impl Strategy<Value = Vec<Listed>> {
    let record = (0..4_u16, any::<bool>(), process());
    let record = record.prop_map(|(port, full, process)| Listed { port, full, process });
    collection::vec(record, 0..5)
}

/// How late an event is, nanoseconds: a little, as between two processors' records, or much, as after a clock was set
/// back.
fn late() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 1..8_u64, 3 => 1..600_u64, 1 => ORDER_TIME - 600..ORDER_TIME + 600]
}

fn step() -> impl Strategy<Value = Step> {
    let reader = || 0..3_usize;
    prop_oneof![
        26 => sketch().prop_map(Step::Event),
        8 => (sketch(), late()).prop_map(|(sketch, late)| Step::Late(sketch, late)),
        2 => sketch().prop_map(Step::Restate),
        3 => (prop_oneof![9 => 1..150_u16, 1 => Just(300)], sketch()).prop_map(|(times, sketch)| Step::Burst(times, sketch)),
        1 => any::<u8>().prop_map(Step::Drops),
        3 => (
            snap(),
            sample::select(&[128_usize, 256, 512]),
            prop_oneof![Just(1 << 20), 0..20_000_usize],
        )
            .prop_map(|(snap, slots, pinned)| Step::Attach { snap, slots, pinned }),
        1 => reader().prop_map(Step::Detach),
        2 => reader().prop_map(Step::Mark),
        12 => (reader(), prop_oneof![1..16_usize, 1..600_usize, Just(1 << 16)])
            .prop_map(|(reader, room)| Step::Read(reader, room)),
        2 => (reader(), filter()).prop_map(|(reader, (kind, ids))| Step::Filter(reader, kind, ids)),
        2 => (reader(), snap()).prop_map(|(reader, snap)| Step::Snap(reader, snap)),
        2 => open_list().prop_map(Step::OpenList),
        4 => Just(Step::Signals),
        1 => Just(Step::Tick),
        2 => (0..30_u64).prop_map(Step::Wait),
    ]
}

/// The engine and its model, which get the same calls.
struct Both {
    engine: Engine,
    model: Model,
    readers: Vec<ReaderId>,
}

impl Both {
    fn event(&mut self, sketch: &Sketch, restated: bool, late: u64) {
        let at = self.model.tick(1) - late;
        let data = match sketch {
            &Sketch::Packet { port, length, .. } => data(port)[..length].to_vec(),
            _ => Vec::new(),
        };
        let event = sketch.event(at, &data);
        let result = if restated { self.engine.restate(&event) } else { self.engine.handle(&event) };
        let recorded = self.model.event(sketch, at, restated);
        assert_eq!(result.is_ok(), recorded, "{event:?} -> {result:?}");
    }

    fn attach(&mut self, snap: u32, slots: usize, pinned: usize) {
        if self.readers.len() < 3 {
            let options = ReaderOptions {
                ring_bytes: Some((8 * slots - 1).max(1024)),
                pinned_bytes: pinned,
                snap_length: SnapLength::lenient(snap),
            };
            let now = self.model.tick(1);
            self.readers.push(self.engine.attach(&options, now).expect("the options are in range"));
            self.model.attach(snap, slots, pinned, now);
        }
    }

    /// Reads once, and compares the bytes. Returns whether there may be more to read.
    fn read(&mut self, reader: usize, room: usize) -> bool {
        let Some(&id) = self.readers.get(reader) else { return false };
        let mut buffer = vec![0; room];
        let now = self.model.now();
        let read = self.engine.read(id, &mut buffer, now).expect("it is attached and there is room");
        self.model.forget(self.model.now());
        let expected = &mut self.model.readers[reader];
        match read {
            Read::Bytes(length) => expected.bytes(&buffer[..length], room),
            Read::Empty => expected.empty(),
            Read::SectionEnd => expected.section_end(),
        }
        read != Read::Empty
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Event(ref sketch) => self.event(sketch, false, 0),
            Step::Late(ref sketch, late) => self.event(sketch, false, late),
            Step::Restate(ref sketch) => self.event(sketch, true, 0),
            Step::Burst(times, ref sketch) => (0..times).for_each(|_| self.event(sketch, false, 0)),
            Step::Drops(more) => {
                let more = u64::from(more);
                self.model.source.packets += more;
                self.model.source.processes += 1;
                let totals = SourceDrops { ..self.model.source };
                self.engine.report_source_drops(totals);
            }
            Step::Attach { snap, slots, pinned } => self.attach(snap, slots, pinned),
            Step::Detach(reader) => {
                if reader < self.readers.len() {
                    let id = self.readers.remove(reader);
                    self.engine.detach(id);
                    self.model.detach(reader);
                    let now = self.model.now();
                    assert_eq!(self.engine.read(id, &mut [0], now), Err(ReadError::UnknownReader));
                    self.model.forget(self.model.now());
                }
            }
            Step::Mark(reader) => {
                if let Some(&id) = self.readers.get(reader) {
                    let now = self.model.tick(1);
                    let marked = self.engine.mark_restart(id, now);
                    let expected =
                        if self.model.mark(reader, now) { Ok(()) } else { Err(RestartError::Pending) };
                    assert_eq!(marked, expected);
                }
            }
            Step::Filter(reader, kind, ref ids) => {
                if let Some(&id) = self.readers.get(reader) {
                    let pids: Vec<u32> = ids.iter().filter_map(|&id| id.try_into().ok()).collect();
                    let filter = match kind {
                        FilterKind::ExcludeConnections => Filter::ExcludeConnections(ids),
                        FilterKind::ExcludeProcesses => Filter::ExcludeProcesses(&pids),
                        FilterKind::IncludeConnections => Filter::IncludeConnections(ids),
                        FilterKind::IncludeProcesses => Filter::IncludeProcesses(&pids),
                    };
                    self.engine.set_filter(id, filter).expect("the list is short");
                    self.model.readers[reader].filters.set(filter);
                }
            }
            Step::Snap(reader, snap) => {
                if let Some(&id) = self.readers.get(reader) {
                    self.engine.set_snap_length(id, SnapLength::lenient(snap)).expect("it is attached");
                    self.model.readers[reader].set_snap(snap);
                    assert_eq!(self.engine.snap_length(id), Some(SnapLength::lenient(snap)));
                }
            }
            Step::OpenList(ref list) => {
                let now = self.model.tick(1);
                let records: Vec<_> = list.iter().map(open_connection).collect();
                self.engine.set_open_connections(&records, now).expect("the list is short");
                self.model.set_open_list(list.clone());
            }
            Step::Signals => self.signals(),
            Step::Tick => {
                let due = self.engine.tick(self.model.now());
                self.model.idle(self.model.now());
                assert_eq!(due, self.model.due());
            }
            Step::Read(reader, room) => {
                self.read(reader, room);
            }
            Step::Wait(nanos) => {
                self.model.tick(nanos);
            }
        }
        self.check();
    }

    /// Checks that each reader that had nothing to read, and has something now, is woken once.
    fn signals(&mut self) {
        let mut woken = Vec::new();
        self.engine.take_signals(|id| woken.push(id));
        woken.sort_by_key(|id| id.get());
        let readers = self.readers.iter().zip(&mut self.model.readers);
        let expected =
            readers.filter_map(|(&id, reader)| std::mem::take(&mut reader.signalled).then_some(id));
        assert!(woken.iter().copied().eq(expected));
    }

    /// Checks that the counts of engine and model are equal.
    fn check(&self) {
        let totals = self.engine.statistics();
        assert_eq!(totals.processes, self.model.running());
        assert_eq!(totals.connections, self.model.open());
        assert_eq!(totals.lost, self.model.lost);
        assert_eq!(totals.received.packets, totals.methods.total() + totals.no_owner.total() + totals.held);
        assert_eq!(totals.received.processes, totals.process_starts + totals.process_ends);
        assert_eq!(totals.received.connections, totals.connection_opens + totals.connection_closes);
        assert_eq!(totals.held, self.model.held());
        let Counts { methods, reasons, held_total, held_attributed, held_unattributed } = &self.model.counts;
        for method in Method::ALL {
            assert_eq!(totals.methods.get(method), methods.get(&method).copied().unwrap_or(0), "{method:?}");
        }
        for reason in NoOwner::ALL {
            assert_eq!(totals.no_owner.get(reason), reasons.get(&reason).copied().unwrap_or(0), "{reason:?}");
        }
        let told = (&totals.held_total, &totals.held_attributed, &totals.held_unattributed);
        assert_eq!(told, (held_total, held_attributed, held_unattributed));
        assert_eq!(totals.held_total, totals.held_attributed + totals.held_unattributed + totals.held);
        for (&id, expected) in self.readers.iter().zip(&self.model.readers) {
            let told = self.engine.reader_statistics(id).expect("it is attached");
            let kinds: [fn(PerKind) -> u64; 3] = [|c| c.packets, |c| c.processes, |c| c.connections];
            for kind in kinds {
                let accounted = kind(told.delivered)
                    + kind(told.dropped_by_ring)
                    + kind(told.filtered)
                    + kind(told.queued);
                assert_eq!(kind(told.received), accounted, "{told:?}");
            }
            assert_eq!(told.received, expected.received);
            assert_eq!(told.dropped_by_ring, expected.dropped);
            assert_eq!(told.filtered, PerKind { packets: expected.filtered, ..PerKind::default() });
            assert_eq!(told.queued, expected.queued());
        }
    }

    /// Reads everything, then detaches all readers. Only the blocks of the tables, the header and the interface may be
    /// left.
    fn finish(mut self) {
        for reader in 0..self.readers.len() {
            while self.read(reader, 1 << 16) {}
            let now = self.model.tick(1);
            if self.engine.mark_restart(self.readers[reader], now).is_ok() {
                self.model.mark(reader, now);
            }
            while self.read(reader, 333) {}
            self.check();
        }
        self.signals();
        for id in self.readers {
            self.engine.detach(id);
            self.model.detach(0);
        }
        assert_eq!(self.engine.statistics().held, 0);
        // Each call releases only a few blocks of snapshots that no reader reads any more.
        for _ in 0..1000 {
            self.engine.tick(self.model.now());
            self.model.idle(self.model.now());
        }
        assert_eq!(self.engine.statistics().blocks, self.model.blocks());
    }
}

fn open_connection(&Listed { port, full, process }: &Listed) -> OpenConnection {
    OpenConnection {
        family: Family::V4,
        protocol: 6,
        local_port: port,
        local_address: full.then_some(OURS.into()),
        remote: full.then_some((THEIRS.into(), THEIR_PORT)),
        process,
    }
}

/// Bytes that count for a held packet besides its data.
fn held_overhead() -> usize {
    let mut engine = Engine::new(Config::default()).expect("there is memory");
    engine.attach(&ReaderOptions::default(), 1).expect("there is memory");
    let empty = Sketch::Packet { connection: Some(1), owner: Owner::Ask, length: 0, port: 0 };
    engine.handle(&empty.event(1, &[])).expect("there is memory");
    usize::try_from(engine.statistics().held_bytes).expect("a small number")
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let time = || prop_oneof![1 => Just(0), 5 => 1..60_u64];
    let held = prop_oneof![1 => Just(0), 3 => 1..5_usize, 3 => Just(200)];
    let held_bytes = prop_oneof![0..1500_usize, Just(1 << 20)];
    let silence = || prop_oneof![2 => Just(1 << 60), 5 => 0..200_u64];
    (any::<bool>(), (1..60_u64, silence(), silence()), held, held_bytes, time()).prop_map(
        |(tight, (linger, silence, orphan_silence), held, held_bytes, hold_time)| Bounds {
            table: if tight { 4 } else { PROCESSES },
            linger,
            silence,
            orphan_silence,
            held,
            held_bytes,
            hold_time,
            held_overhead: held_overhead(),
        },
    )
}

/// More cases, in a quarter of a minute: `PROPTEST_CASES=20000 cargo test --release -p hone-engine --test model`.
const CASES: u32 = 300;

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(CASES), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn readers_read_what_the_model_says(
        steps in collection::vec(step(), 1..250),
        bounds in bounds(),
    ) {
        let config = Config {
            max_processes: bounds.table,
            max_connections: bounds.table,
            process_linger: bounds.linger,
            connection_linger: bounds.linger,
            connection_silence: bounds.silence,
            orphan_silence: bounds.orphan_silence,
            max_held_packets: u32::try_from(bounds.held).expect("a small number"),
            max_held_bytes: bounds.held_bytes,
            hold_time: bounds.hold_time,
            ..Config::default()
        };
        let engine = Engine::new(config).expect("there is memory");
        let mut both = Both { engine, model: Model::new(bounds), readers: Vec::new() };
        for step in &steps {
            both.step(step);
        }
        both.finish();
    }
}

impl Sketch {
    fn event<'a>(&'a self, at: u64, data: &'a [u8]) -> Event<'a> {
        match self {
            Self::Started(process, kind, parent, path) => {
                let mut start = hone_engine::ProcessStart::new(*process, at, *kind);
                start.parent = *parent;
                start.path = path.as_deref();
                Event::ProcessStarted(start)
            }
            &Self::Ended(process) => Event::ProcessEnded { process, at },
            &Self::Hashed(process, hash) => Event::ProcessHashed { process, hash, at },
            &Self::Opened(connection, owner) => Event::ConnectionOpened { connection, owner, at },
            &Self::Used(connection, process, used) => Event::ConnectionUsed { connection, process, used, at },
            &Self::Corrected(connection, packets, attribution) => {
                let direction = hone_engine::Direction::Inbound;
                Event::Corrected { connection, direction, packets, attribution, at }
            }
            &Self::Dropped(connection, number) => Event::DatagramDropped { connection, number, at },
            &Self::Closed(connection, process) => Event::ConnectionClosed { connection, process, at },
            &Self::Packet { connection, owner, .. } => Event::Packet(hone_engine::Packet {
                at,
                connection,
                owner,
                direction: hone_engine::Direction::Inbound,
                flags: 3,
                original_length: 1000,
                packet_id: None,
                data,
            }),
        }
    }
}
