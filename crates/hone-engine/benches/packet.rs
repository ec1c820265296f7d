//! Measures the time of a packet from `handle` to the last `read`: for several numbers of readers, sizes of the tables
//! and ways to find the process, with filters, and with packets of the full size. `docs/engine-performance.md` has the
//! results.
#![expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a benchmark may abort")]

use std::{hint::black_box, time::Duration};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use hone_engine::{
    Config, Direction, Engine, Event, Filter, Method, Owner, Packet, ProcessKey, ProcessStart, Read,
    ReaderId, ReaderOptions, SnapLength, StartKind,
};

/// Packets handled between two reads. A sensor that polls handles packets in such batches.
const BATCH: u64 = 256;
/// The same for packets of the full size: as many packets as fit into a processor's cache.
const LARGE_BATCH: u64 = 16;
/// Packets that a sensor looks ahead.
const AHEAD: usize = 32;
const FULL_SIZE: usize = 65_535;
const SNAP: u32 = 96;

fn key(pid: u64) -> ProcessKey {
    ProcessKey { pid: u32::try_from(pid).expect("a small number"), start: 1 }
}

/// An engine with `known` connections and `known` processes, each numbered from 1 on.
fn engine(known: u64) -> Engine {
    let bound = u32::try_from(known + 1000).expect("a small number");
    let config = Config {
        max_processes: bound,
        max_connections: bound,
        max_block_bytes: 2 << 30,
        reserve: true,
        ..Config::default()
    };
    let mut engine = Engine::new(config).expect("there is memory");
    for number in 1..=known {
        let mut start = ProcessStart::new(key(number), number, StartKind::Started);
        start.path = Some(b"/usr/bin/true");
        engine.handle(&Event::ProcessStarted(start)).expect("there is memory");
        let opened = Event::ConnectionOpened { connection: number, owner: Some(key(number)), at: number };
        engine.handle(&opened).expect("there is memory");
    }
    engine
}

fn attach(engine: &mut Engine, readers: u64, snap_length: u32) -> Vec<ReaderId> {
    let options = ReaderOptions { snap_length: SnapLength::lenient(snap_length), ..ReaderOptions::default() };
    (0..readers).map(|_| engine.attach(&options, 0).expect("there is memory")).collect()
}

/// Packets of all connections, in an order that defeats the processor's caches.
struct Traffic<'a> {
    known: u64,
    number: u64,
    data: &'a [u8],
    /// Whether the packets have [`Owner::Ask`], so that the engine looks up the process.
    ask: bool,
    /// Whether the engine learns of [`AHEAD`] packets before it handles them.
    expect: bool,
    /// The connections of the next packets.
    ahead: [u64; AHEAD],
}

impl<'a> Traffic<'a> {
    const fn new(known: u64, data: &'a [u8]) -> Self {
        Self { known, number: 0, data, ask: false, expect: false, ahead: [0; AHEAD] }
    }

    fn look_ahead(&mut self) {
        for (ahead, number) in self.ahead.iter_mut().zip(self.number..) {
            *ahead = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % self.known + 1;
        }
    }

    fn next(&mut self) -> Event<'a> {
        let place = usize::try_from(self.number).expect("a small number") % AHEAD;
        let connection = self.ahead[place];
        self.number += 1;
        Event::Packet(Packet {
            at: self.number,
            connection: Some(connection),
            owner: if self.ask { Owner::Ask } else { Owner::Process(key(connection), Method::CurrentTask) },
            direction: Direction::Outbound,
            flags: 0,
            original_length: 0,
            packet_id: None,
            data: self.data,
        })
    }
}

fn drain(engine: &mut Engine, reader: ReaderId, buffer: &mut [u8], now: u64) {
    while let Ok(Read::Bytes(length)) = engine.read(reader, buffer, now) {
        black_box(&buffer[..length]);
    }
}

fn run(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    engine: &mut Engine,
    readers: &[ReaderId],
    mut traffic: Traffic<'_>,
    batch: u64,
) {
    let mut buffer = vec![0; 1 << 18];
    for &reader in readers {
        drain(engine, reader, &mut buffer, 0);
    }
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            for packet in 0..batch {
                if packet % AHEAD as u64 == 0 {
                    traffic.look_ahead();
                    if traffic.expect {
                        let hint = Event::Expected(black_box(&traffic.ahead));
                        engine.handle(&hint).expect("a hint is only taken");
                    }
                }
                engine.handle(black_box(&traffic.next())).expect("there is memory");
            }
            for &reader in readers {
                drain(engine, reader, &mut buffer, traffic.number);
            }
            engine.take_signals(|reader| {
                black_box(reader);
            });
        });
    });
    for &reader in readers {
        let statistics = engine.reader_statistics(reader).expect("it is attached");
        assert_eq!(statistics.dropped_by_ring.packets, 0, "each packet was delivered");
    }
}

fn packets(criterion: &mut Criterion) {
    let data = [0x45; FULL_SIZE];
    let small = &data[..96];
    let mut group = criterion.benchmark_group("packet");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);

    group.throughput(Throughput::Elements(BATCH));
    for readers in [1, 8, 64] {
        let mut engine = engine(10);
        let ids = attach(&mut engine, readers, SNAP);
        let traffic = Traffic::new(10, small);
        run(&mut group, BenchmarkId::new("readers", readers), &mut engine, &ids, traffic, BATCH);
    }
    for known in [10, 10_000, 1_000_000] {
        let mut engine = engine(known);
        let ids = attach(&mut engine, 1, SNAP);
        for (name, ask, expect) in [
            ("tables", false, false),
            ("tables, asked", true, false),
            ("tables, expected", false, true),
            ("tables, asked, expected", true, true),
        ] {
            let traffic = Traffic { ask, expect, ..Traffic::new(known, small) };
            run(&mut group, BenchmarkId::new(name, known), &mut engine, &ids, traffic, BATCH);
        }
    }
    for ids in [1, 4096] {
        let mut engine = engine(10_000);
        let readers = attach(&mut engine, 1, SNAP);
        let (connections, processes): (Vec<u64>, Vec<u32>) = (20_000..20_000 + ids).zip(20_000..).unzip();
        for filter in [Filter::ExcludeConnections(&connections), Filter::ExcludeProcesses(&processes)] {
            engine.set_filter(readers[0], filter).expect("there is memory");
        }
        let traffic = Traffic::new(10_000, small);
        run(&mut group, BenchmarkId::new("filtered, passed", ids), &mut engine, &readers, traffic, BATCH);
        engine.set_filter(readers[0], Filter::IncludeProcesses(&processes)).expect("there is memory");
        let traffic = Traffic::new(10_000, small);
        run(&mut group, BenchmarkId::new("filtered, left out", ids), &mut engine, &readers, traffic, BATCH);
    }

    for (batch, name) in [(LARGE_BATCH, "full size"), (BATCH, "full size, large batch")] {
        group.throughput(Throughput::Bytes(batch * FULL_SIZE as u64));
        for readers in [1, 8] {
            let mut engine = engine(10);
            let ids = attach(&mut engine, readers, 0);
            let traffic = Traffic::new(10, &data);
            run(&mut group, BenchmarkId::new(name, readers), &mut engine, &ids, traffic, batch);
        }
    }
    group.finish();
}

/// Measures how a large table suffers from cache misses alone: one look-up in a plain hash map with entries of the size
/// of a connection's.
fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look-up");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1)).sample_size(30);
    group.throughput(Throughput::Elements(BATCH));
    for known in [10, 10_000, 1_000_000_u64] {
        let mut map = hashbrown::HashMap::new();
        for number in 1..=known {
            map.insert(number, [number; 6]);
        }
        let mut number = 0_u64;
        group.bench_function(BenchmarkId::from_parameter(known), |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH {
                    number += 1;
                    let key = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % known + 1;
                    // Makes each look-up depend on the one before, as in the engine, so that they do not overlap.
                    number += u64::from(map.get(&key).is_some_and(|entry| entry[5] == 0));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packets, look_ups);
criterion_main!(benches);
