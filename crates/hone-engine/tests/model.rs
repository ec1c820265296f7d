//! Random events, readers and reads against a reference model made of plain collections: every reader must read exactly
//! the bytes that the model says, whatever the others do.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may abort when memory runs out"
)]

mod reference;

use hone_engine::{
    Config, Engine, Event, Method, NoOwner, Owner, PerKind, ProcessKey, Read, ReadError, ReaderId,
    ReaderOptions, RestartError, SourceDrops, StartKind,
};
use proptest::{collection, option, prelude::*, sample};
use reference::{Model, PROCESSES};

#[derive(Debug, Clone)]
enum Step {
    Event(Sketch),
    Restate(Sketch),
    Burst(u8, Sketch),
    Drops(u8),
    Attach { snap: u32, slots: usize, pinned: usize },
    Detach(usize),
    Mark(usize),
    Read(usize, usize),
    Wait(u64),
}

/// An event without its time.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Started(ProcessKey, StartKind, Option<u32>, Option<Vec<u8>>),
    Ended(ProcessKey),
    Opened(u64, Option<ProcessKey>),
    Closed(u64, Option<ProcessKey>),
    Packet(Option<u64>, Owner, usize),
}

fn process() -> impl Strategy<Value = ProcessKey> {
    (1..7_u32, 1..3_u64).prop_map(|(pid, start)| ProcessKey { pid, start })
}

fn sketch() -> impl Strategy<Value = Sketch> {
    // The second dialect's wide ids too.
    let connection = || prop_oneof![9 => 1..9_u64, 1 => Just(1 << 40)];
    let kind = sample::select(&[StartKind::Started, StartKind::Forked, StartKind::KernelThread]);
    let path = option::of(collection::vec(b'a'..=b'z', 0..9));
    let owner = prop_oneof![
        process().prop_map(|process| Owner::Process(process, Method::LastSender)),
        Just(Owner::Ask),
        Just(Owner::None(NoOwner::Kernel)),
    ];
    prop_oneof![
        3 => (process(), kind, option::of(1..7_u32), path)
            .prop_map(|(process, kind, parent, path)| Sketch::Started(process, kind, parent, path)),
        2 => process().prop_map(Sketch::Ended),
        3 => (connection(), option::of(process())).prop_map(|(id, owner)| Sketch::Opened(id, owner)),
        2 => (connection(), option::of(process())).prop_map(|(id, process)| Sketch::Closed(id, process)),
        8 => (option::of(connection()), owner, 0..300_usize)
            .prop_map(|(connection, owner, length)| Sketch::Packet(connection, owner, length)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let reader = || 0..3_usize;
    prop_oneof![
        30 => sketch().prop_map(Step::Event),
        2 => sketch().prop_map(Step::Restate),
        3 => (1..150_u8, sketch()).prop_map(|(times, sketch)| Step::Burst(times, sketch)),
        1 => any::<u8>().prop_map(Step::Drops),
        3 => (
            prop_oneof![Just(0), 1..5_u32, 1..300_u32],
            sample::select(&[128_usize, 256]),
            prop_oneof![Just(1 << 20), 0..20_000_usize],
        )
            .prop_map(|(snap, slots, pinned)| Step::Attach { snap, slots, pinned }),
        1 => reader().prop_map(Step::Detach),
        2 => reader().prop_map(Step::Mark),
        12 => (reader(), prop_oneof![1..16_usize, 1..600_usize, Just(1 << 16)])
            .prop_map(|(reader, room)| Step::Read(reader, room)),
        2 => (0..30_u64).prop_map(Step::Wait),
    ]
}

/// The engine beside its model.
struct Both {
    engine: Engine,
    model: Model,
    readers: Vec<ReaderId>,
}

impl Both {
    fn event(&mut self, sketch: &Sketch, restated: bool) {
        let at = self.model.tick(1);
        let data = vec![0x45; 300];
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
                snap_length: snap,
            };
            let now = self.model.tick(1);
            self.readers.push(self.engine.attach(&options, now).expect("the options are in range"));
            self.model.attach(snap, slots, pinned, now);
        }
    }

    /// Reads once; whether there may be more.
    fn read(&mut self, reader: usize, room: usize) -> bool {
        let Some(&id) = self.readers.get(reader) else { return false };
        let mut buffer = vec![0; room];
        let now = self.model.now();
        let read = self.engine.read(id, &mut buffer, now).expect("it is attached and there is room");
        self.model.expire();
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
            Step::Event(ref sketch) => self.event(sketch, false),
            Step::Restate(ref sketch) => self.event(sketch, true),
            Step::Burst(times, ref sketch) => (0..times).for_each(|_| self.event(sketch, false)),
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
                    self.model.readers.remove(reader);
                    assert_eq!(self.engine.read(id, &mut [0], 0), Err(ReadError::UnknownReader));
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
            Step::Read(reader, room) => {
                self.read(reader, room);
            }
            Step::Wait(nanos) => {
                self.model.tick(nanos);
            }
        }
        self.check();
    }

    /// The counts agree, whatever happened.
    fn check(&self) {
        let totals = self.engine.statistics();
        assert_eq!(totals.processes, self.model.running());
        assert_eq!(totals.connections, self.model.open());
        assert_eq!(totals.lost, self.model.lost);
        assert_eq!(totals.received.packets, totals.methods.total() + totals.no_owner.total());
        for (&id, expected) in self.readers.iter().zip(&self.model.readers) {
            let told = self.engine.reader_statistics(id).expect("it is attached");
            let kinds: [fn(PerKind) -> u64; 3] = [|c| c.packets, |c| c.processes, |c| c.connections];
            for kind in kinds {
                let accounted = kind(told.delivered) + kind(told.dropped_by_ring) + kind(told.queued);
                assert_eq!(kind(told.received), accounted, "{told:?}");
            }
            assert_eq!(told.received, expected.received);
            assert_eq!(told.dropped_by_ring, expected.dropped);
            assert_eq!(told.queued, expected.queued());
        }
    }

    /// Reads everything, then detaches everybody: no block may be left but those of the tables and the header.
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
        for id in self.readers {
            self.engine.detach(id);
        }
        assert_eq!(self.engine.statistics().blocks, self.model.blocks());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_read_what_the_model_says(
        steps in collection::vec(step(), 1..250),
        tight in any::<bool>(),
        linger in 1..60_u64,
    ) {
        let bound = if tight { 4 } else { PROCESSES };
        let config = Config {
            max_processes: bound,
            max_connections: bound,
            process_linger: linger,
            connection_linger: linger,
            ..Config::default()
        };
        let engine = Engine::new(config).expect("there is memory");
        let mut both = Both { engine, model: Model::new(bound, linger), readers: Vec::new() };
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
            &Self::Opened(connection, owner) => Event::ConnectionOpened { connection, owner, at },
            &Self::Closed(connection, process) => Event::ConnectionClosed { connection, process, at },
            &Self::Packet(connection, owner, length) => Event::Packet(hone_engine::Packet {
                at,
                connection,
                owner,
                direction: hone_engine::Direction::Inbound,
                flags: 3,
                original_length: 1000,
                data: &data[..length],
            }),
        }
    }
}
